/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Receive queues: work requests are pulled one at a time, each as a private copy.
 */
#ifndef URXE_RQ_H
#define URXE_RQ_H

#include "ring.h"

/**
 * struct urxe_rqe - a receive work request, checked
 * @wr_id: the consumer's
 * @length: bytes it can take
 * @status: not IB_WC_SUCCESS: it is unusable, and ends with this
 * @num_sge: entries of @sge
 */
struct urxe_rqe {
	u64			wr_id;
	u32			length;
	enum ib_wc_status	status;
	u32			num_sge;
	struct rxe_sge		sge[URXE_MAX_SGE];
};

/**
 * struct urxe_rq - a receive queue, of a QP or shared
 * @lock: guards the kernel's side of @ring: pulls, and kernel consumers' posts
 * @ring: user QPs and kernel QPs use the same
 * @max_wr: how many a kernel consumer may post
 * @max_sge: entries a work request may have
 */
struct urxe_rq {
	spinlock_t		lock;
	struct urxe_ring	ring;
	u32			max_wr;
	u32			max_sge;
};

/* A ring for @wr work requests of @sge entries. Return: 0 or -ENOMEM. May sleep. */
int urxe_rq_ring_alloc(struct urxe_ring *ring, u32 wr, u32 sge);

/*
 * Also a queue for nothing (@wr 0) has a ring: the stock user library maps it.
 * Return: 0 or -ENOMEM. May sleep.
 */
int urxe_rq_init(struct urxe_rq *rq, u32 wr, u32 sge);
void urxe_rq_exit(struct urxe_rq *rq);

/**
 * urxe_rq_pull - take the oldest work request
 * @rq: the queue
 * @rqe: filled in with a copy that has been checked
 * @least: bytes that it has to have room for; if it has not, it stays
 * Return: 0; -ENOENT when there is none; -EMSGSIZE when it is too short. Any context.
 */
int urxe_rq_pull(struct urxe_rq *rq, struct urxe_rqe *rqe, u32 least);

/* Work requests posted and not pulled, as far as the ring says. Any context. */
u32 urxe_rq_pending(const struct urxe_rq *rq);

/**
 * urxe_rq_push_list - a kernel consumer's post
 * @rq: the queue
 * @wr: the first of the list
 * @bad_wr: set to the first that is not posted
 * Return: 0, -ENOMEM, -EINVAL. Any context.
 */
int urxe_rq_push_list(struct urxe_rq *rq, const struct ib_recv_wr *wr,
		      const struct ib_recv_wr **bad_wr);

/**
 * urxe_rq_swap - go on in another ring, with all that is posted
 * @rq: the queue
 * @ring: the new one, empty; after success the old one
 * Return: 0; -EINVAL when more is posted than fits. Any context.
 */
int urxe_rq_swap(struct urxe_rq *rq, struct urxe_ring *ring);

/* Forget all that is posted. */
void urxe_rq_reset(struct urxe_rq *rq);

#endif /* URXE_RQ_H */
