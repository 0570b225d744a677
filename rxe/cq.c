// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Completion queues.
 */
#include <rdma/uverbs_ioctl.h>

#include "counters.h"
#include "cq.h"
#include "trace.h"

/* User space has other bits for some flags than the kernel has. */
#define UWC_WITH_INV	(1 << 3)

static u32 user_flags(int flags)
{
	u32 uflags = flags & (IB_WC_GRH | IB_WC_WITH_IMM);

	if (flags & IB_WC_WITH_INVALIDATE)
		uflags |= UWC_WITH_INV;
	return uflags;
}

static void to_user(struct ib_uverbs_wc *uwc, const struct ib_wc *wc)
{
	*uwc = (struct ib_uverbs_wc) {
		.wr_id		= wc->wr_id,
		.status		= wc->status,
		.opcode		= wc->opcode,
		.vendor_err	= wc->vendor_err,
		.byte_len	= wc->byte_len,
		.ex.imm_data	= wc->ex.imm_data,
		.qp_num		= wc->qp->qp_num,
		.src_qp		= wc->src_qp,
		.wc_flags	= user_flags(wc->wc_flags),
		.pkey_index	= wc->pkey_index,
		.slid		= wc->slid,
		.sl		= wc->sl,
		.dlid_path_bits	= wc->dlid_path_bits,
		.port_num	= wc->port_num,
	};
}

/* Is the consumer to be told of it? Then the CQ is armed no more. */
static bool take_arm(struct urxe_cq *cq, bool solicited)
{
	lockdep_assert_held(&cq->lock);
	if (!cq->armed || (cq->armed == IB_CQ_SOLICITED && !solicited))
		return false;
	cq->armed = 0;
	return true;
}

static void put_cqe(struct urxe_cq *cq, const struct ib_wc *wc)
{
	union urxe_cqe *cqe = urxe_ring_elem(&cq->ring, cq->ring.index);

	lockdep_assert_held(&cq->lock);
	if (cq->is_user)
		to_user(&cqe->user, wc);
	else
		cqe->ib = *wc;
	urxe_ring_produce(&cq->ring);
}

static void report_overflow(struct urxe_cq *cq)
{
	struct ib_event event = {
		.device		= cq->ibcq.device,
		.event		= IB_EVENT_CQ_ERR,
		.element.cq	= &cq->ibcq,
	};

	if (cq->ibcq.event_handler)
		cq->ibcq.event_handler(&event, cq->ibcq.cq_context);
}

bool urxe_cq_post(struct urxe_cq *cq, const struct ib_wc *wc, bool solicited)
{
	struct urxe_dev *dev = to_urxe(cq->ibcq.device);
	bool lost, first = false, tell = false;
	unsigned long flags;

	spin_lock_irqsave(&cq->lock, flags);
	lost = cq->overflow || urxe_ring_full(&cq->ring);
	if (lost) {
		first = !cq->overflow;
		cq->overflow = true;
	} else {
		put_cqe(cq, wc);
		tell = take_arm(cq, solicited || wc->status != IB_WC_SUCCESS);
	}
	spin_unlock_irqrestore(&cq->lock, flags);

	if (first)
		report_overflow(cq);
	if (lost)
		return false;
	urxe_count(dev, URXE_CNT_CQE);
	trace_urxe_cqe(wc);
	if (tell) {
		urxe_count(dev, URXE_CNT_CQ_EVENT);
		cq->ibcq.comp_handler(&cq->ibcq, cq->ibcq.cq_context);
	}
	return true;
}

/* Make @ring, and if it is a user's, tell where to map it: @mi is in @udata. */
static int make_ring(struct urxe_ring *ring, u32 cqe, struct ib_udata *udata,
		     struct mminfo *mi)
{
	int err;

	err = urxe_ring_alloc(ring, cqe, udata ? sizeof(struct ib_uverbs_wc) :
						 sizeof(struct ib_wc));
	if (err || !udata)
		return err;
	err = urxe_ring_publish(ring, &urxe_ucontext_of(udata)->ibuc, mi);
	if (err)
		goto free_ring;
	err = ib_copy_to_udata(udata, mi, sizeof(*mi));
	if (err)
		goto free_ring;
	return 0;

free_ring:
	urxe_ring_free(ring);
	return err;
}

int urxe_create_cq(struct ib_cq *ibcq, const struct ib_cq_init_attr *attr,
		   COMPAT_CQ_ATTRS *attrs)
{
	struct ib_udata *udata = COMPAT_CQ_UDATA(attrs);
	struct urxe_cq *cq = to_ucq(ibcq);
	struct rxe_create_cq_resp resp = {};
	int err;

	if (attr->flags)
		return -EOPNOTSUPP;
	if (!attr->cqe || attr->cqe > URXE_MAX_CQE)
		return -EINVAL;
	if (udata && udata->outlen < sizeof(resp))
		return -EINVAL;
	spin_lock_init(&cq->lock);
	cq->is_user = udata;
	err = make_ring(&cq->ring, attr->cqe, udata, &resp.mi);
	if (err)
		return err;
	ibcq->cqe = cq->ring.mask;
	return 0;
}

/* Move what is unread into the new ring, and make it the CQ's. */
static int swap_ring(struct urxe_cq *cq, struct urxe_ring *new)
{
	u32 unread = urxe_ring_unread(&cq->ring);

	lockdep_assert_held(&cq->lock);
	if (unread > new->mask)
		return -EINVAL;
	urxe_ring_copy(new, &cq->ring, cq->ring.index - unread, unread);
	new->index = unread;
	new->buf->producer_index = unread;
	swap(cq->ring, *new);
	cq->ibcq.cqe = cq->ring.mask;
	return 0;
}

int urxe_resize_cq(struct ib_cq *ibcq, COMPAT_CQE_NUM cqe,
		   struct ib_udata *udata)
{
	struct urxe_cq *cq = to_ucq(ibcq);
	struct rxe_resize_cq_resp resp = {};
	struct urxe_ring ring;
	int err;

	if (cqe < 1 || cqe > URXE_MAX_CQE)
		return -EINVAL;
	if (udata && udata->outlen < sizeof(resp))
		return -EINVAL;
	err = make_ring(&ring, cqe, udata, &resp.mi);
	if (err)
		return err;
	spin_lock_irq(&cq->lock);
	err = swap_ring(cq, &ring);
	spin_unlock_irq(&cq->lock);
	urxe_ring_free(&ring);
	return err;
}

int urxe_destroy_cq(struct ib_cq *ibcq, struct ib_udata *udata)
{
	struct urxe_cq *cq = to_ucq(ibcq);

	urxe_ring_retire(&cq->ring, &cq->lock);
	return 0;
}

/* The oldest element of a kernel CQ. */
static void take_cqe(struct urxe_cq *cq, struct ib_wc *wc)
{
	u32 index = cq->ring.index - urxe_ring_unread(&cq->ring);
	union urxe_cqe *cqe = urxe_ring_elem(&cq->ring, index);

	lockdep_assert_held(&cq->lock);
	*wc = cqe->ib;
	urxe_ring_release(&cq->ring, index + 1);
}

int urxe_poll_cq(struct ib_cq *ibcq, int num_entries, struct ib_wc *wc)
{
	struct urxe_cq *cq = to_ucq(ibcq);
	unsigned long flags;
	int n;

	spin_lock_irqsave(&cq->lock, flags);
	for (n = 0; n < num_entries && urxe_ring_unread(&cq->ring); n++)
		take_cqe(cq, &wc[n]);
	spin_unlock_irqrestore(&cq->lock, flags);
	return n;
}

int urxe_peek_cq(struct ib_cq *ibcq, int wc_cnt)
{
	struct urxe_cq *cq = to_ucq(ibcq);
	unsigned long flags;
	int unread;

	spin_lock_irqsave(&cq->lock, flags);
	unread = urxe_ring_unread(&cq->ring);
	spin_unlock_irqrestore(&cq->lock, flags);
	return min(unread, wc_cnt);
}

/* Who waits for any completion is not made to wait for a solicited one only. */
int urxe_req_notify_cq(struct ib_cq *ibcq, enum ib_cq_notify_flags flags)
{
	struct urxe_cq *cq = to_ucq(ibcq);
	unsigned long irq_flags;
	int missed = 0;

	spin_lock_irqsave(&cq->lock, irq_flags);
	if (cq->armed != IB_CQ_NEXT_COMP)
		cq->armed = flags & IB_CQ_SOLICITED_MASK;
	if (flags & IB_CQ_REPORT_MISSED_EVENTS)
		missed = urxe_ring_unread(&cq->ring) ? 1 : 0;
	spin_unlock_irqrestore(&cq->lock, irq_flags);
	return missed;
}
