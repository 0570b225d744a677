/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Shared receive queues.
 */
#ifndef URXE_SRQ_H
#define URXE_SRQ_H

#include "rq.h"

struct urxe_qp;

/**
 * struct urxe_srq - a shared receive queue
 * @ibsrq: the core's part
 * @rq: the queue
 * @limit: the consumer is told once when fewer work requests than this are
 *	   left; 0 when not armed; guarded by the lock of @rq
 * @number: tells the link's SRQs apart
 */
struct urxe_srq {
	struct ib_srq	ibsrq;
	struct urxe_rq	rq;
	u32		limit;
	int		number;
};

static inline struct urxe_srq *to_usrq(struct ib_srq *ibsrq)
{
	return container_of(ibsrq, struct urxe_srq, ibsrq);
}

/**
 * urxe_recv_pull - the work request that the next message to @qp uses
 * @qp: the QP
 * @rqe: filled in, as by urxe_rq_pull()
 * @least: likewise
 *
 * Comes from the QP's own queue, or from its SRQ, whose consumer is told when that
 * falls below its limit.
 * Return: as urxe_rq_pull(). Any context.
 */
int urxe_recv_pull(struct urxe_qp *qp, struct urxe_rqe *rqe, u32 least);

/* Hooks for the core. */
int urxe_create_srq(struct ib_srq *ibsrq, struct ib_srq_init_attr *init,
		    struct ib_udata *udata);
int urxe_modify_srq(struct ib_srq *ibsrq, struct ib_srq_attr *attr,
		    enum ib_srq_attr_mask mask, struct ib_udata *udata);
int urxe_query_srq(struct ib_srq *ibsrq, struct ib_srq_attr *attr);
int urxe_destroy_srq(struct ib_srq *ibsrq, struct ib_udata *udata);
int urxe_post_srq_recv(struct ib_srq *ibsrq, const struct ib_recv_wr *wr,
		       const struct ib_recv_wr **bad_wr);

#endif /* URXE_SRQ_H */
