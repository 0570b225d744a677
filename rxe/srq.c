// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Shared receive queues.
 */
#include <linux/idr.h>

#include "qp.h"
#include "srq.h"

/* --- taking from it ----------------------------------------------------- */

static void limit_reached(struct urxe_srq *srq)
{
	struct ib_event event = {
		.device		= srq->ibsrq.device,
		.event		= IB_EVENT_SRQ_LIMIT_REACHED,
		.element.srq	= &srq->ibsrq,
	};

	if (srq->ibsrq.event_handler)
		srq->ibsrq.event_handler(&event, srq->ibsrq.srq_context);
}

/* Told once: who wants to know again arms the limit again. */
static void check_limit(struct urxe_srq *srq)
{
	unsigned long flags;
	bool reached;

	spin_lock_irqsave(&srq->rq.lock, flags);
	reached = urxe_rq_pending(&srq->rq) < srq->limit;
	if (reached)
		srq->limit = 0;
	spin_unlock_irqrestore(&srq->rq.lock, flags);
	if (reached)
		limit_reached(srq);
}

int urxe_recv_pull(struct urxe_qp *qp, struct urxe_rqe *rqe, u32 least)
{
	struct urxe_srq *srq;
	int err;

	if (!qp->ibqp.srq)
		return urxe_rq_pull(&qp->rq, rqe, least);
	srq = to_usrq(qp->ibqp.srq);
	err = urxe_rq_pull(&srq->rq, rqe, least);
	if (!err && READ_ONCE(srq->limit))
		check_limit(srq);
	return err;
}

/* --- making ------------------------------------------------------------- */

static bool size_ok(u32 wr)
{
	return wr && wr <= URXE_MAX_SRQ_WR;
}

static int publish(struct urxe_srq *srq, struct ib_udata *udata)
{
	struct urxe_ucontext *uuc = urxe_ucontext_of(udata);
	struct rxe_create_srq_resp resp = { .srq_num = srq->number };
	int err;

	err = urxe_ring_publish(&srq->rq.ring, &uuc->ibuc, &resp.mi);
	return err ?: ib_copy_to_udata(udata, &resp, sizeof(resp));
}

static int check_init(const struct ib_srq_init_attr *init,
		      const struct ib_udata *udata)
{
	if (init->srq_type != IB_SRQT_BASIC)
		return -EOPNOTSUPP;
	if (!size_ok(init->attr.max_wr) || init->attr.max_sge > URXE_MAX_SGE)
		return -EINVAL;
	if (udata && udata->outlen < sizeof(struct rxe_create_srq_resp))
		return -EINVAL;
	return 0;
}

/* The limit is not for this call: a new SRQ is not armed. */
int urxe_create_srq(struct ib_srq *ibsrq, struct ib_srq_init_attr *init,
		    struct ib_udata *udata)
{
	struct urxe_dev *dev = to_urxe(ibsrq->device);
	struct urxe_srq *srq = to_usrq(ibsrq);
	int err;

	err = check_init(init, udata);
	if (err)
		return err;
	srq->number = ida_alloc_range(&dev->srqs, 1, URXE_MAX_SRQ, GFP_KERNEL);
	if (srq->number < 0)
		return -ENOMEM;
	err = urxe_rq_init(&srq->rq, init->attr.max_wr, init->attr.max_sge);
	if (err)
		goto free_number;
	init->attr.max_wr = srq->rq.max_wr;
	if (!udata)
		return 0;
	err = publish(srq, udata);
	if (err)
		goto exit_rq;
	return 0;

exit_rq:
	urxe_rq_exit(&srq->rq);
free_number:
	ida_free(&dev->srqs, srq->number);
	return err;
}

int urxe_destroy_srq(struct ib_srq *ibsrq, struct ib_udata *udata)
{
	struct urxe_srq *srq = to_usrq(ibsrq);

	urxe_rq_exit(&srq->rq);
	ida_free(&to_urxe(ibsrq->device)->srqs, srq->number);
	return 0;
}

/* --- changing ----------------------------------------------------------- */

/* Let the user map the new ring, at the place that he said. */
static int publish_resized(struct urxe_ring *ring, struct ib_udata *udata)
{
	struct urxe_ucontext *uuc = urxe_ucontext_of(udata);
	struct rxe_modify_srq_cmd cmd;
	struct mminfo mi = {};
	int err;

	if (udata->inlen < sizeof(cmd))
		return -EINVAL;
	err = ib_copy_from_udata(&cmd, udata, sizeof(cmd));
	if (err)
		return err;
	err = urxe_ring_publish(ring, &uuc->ibuc, &mi);
	if (err)
		return err;
	return copy_to_user(u64_to_user_ptr(cmd.mmap_info_addr), &mi,
			    sizeof(mi)) ? -EFAULT : 0;
}

static int resize(struct urxe_srq *srq, u32 wr, struct ib_udata *udata)
{
	struct urxe_ring ring;
	int err;

	err = urxe_rq_ring_alloc(&ring, wr, srq->rq.max_sge);
	if (err)
		return err;
	if (udata)
		err = publish_resized(&ring, udata);
	if (!err)
		err = urxe_rq_swap(&srq->rq, &ring);
	urxe_ring_free(&ring);
	return err;
}

/* Who arms an SRQ that is low already is told at once. */
static void arm(struct urxe_srq *srq, u32 limit)
{
	unsigned long flags;

	spin_lock_irqsave(&srq->rq.lock, flags);
	WRITE_ONCE(srq->limit, limit);
	spin_unlock_irqrestore(&srq->rq.lock, flags);
	check_limit(srq);
}

int urxe_modify_srq(struct ib_srq *ibsrq, struct ib_srq_attr *attr,
		    enum ib_srq_attr_mask mask, struct ib_udata *udata)
{
	struct urxe_srq *srq = to_usrq(ibsrq);
	u32 wr = mask & IB_SRQ_MAX_WR ? attr->max_wr : srq->rq.max_wr;
	u32 limit = mask & IB_SRQ_LIMIT ? attr->srq_limit :
					  READ_ONCE(srq->limit);
	int err = 0;

	if ((mask & ~(IB_SRQ_MAX_WR | IB_SRQ_LIMIT)) || limit > wr)
		return -EINVAL;
	if (mask & IB_SRQ_MAX_WR)
		err = size_ok(wr) ? resize(srq, wr, udata) : -EINVAL;
	if (!err && (mask & IB_SRQ_LIMIT))
		arm(srq, limit);
	return err;
}

int urxe_query_srq(struct ib_srq *ibsrq, struct ib_srq_attr *attr)
{
	struct urxe_srq *srq = to_usrq(ibsrq);

	attr->max_wr = READ_ONCE(srq->rq.max_wr);
	attr->max_sge = srq->rq.max_sge;
	attr->srq_limit = READ_ONCE(srq->limit);
	return 0;
}

/* --- posting ------------------------------------------------------------ */

int urxe_post_srq_recv(struct ib_srq *ibsrq, const struct ib_recv_wr *wr,
		       const struct ib_recv_wr **bad_wr)
{
	if (ibsrq->uobject) {
		*bad_wr = wr;
		return -EINVAL;
	}
	return urxe_rq_push_list(&to_usrq(ibsrq)->rq, wr, bad_wr);
}
