// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * A kernel thread's stay in an owner's mm.
 *
 * References on the mm: the caller's mmgrab() keeps the struct; the mmget() of a
 * stay keeps the address space, and with it delays what a dying owner frees.
 *
 * A kernel thread ignores signals, so nothing could end a fault that it waits in.
 * For its stay it takes SIGKILL from the kernel, and from nobody else: a handler
 * of its own means the signal is pending, and thereby fatal to a killable wait,
 * but kills nothing.
 */
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/timer.h>

#ifdef CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS
#include <asm/pkru.h>
#endif

#include "umem.h"

/*
 * Protection keys are a right of the thread that makes an access. A kernel thread
 * begins with the right to nothing but key 0, and would fail where a pinned page
 * is reached. A device's right is the region's, so for the stay all keys open.
 */
#ifdef CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS
static u32 open_keys(void)
{
	const u32 keys = read_pkru();

	write_pkru(0);
	return keys;
}

static void restore_keys(u32 keys)
{
	write_pkru(keys);
}
#else
static u32 open_keys(void)
{
	return 0;
}

static void restore_keys(u32 keys)
{
}
#endif

/*
 * A page is charged to the group of the mm that it is mapped in. A page table, and
 * what else a fault takes, is charged to whom the thread says it works for.
 */
static void charge_to(struct umem_worker *w, struct mm_struct *mm)
{
	w->memcg = get_mem_cgroup_from_mm(mm);
	w->before = set_active_memcg(w->memcg);
}

static void charge_to_nobody(struct umem_worker *w)
{
	set_active_memcg(w->before);
	mem_cgroup_put(w->memcg);
}

/* Between two looks at whether the owner is still there. */
#define WATCH_TICKS	(HZ / 10)

/* Is there no process any more that runs on this mm? */
static bool is_orphan(const struct mm_struct *mm)
{
#ifdef CONFIG_MEMCG
	return !rcu_access_pointer(mm->owner);
#else
	return false;
#endif
}

static void kill_fault(struct umem_worker *w, bool stop)
{
	unsigned long flags;

	spin_lock_irqsave(&w->lock, flags);
	w->stop |= stop;
	if (w->task)
		send_sig(SIGKILL, w->task, 1);
	spin_unlock_irqrestore(&w->lock, flags);
}

/*
 * A stay keeps the address space, and what is mapped there: files of drivers, ours
 * among them, whose close is what would end the stay. So when the last process has
 * left, by exit or exec, a fault that takes its time has to end by itself.
 */
static void watch_owner(struct timer_list *timer)
{
	struct umem_worker *w = container_of(timer, struct umem_worker, watch);

	if (is_orphan(w->mm))
		kill_fault(w, false);
	mod_timer(timer, jiffies + WATCH_TICKS);
}

void umem_worker_init(struct umem_worker *w)
{
	spin_lock_init(&w->lock);
	timer_setup(&w->watch, watch_owner, 0);
	w->task = NULL;
	w->mm = NULL;
	w->memcg = NULL;
	w->before = NULL;
	w->keys = 0;
	w->stop = false;
}
EXPORT_SYMBOL_GPL(umem_worker_init);

/* From here on, until withdraw(), umem_worker_interrupt() finds this thread. */
static int announce(struct umem_worker *w)
{
	int err = 0;

	allow_kernel_signal(SIGKILL);
	spin_lock_irq(&w->lock);
	if (w->stop)
		err = -EINTR;
	else
		w->task = current;
	spin_unlock_irq(&w->lock);
	return err;
}

/* No signal comes after this, and the one that came is dropped. */
static void withdraw(struct umem_worker *w)
{
	spin_lock_irq(&w->lock);
	w->task = NULL;
	spin_unlock_irq(&w->lock);

	disallow_signal(SIGKILL);
}

int umem_worker_enter(struct umem_worker *w, struct mm_struct *mm)
{
	int err;

	if (WARN_ON_ONCE(w->task || current->mm))
		return -EINVAL;
	if (!mmget_not_zero(mm))
		return -ESRCH;

	/* Nor may two workers keep an mm for each other. */
	err = is_orphan(mm) ? -ESRCH : announce(w);
	if (err) {
		withdraw(w);
		mmput_async(mm);
		return err;
	}
	w->mm = mm;
	w->keys = open_keys();
	mod_timer(&w->watch, jiffies + WATCH_TICKS);
	kthread_use_mm(mm);
	charge_to(w, mm);
	return 0;
}
EXPORT_SYMBOL_GPL(umem_worker_enter);

/*
 * The last mmput() of an mm unmaps all of it, and closes files in the course of
 * that: not in a thread that other work waits for.
 */
void umem_worker_leave(struct umem_worker *w)
{
	struct mm_struct *mm = w->mm;

	charge_to_nobody(w);
	kthread_unuse_mm(mm);
	restore_keys(w->keys);
	timer_delete_sync(&w->watch);
	w->mm = NULL;
	withdraw(w);
	mmput_async(mm);
}
EXPORT_SYMBOL_GPL(umem_worker_leave);

void umem_worker_interrupt(struct umem_worker *w)
{
	kill_fault(w, true);
}
EXPORT_SYMBOL_GPL(umem_worker_interrupt);

void umem_worker_break(struct umem_worker *w)
{
	kill_fault(w, false);
}
EXPORT_SYMBOL_GPL(umem_worker_break);

void umem_worker_resume(struct umem_worker *w)
{
	unsigned long flags;

	spin_lock_irqsave(&w->lock, flags);
	w->stop = false;
	spin_unlock_irqrestore(&w->lock, flags);
}
EXPORT_SYMBOL_GPL(umem_worker_resume);
