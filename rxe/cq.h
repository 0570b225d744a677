/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Completion queues.
 */
#ifndef URXE_CQ_H
#define URXE_CQ_H

#include "ring.h"

/* The user's ring carries one form, in 64-byte slots, the kernel's the other. */
union urxe_cqe {
	struct ib_wc		ib;
	struct ib_uverbs_wc	user;
};

/**
 * struct urxe_cq - a completion queue
 * @ibcq: the core's part
 * @lock: guards the fields below it but @is_user; taken in any context
 * @ring: shared with the user, or private to the kernel
 * @armed: enum ib_cq_notify_flags the consumer waits for, 0 when not armed
 * @overflow: a completion was lost: the CQ is in error and takes no more
 * @is_user: which form the ring carries
 */
struct urxe_cq {
	struct ib_cq		ibcq;
	spinlock_t		lock;	/* any context */
	struct urxe_ring	ring;
	u8			armed;
	bool			overflow;
	bool			is_user;
};

static inline struct urxe_cq *to_ucq(struct ib_cq *ibcq)
{
	return container_of(ibcq, struct urxe_cq, ibcq);
}

/**
 * urxe_cq_post - add a completion
 * @cq: where to
 * @wc: the completion in the kernel's form; wc->qp is set. For a user CQ it is
 *	turned into the user's form
 * @solicited: counts as a solicited event (or is an error, which always does)
 *
 * Runs the completion handler when the CQ is armed for it. On overflow the CQ
 * goes to error: IB_EVENT_CQ_ERR, once, and the completion is lost.
 * Context: any but hard interrupt.
 * Return: false when the completion was lost.
 */
bool urxe_cq_post(struct urxe_cq *cq, const struct ib_wc *wc, bool solicited);

/* Hooks for the core. */
int urxe_create_cq(struct ib_cq *ibcq, const struct ib_cq_init_attr *attr,
		   COMPAT_CQ_ATTRS *attrs);
int urxe_resize_cq(struct ib_cq *ibcq, COMPAT_CQE_NUM cqe,
		   struct ib_udata *udata);
int urxe_destroy_cq(struct ib_cq *ibcq, struct ib_udata *udata);
int urxe_poll_cq(struct ib_cq *ibcq, int num_entries, struct ib_wc *wc);
int urxe_peek_cq(struct ib_cq *ibcq, int wc_cnt);
int urxe_req_notify_cq(struct ib_cq *ibcq, enum ib_cq_notify_flags flags);

#endif /* URXE_CQ_H */
