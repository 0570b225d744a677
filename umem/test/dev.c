// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * /dev/umem_test: a range per open file, accessed from wherever the program asks.
 */
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "test.h"

/* A signal was left behind in a thread that was a worker. */
#define ELEFTOVER	EOWNERDEAD

/**
 * struct handle - an open file
 * @sem: read for an access, write to change @umem
 * @one: one stay of @worker at a time
 * @umem: the range, or NULL
 * @worker: who enters the owner's mm
 */
struct handle {
	struct rw_semaphore	sem;
	struct mutex		one;
	struct umem		*umem;
	struct umem_worker	worker;
};

/**
 * struct job - one access, given to whoever makes it
 * @work: for a work item
 * @tasklet: for a softirq
 * @done: it has been made
 * @h: the file
 * @arg: what to do
 * @buf: kernel memory to move from or to
 * @result: of the accessor
 */
struct job {
	struct work_struct		work;
	struct tasklet_struct		tasklet;
	struct completion		done;
	struct handle			*h;
	struct umem_test_access		*arg;
	void				*buf;
	int				result;
};

static struct workqueue_struct *wq;

static int make_access(struct job *job, bool nowait)
{
	struct umem_test_access *a = job->arg;
	struct umem *umem = job->h->umem;

	switch (a->op) {
	case OP_READ:
		if (nowait)
			return umem_read_nowait(umem, a->off, job->buf, a->len);
		return umem_read(umem, a->off, job->buf, a->len);
	case OP_WRITE:
		if (nowait)
			return umem_write_nowait(umem, a->off, job->buf,
						 a->len);
		return umem_write(umem, a->off, job->buf, a->len);
	default:
		return umem_atomic(umem, a->off, a->op - OP_ATOMIC, a->a, a->b,
				   &a->old, nowait);
	}
}

static void run_softirq(struct tasklet_struct *t)
{
	struct job *job = container_of(t, struct job, tasklet);

	job->result = make_access(job, true);
	complete(&job->done);
}

/* The softirq runs on this task's back, unless ksoftirqd was busy. */
static void from_softirq(struct job *job)
{
	init_completion(&job->done);
	tasklet_setup(&job->tasklet, run_softirq);
	local_bh_disable();
	tasklet_schedule(&job->tasklet);
	local_bh_enable();
	wait_for_completion(&job->done);
	tasklet_kill(&job->tasklet);
}

static void run_worker(struct work_struct *work)
{
	struct job *job = container_of(work, struct job, work);
	struct umem_worker *w = &job->h->worker;

	job->result = umem_worker_enter(w, job->h->umem->mm);
	if (!job->result) {
		job->result = make_access(job, false);
		umem_worker_leave(w);
	}
	if (signal_pending(current))
		job->result = -ELEFTOVER;
}

static void run_kthread(struct work_struct *work)
{
	struct job *job = container_of(work, struct job, work);

	job->result = make_access(job, true);
}

static void from_workqueue(struct job *job, work_func_t fn)
{
	INIT_WORK_ONSTACK(&job->work, fn);
	queue_work(wq, &job->work);
	flush_work(&job->work);
	destroy_work_on_stack(&job->work);
}

static int dispatch(struct job *job)
{
	switch (job->arg->where) {
	case WHERE_CALLER:
		job->result = make_access(job, false);
		break;
	case WHERE_CALLER_NOWAIT:
		job->result = make_access(job, true);
		break;
	case WHERE_SOFTIRQ:
		from_softirq(job);
		break;
	case WHERE_WORKER:
		mutex_lock(&job->h->one);
		from_workqueue(job, run_worker);
		mutex_unlock(&job->h->one);
		break;
	case WHERE_KTHREAD_NOWAIT:
		from_workqueue(job, run_kthread);
		break;
	}
	return job->result;
}

/* The bytes go between the caller and @job->buf; the owner is elsewhere. */
static int access_through(struct job *job)
{
	struct umem_test_access *a = job->arg;
	void __user *user = u64_to_user_ptr(a->buf);
	int err;

	if (a->op == OP_WRITE && copy_from_user(job->buf, user, a->len))
		return -EINVAL;
	err = dispatch(job);
	if (!err && a->op == OP_READ && copy_to_user(user, job->buf, a->len))
		return -EINVAL;
	return err;
}

static long do_access(struct handle *h, struct umem_test_access __user *user)
{
	struct umem_test_access a;
	struct job job = { .h = h, .arg = &a };
	long err;

	if (copy_from_user(&a, user, sizeof(a)))
		return -EINVAL;
	if (a.op > OP_LAST || a.where > WHERE_LAST)
		return -EINVAL;
	job.buf = kvzalloc(max_t(size_t, a.len, 1), GFP_KERNEL);
	if (!job.buf)
		return -ENOMEM;

	down_read(&h->sem);
	err = h->umem ? access_through(&job) : -ENODEV;
	up_read(&h->sem);

	kvfree(job.buf);
	if (!err && put_user(a.old, &user->old))
		err = -EINVAL;
	return err;
}

static struct umem *open_as(const struct umem_test_open *o)
{
	switch (o->kind) {
	case KIND_UNPINNED:
		return umem_open(o->addr, o->length, o->flags);
	case KIND_PINNED:
		return umem_get(NULL, o->addr, o->length, o->flags, 0);
	case KIND_PINNED_RECORDED:
		if (!umem_test_recorded())
			return ERR_PTR(-EOPNOTSUPP);
		return umem_get(umem_test_recorded(), o->addr, o->length,
				o->flags, o->attrs);
	case KIND_PINNED_DIRECT:
		return umem_get(umem_test_direct(), o->addr, o->length,
				o->flags, o->attrs);
	}
	return ERR_PTR(-EINVAL);
}

static long do_open(struct handle *h, struct umem_test_open __user *user)
{
	struct umem_test_open o;
	struct umem *umem;
	long err = 0;

	if (copy_from_user(&o, user, sizeof(o)))
		return -EINVAL;
	down_write(&h->sem);
	if (h->umem) {
		err = -EBUSY;
		goto unlock;
	}
	umem = open_as(&o);
	if (IS_ERR(umem))
		err = PTR_ERR(umem);
	else
		h->umem = umem;
unlock:
	up_write(&h->sem);
	return err;
}

static long do_close(struct handle *h)
{
	down_write(&h->sem);
	umem_release(h->umem);
	h->umem = NULL;
	up_write(&h->sem);
	return 0;
}

static void describe_table(struct umem_test_info *info, struct sg_table *sgt)
{
	struct scatterlist *sg;
	int i;

	info->sg_entries = sgt->orig_nents;
	for_each_sgtable_sg(sgt, sg, i)
		info->sg_bytes += sg->length;
	info->phys_addr = sg_phys(sgt->sgl);
	info->dma_addr = sgt->nents ? sg_dma_address(sgt->sgl) : 0;
}

static long do_info(struct handle *h, struct umem_test_info __user *user)
{
	struct umem_test_info info = {
		.maps		= umem_test_dma.maps,
		.unmaps		= umem_test_dma.unmaps,
		.map_attrs	= umem_test_dma.map_attrs,
		.unmap_attrs	= umem_test_dma.unmap_attrs,
		.map_dir	= umem_test_dma.dir,
	};

	down_read(&h->sem);
	if (h->umem) {
		info.pinned_pages = umem_pinned_pages(h->umem);
		info.resident = umem_resident_pages(h->umem);
	}
	if (h->umem && umem_sg_table(h->umem))
		describe_table(&info, umem_sg_table(h->umem));
	up_read(&h->sem);
	return copy_to_user(user, &info, sizeof(info)) ? -EINVAL : 0;
}

static long handle_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct handle *h = file->private_data;
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case UMEM_TEST_OPEN:
		return do_open(h, user);
	case UMEM_TEST_CLOSE:
		return do_close(h);
	case UMEM_TEST_ACCESS:
		return do_access(h, user);
	case UMEM_TEST_INTERRUPT:
		umem_worker_interrupt(&h->worker);
		return 0;
	case UMEM_TEST_RESUME:
		umem_worker_resume(&h->worker);
		return 0;
	case UMEM_TEST_INFO:
		return do_info(h, user);
	case UMEM_TEST_FAIL_MAP:
		umem_test_dma.fail = true;
		return 0;
	}
	return -ENOTTY;
}

static int handle_open(struct inode *inode, struct file *file)
{
	struct handle *h = kzalloc(sizeof(*h), GFP_KERNEL);

	if (!h)
		return -ENOMEM;
	init_rwsem(&h->sem);
	mutex_init(&h->one);
	umem_worker_init(&h->worker);
	file->private_data = h;
	return 0;
}

static int handle_release(struct inode *inode, struct file *file)
{
	struct handle *h = file->private_data;

	umem_release(h->umem);
	kfree(h);
	return 0;
}

static const struct file_operations handle_fops = {
	.owner		= THIS_MODULE,
	.open		= handle_open,
	.release	= handle_release,
	.unlocked_ioctl	= handle_ioctl,
};

static struct miscdevice device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "umem_test",
	.fops	= &handle_fops,
	.mode	= 0666,
};

int umem_test_dev_init(void)
{
	int err;

	wq = alloc_workqueue("umem_test", WQ_UNBOUND, 0);
	if (!wq)
		return -ENOMEM;
	err = misc_register(&device);
	if (err)
		destroy_workqueue(wq);
	return err;
}

void umem_test_dev_exit(void)
{
	misc_deregister(&device);
	destroy_workqueue(wq);
}
