// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Prefetching: a job for a worker, which the caller waits for or leaves alone.
 *
 * A job is on a list while it can be cancelled. It gets there only while its region is
 * in the link's table, and the region is cancelled after it has left the table: no job
 * is missed. So nobody waits for a page that never comes once its region is to go.
 */
#include <linux/completion.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <umem.h>

#include "advise.h"

/**
 * struct fetch - one range of one region
 * @mr: with a reference
 * @off: offset in the region
 * @len: bytes
 * @how: see enum umem_fetch
 */
struct fetch {
	struct urxe_mr	*mr;
	u64		off;
	u64		len;
	enum umem_fetch	how;
};

/**
 * struct job - a prefetch by a worker
 * @work: does it
 * @entry: in @jobs
 * @worker: its stay in the owner's mm
 * @todo: what
 * @err: how it went
 * @awaited: somebody waits for @over, and frees the job
 * @over: it is done with
 */
struct job {
	struct work_struct	work;
	struct list_head	entry;
	struct umem_worker	worker;
	struct fetch		todo;
	int			err;
	bool			awaited;
	struct completion	over;
};

/*
 * So many of a process in the background: each may wait for its page, and their
 * workers are those of its QPs. What is beyond that is advice not taken.
 */
#define BACKGROUND_MAX	128
/* Between two looks at whether the link is about to go. */
#define WATCH_TICKS	(HZ / 10)

/* Guards @jobs. */
static DEFINE_SPINLOCK(lock);
static LIST_HEAD(jobs);

static int fetch(const struct fetch *p)
{
	long pages = umem_prefetch(p->mr->umem, p->off, p->len, p->how);

	if (pages < 0)
		return pages;
	atomic64_add(pages, &p->mr->prefetched);
	return 0;
}

/* NULL: of a kernel consumer's. RDS registers its users' memory, and asks for them. */
static struct urxe_ucontext *process_of(const struct urxe_mr *mr)
{
	struct ib_uobject *pd = mr->ibmr.pd->uobject;

	return pd ? to_uuc(pd->context) : NULL;
}

/* The worker is done with it, or will never begin. It is gone, unless it is awaited. */
static void end_job(struct job *job, int err)
{
	struct urxe_mr *mr = job->todo.mr;

	job->err = err;
	spin_lock(&lock);
	list_del(&job->entry);
	spin_unlock(&lock);
	if (!job->awaited)
		atomic_dec(&process_of(mr)->prefetches);
	urxe_mr_put(mr);
	if (job->awaited)
		complete(&job->over);
	else
		kfree(job);
}

static void job_work(struct work_struct *work)
{
	struct job *job = container_of(work, struct job, work);
	int err;

	err = umem_worker_enter(&job->worker, job->todo.mr->umem->mm);
	if (!err) {
		err = fetch(&job->todo);
		umem_worker_leave(&job->worker);
	}
	end_job(job, err);
}

/*
 * Have it end, whatever page it waits for. All workers may wait for pages while it is
 * still queued. True when it is off the queue: the caller ends it.
 */
static bool cancel(struct job *job)
{
	if (cancel_work(&job->work))
		return true;
	umem_worker_interrupt(&job->worker);
	return false;
}

/* A job that is queued has a reference of its own on the region. */
static int queue_job(struct job *job)
{
	struct urxe_ucontext *uuc = process_of(job->todo.mr);
	int err = 0;

	spin_lock(&lock);
	if (urxe_mr_is_current(job->todo.mr)) {
		kref_get(&job->todo.mr->ref);
		list_add_tail(&job->entry, &jobs);
		if (!job->awaited)
			atomic_inc(&uuc->prefetches);
		queue_work(urxe_wq_of(job->todo.mr->dev, uuc), &job->work);
	} else {
		err = -EFAULT;
	}
	spin_unlock(&lock);
	return err;
}

/*
 * Whoever takes down the link waits for system calls under way before any region is
 * cancelled. The core tells a driver nothing before, but it holds this lock.
 */
static bool link_goes(struct urxe_dev *dev)
{
	return mutex_is_locked(&dev->ibdev.unregistration_lock);
}

static int wait_for_job(struct job *job)
{
	while (!wait_for_completion_timeout(&job->over, WATCH_TICKS))
		if ((fatal_signal_pending(current) ||
		     link_goes(job->todo.mr->dev)) && cancel(job))
			end_job(job, -EINTR);
	return job->err;
}

static int start_job(const struct fetch *p, bool wait)
{
	struct job *job = kmalloc(sizeof(*job), GFP_KERNEL_ACCOUNT);
	int err;

	if (!job)
		return -ENOMEM;
	job->todo = *p;
	job->awaited = wait;
	umem_worker_init(&job->worker);
	init_completion(&job->over);
	INIT_WORK(&job->work, job_work);
	err = queue_job(job);
	if (!err && !wait)
		return 0;
	if (!err)
		err = wait_for_job(job);
	kfree(job);
	return err;
}

/* Have all of @mr end, up to one that is off the queue; NULL: there is none such. */
static struct job *cancel_some(const struct urxe_mr *mr)
{
	struct job *job, *found = NULL;

	spin_lock(&lock);
	list_for_each_entry(job, &jobs, entry) {
		if (job->todo.mr != mr || !cancel(job))
			continue;
		found = job;
		break;
	}
	spin_unlock(&lock);
	return found;
}

void urxe_advise_cancel(struct urxe_mr *mr)
{
	struct job *job;

	while ((job = cancel_some(mr)))
		end_job(job, -EINTR);
}

/* A process may only wait for its own pages. */
static bool may_wait(const struct fetch *p)
{
	return p->mr->umem->mm == current->mm;
}

/* Is there room for another one in the background? Kernel consumers have none. */
static bool has_room(const struct urxe_mr *mr)
{
	const struct urxe_ucontext *uuc = process_of(mr);

	return uuc && atomic_read(&uuc->prefetches) < BACKGROUND_MAX;
}

/* Of a dma-buf, which is nobody's pages, nothing has to be brought in. */
static int advise_user(const struct fetch *p, bool wait)
{
	if (!p->mr->umem->mm)
		return fetch(p);
	if (!wait && !has_room(p->mr))
		return 0;
	return wait && !may_wait(p) ? -EFAULT : start_job(p, wait);
}

static int advise_sge(struct ib_pd *ibpd, const struct ib_sge *sge,
		      enum umem_fetch how, bool wait)
{
	int access = how == UMEM_FETCH_WRITE ? IB_ACCESS_LOCAL_WRITE : 0;
	struct fetch p = { .len = sge->length, .how = how };
	int err = -EFAULT;

	if (!p.len)
		return 0;
	p.mr = urxe_mr_get(ibpd, sge->lkey, access, sge->addr, p.len);
	if (!p.mr)
		return -EFAULT;
	p.off = sge->addr - p.mr->iova;
	if (p.mr->type == URXE_MR_USER)
		err = advise_user(&p, wait);
	urxe_mr_put(p.mr);
	return err;
}

static int fetch_of(enum ib_uverbs_advise_mr_advice advice)
{
	switch (advice) {
	case IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH:
		return UMEM_FETCH_READ;
	case IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_WRITE:
		return UMEM_FETCH_WRITE;
	case IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT:
		return UMEM_FETCH_PRESENT;
	default:
		return -EOPNOTSUPP;
	}
}

int urxe_advise_mr(struct ib_pd *ibpd, enum ib_uverbs_advise_mr_advice advice,
		   u32 flags, struct ib_sge *sges, u32 num_sge,
		   struct uverbs_attr_bundle *attrs)
{
	bool wait = flags & IB_UVERBS_ADVISE_MR_FLAG_FLUSH;
	int how = fetch_of(advice);
	int err = 0;
	u32 i;

	if (how < 0)
		return how;
	if (flags & ~IB_UVERBS_ADVISE_MR_FLAG_FLUSH)
		return -EINVAL;
	for (i = 0; i < num_sge && !err; i++)
		err = advise_sge(ibpd, &sges[i], how, wait);
	return err;
}
