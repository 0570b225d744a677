// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Atomic operations on 8 bytes of user memory.
 *
 * All of them are loops around one compare-and-exchange. On the owner's mm it is
 * made on the user address itself, so that the processor does what it does for
 * the owner: it sets the dirty bit, and a copy-on-write page is copied first. No
 * page is held, not even for the instruction.
 */
#include <linux/export.h>
#include <linux/highmem.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "private.h"

/* Lost races against the owner before a _nowait caller is sent to a worker. */
#define NOWAIT_TRIES	64

/* What @op makes of @old. */
static u64 apply(enum umem_atomic_op op, u64 old, u64 a, u64 b)
{
	switch (op) {
	case UMEM_ATOMIC_CAS:
		return old == b ? a : old;
	case UMEM_ATOMIC_FAA:
		return old + a;
	case UMEM_ATOMIC_WRITE:
		return a;
	}
	return old;
}

void umem_atomic_word(u64 *word, enum umem_atomic_op op, u64 a, u64 b,
		      u64 *old)
{
	*old = READ_ONCE(*word);
	while (!try_cmpxchg64(word, old, apply(op, *old, a, b)))
		cpu_relax();
}

void umem_atomic_page(struct page *page, unsigned int off,
		      enum umem_atomic_op op, u64 a, u64 b, u64 *old)
{
	void *base = kmap_local_page(page);

	umem_atomic_word(base + off, op, a, b, old);
	kunmap_local(base);
}

/*
 * One compare-and-exchange on a user address; *@old is corrected when it was
 * wrong. Return: 0, -EBUSY (was wrong), -EFAULT.
 */
static int cmpxchg_user(u64 __user *word, u64 *old, u64 new)
{
	bool done;

	if (!user_access_begin(word, sizeof(*word)))
		return -EFAULT;
	done = unsafe_try_cmpxchg_user(word, old, new, fault);
	user_access_end();
	return done ? 0 : -EBUSY;

fault:
	user_access_end();
	return -EFAULT;
}

int umem_touch(unsigned long addr)
{
	u64 __user *word = (u64 __user *)ALIGN_DOWN(addr, sizeof(*word));
	u64 old = 0;
	int err;

	do {
		if (fatal_signal_pending(current))
			return -EFAULT;
		err = cmpxchg_user(word, &old, old);
	} while (err == -EBUSY);
	return err;
}

/* The caller may sleep. */
static int atomic_user(struct umem *umem, size_t off, enum umem_atomic_op op,
		       u64 a, u64 b, u64 *old)
{
	u64 __user *word = (u64 __user *)(umem->addr + off);
	struct umem_visit visit;
	int err;

	if (!umem_on_owner(umem))
		return -EAGAIN;
	umem_visit_begin_access(umem, &visit);
	do {
		if (fatal_signal_pending(current))
			return -EFAULT;
		cond_resched();
		err = cmpxchg_user(word, old, apply(op, *old, a, b));
	} while (err == -EBUSY);
	if (!err)
		umem_visit_end(umem, &visit, off, sizeof(*word), TO_USER);
	return err;
}

/* The caller may not sleep. */
static int atomic_user_nowait(const struct umem *umem, size_t off,
			      enum umem_atomic_op op, u64 a, u64 b, u64 *old)
{
	u64 __user *word = (u64 __user *)(umem->addr + off);
	int tries = NOWAIT_TRIES;
	int err;

	if (!umem_on_owner(umem))
		return -EAGAIN;
	pagefault_disable();
	do {
		err = cmpxchg_user(word, old, apply(op, *old, a, b));
	} while (err == -EBUSY && --tries);
	pagefault_enable();
	return err ? -EAGAIN : 0;
}

static int atomic(struct umem *umem, size_t off, enum umem_atomic_op op, u64 a,
		  u64 b, u64 *old, bool nowait)
{
	if (umem->dmabuf)
		return umem_dmabuf_atomic(umem, off, op, a, b, old);
	if (umem->pinned) {
		umem_atomic_page(umem_pinned_page(umem, off),
				 offset_in_page(umem->addr + off), op, a, b,
				 old);
		return 0;
	}
	if (!nowait)
		return atomic_user(umem, off, op, a, b, old);
	if (!atomic_user_nowait(umem, off, op, a, b, old))
		return 0;
	return umem_resident_atomic(umem, off, op, a, b, old);
}

int umem_atomic(struct umem *umem, size_t off, enum umem_atomic_op op, u64 a,
		u64 b, u64 *old, bool nowait)
{
	u64 was = b;	/* a first guess; the exchange corrects it */
	int err;

	if (op > UMEM_ATOMIC_WRITE || !IS_ALIGNED(umem->addr + off, sizeof(u64)))
		return -EINVAL;
	err = umem_check(umem, off, sizeof(u64), TO_USER);
	if (err)
		return err;
	err = atomic(umem, off, op, a, b, &was, nowait);
	if (!err && old)
		*old = was;
	return err;
}
EXPORT_SYMBOL_GPL(umem_atomic);
