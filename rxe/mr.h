/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Memory regions: keys, who may use them for what, and how long.
 *
 * A key is the region's index in the link's table, shifted by 8, and a byte
 * that changes from use to use. lkey and rkey are the same number. Memory windows
 * (mw.h) are in the same table, as regions that use another's memory.
 */
#ifndef URXE_MR_H
#define URXE_MR_H

#include <linux/kref.h>

#include "urxe.h"

#define URXE_REMOTE_ACCESS	(IB_ACCESS_REMOTE_WRITE |			\
				 IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC)

#define KEY_INDEX(key)	((key) >> 8)

struct umem;
struct urxe_ctx;
struct urxe_mw;
struct urxe_pages;
struct urxe_qp;

enum urxe_mr_type {
	URXE_MR_DMA,		/* kernel: all memory, address is the pointer */
	URXE_MR_USER,		/* a range of user memory, or a window to one */
	URXE_MR_FAST,		/* kernel: pages from a list, by work request */
};

enum urxe_mr_state {
	URXE_MR_INVALID,	/* has a key that no access may use now */
	URXE_MR_ENDING,		/* likewise, but some that did are under way */
	URXE_MR_VALID,
};

/* In struct urxe_mr's @windows: none may be bound any more. */
#define URXE_MR_CLOSED	(-1)

/**
 * struct urxe_mr - a memory region
 * @ibmr: the core's part; its keys and range are what the consumer will register
 *	  next, not always what is registered
 * @dev: the link
 * @ref: the table's reference and those of accesses under way
 * @gone: completed when the last reference is put
 * @rcu: the struct is looked up under RCU
 * @lock: guards changes of what is below it, once it can be found
 * @type: see the enum
 * @state: see the enum; with URXE_MR_VALID the range, the rights and what is behind
 *	   them do not change
 * @access: enum ib_access_flags
 * @key: what an access must name
 * @iova: address of the first byte of @umem or @pages
 * @first: first address that may be named; @iova, unless this is a window
 * @length: bytes from there on
 * @umem: URXE_MR_USER: the bytes
 * @faults: URXE_MR_USER: accesses by who was ready to wait for a page
 * @prefetched: URXE_MR_USER: pages that were there after a program's advice
 * @pages: URXE_MR_FAST: the bytes, likewise
 * @next_pages: URXE_MR_FAST: what the next work request will register
 * @windows: URXE_MR_USER: how many are bound to it, or URXE_MR_CLOSED
 * @window: what is special about a window; NULL for a region
 */
struct urxe_mr {
	struct ib_mr		ibmr;
	struct urxe_dev		*dev;
	struct kref		ref;
	struct completion	gone;
	struct rcu_head		rcu;
	spinlock_t		lock;
	enum urxe_mr_type	type;
	enum urxe_mr_state	state;
	int			access;
	u32			key;
	u64			iova;
	u64			first;
	u64			length;
	struct umem		*umem;
	atomic64_t		faults;
	atomic64_t		prefetched;
	struct urxe_pages	*pages;
	struct urxe_pages	*next_pages;
	atomic_t		windows;
	struct urxe_mw		*window;
};

static inline struct urxe_mr *to_umr(struct ib_mr *ibmr)
{
	return container_of(ibmr, struct urxe_mr, ibmr);
}

/**
 * urxe_mr_get - find the region that a key names, if it allows the access
 * @ibpd: the protection domain of who asks
 * @key: lkey or rkey
 * @access: rights needed, enum ib_access_flags; 0 for local reads
 * @va: first byte, in the region's own addresses
 * @len: bytes; 0 needs no key and must not be asked for
 *
 * Return: the region, to be given to urxe_mr_put(), or NULL. Any context.
 */
struct urxe_mr *urxe_mr_get(struct ib_pd *ibpd, u32 key, int access, u64 va,
			    u64 len);

/**
 * urxe_mr_get_remote - likewise for an rkey, which may be a window's
 * @qp: the QP whose peer asks
 * @key: rkey
 * @access: rights needed, enum ib_access_flags
 * @va: first byte, in the region's or the window's own addresses
 * @len: bytes, not 0
 * Return: as urxe_mr_get().
 */
struct urxe_mr *urxe_mr_get_remote(const struct urxe_qp *qp, u32 key,
				   int access, u64 va, u64 len);

/* Likewise, of whatever range it is. */
struct urxe_mr *urxe_mr_get_whole(const struct urxe_qp *qp, u32 key,
				  int access);

/*
 * Give a reference back, and before the step ends: who deregisters the region, or
 * invalidates its key, waits for it.
 */
void urxe_mr_put(struct urxe_mr *mr);

/* Does the region's key still name it: is it in the link's table? Any context. */
bool urxe_mr_is_current(const struct urxe_mr *mr);

/**
 * urxe_mr_invalidate - have a key be of no use any more
 * @qp: where the work request, or the message, was posted to
 * @key: lkey or rkey
 * @remote: it is a peer's message
 * @ctx: where the caller runs
 *
 * After success nothing that used the key is under way.
 * Return: 0; -EINVAL for a key that can't be invalidated, or not so; -EAGAIN when
 * the step has to end and be done again in the worker. Not in hard interrupt.
 */
int urxe_mr_invalidate(const struct urxe_qp *qp, u32 key, bool remote,
		       struct urxe_ctx *ctx);

/* --- what reg.c, fast.c and mw.c share ---------------------------------- */

/* Return: zeroed but for its head and one reference, the table's; NULL. May sleep. */
struct urxe_mr *urxe_mr_alloc(struct ib_pd *ibpd, enum urxe_mr_type type,
			      int access);

/* Give @mr an index, and with it a key; it can be found from then on. */
int urxe_mr_publish(struct urxe_mr *mr);

/* It can't be found any more, and nobody uses it. May sleep. */
void urxe_mr_withdraw(struct urxe_mr *mr);

/* Free the struct itself. */
void urxe_mr_free(struct urxe_mr *mr);

/* What has this key's index, whatever its state; with a reference, or NULL. */
struct urxe_mr *urxe_mr_find(struct urxe_dev *dev, u32 key);

static inline void urxe_mr_set_range(struct urxe_mr *mr, u64 iova, u64 length)
{
	mr->iova = iova;
	mr->first = iova;
	mr->length = length;
}

/**
 * urxe_mr_end_access - let nobody use the key from now on
 * @mr: from urxe_mr_find(), with its lock held
 * Return: 0 when nobody does; -EAGAIN: come back, without lock and reference.
 */
int urxe_mr_end_access(struct urxe_mr *mr) __must_hold(&mr->lock);

/*
 * After -EAGAIN: wait a moment and try again? False when the step has to end, and
 * have the worker try.
 */
bool urxe_mr_wait(struct urxe_ctx *ctx);

#endif /* URXE_MR_H */
