// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Receive queues.
 */
#include "rq.h"

int urxe_rq_ring_alloc(struct urxe_ring *ring, u32 wr, u32 sge)
{
	return urxe_ring_alloc(ring, max(wr, 1U),
			       struct_size_t(struct rxe_recv_wqe, dma.sge, sge));
}

int urxe_rq_init(struct urxe_rq *rq, u32 wr, u32 sge)
{
	int err;

	spin_lock_init(&rq->lock);
	rq->max_sge = sge;
	err = urxe_rq_ring_alloc(&rq->ring, wr, sge);
	/* As many as the ring has room for, but for a queue that is not wanted. */
	if (!err)
		rq->max_wr = wr ? rq->ring.mask : 0;
	return err;
}

void urxe_rq_exit(struct urxe_rq *rq)
{
	if (rq->ring.buf)
		urxe_ring_retire(&rq->ring, &rq->lock);
}

/* Copy the element at @from out, checking what was copied. */
static void copy_in(struct urxe_rqe *rqe, const struct rxe_recv_wqe *from,
		    u32 max_sge)
{
	u32 i, num_sge = READ_ONCE(from->dma.num_sge);
	u64 length = 0;

	rqe->wr_id = READ_ONCE(from->wr_id);
	rqe->status = IB_WC_SUCCESS;
	rqe->num_sge = 0;
	rqe->length = 0;
	if (num_sge > max_sge) {
		rqe->status = IB_WC_LOC_QP_OP_ERR;
		return;
	}
	memcpy(rqe->sge, from->dma.sge, num_sge * sizeof(rqe->sge[0]));
	for (i = 0; i < num_sge; i++)
		length += rqe->sge[i].length;
	if (length > URXE_MAX_MSG) {
		rqe->status = IB_WC_LOC_LEN_ERR;
		return;
	}
	rqe->num_sge = num_sge;
	rqe->length = length;
}

/* The oldest one is copied to @rqe, and leaves the queue unless it is too short. */
static int take(struct urxe_rq *rq, struct urxe_rqe *rqe, u32 least)
{
	struct urxe_ring *ring = &rq->ring;

	lockdep_assert_held(&rq->lock);
	if (!urxe_ring_pending(ring))
		return -ENOENT;
	copy_in(rqe, urxe_ring_elem(ring, ring->index), rq->max_sge);
	if (!rqe->status && rqe->length < least)
		return -EMSGSIZE;
	ring->index = (ring->index + 1) & ring->mask;
	urxe_ring_release(ring, ring->index);
	return 0;
}

int urxe_rq_pull(struct urxe_rq *rq, struct urxe_rqe *rqe, u32 least)
{
	unsigned long flags;
	int err;

	if (!rq->ring.buf)
		return -ENOENT;
	spin_lock_irqsave(&rq->lock, flags);
	err = take(rq, rqe, least);
	spin_unlock_irqrestore(&rq->lock, flags);
	return err;
}

u32 urxe_rq_pending(const struct urxe_rq *rq)
{
	return rq->ring.buf ? urxe_ring_pending(&rq->ring) : 0;
}

static void copy_out(struct rxe_recv_wqe *to, const struct ib_recv_wr *wr)
{
	int i;

	to->wr_id = wr->wr_id;
	to->dma.num_sge = wr->num_sge;
	for (i = 0; i < wr->num_sge; i++)
		to->dma.sge[i] = (struct rxe_sge){
			.addr = wr->sg_list[i].addr,
			.length = wr->sg_list[i].length,
			.lkey = wr->sg_list[i].lkey,
		};
}

static int push(struct urxe_rq *rq, const struct ib_recv_wr *wr)
{
	struct urxe_ring *ring = &rq->ring;
	unsigned long flags;
	u32 producer;
	int err = 0;

	if (!ring->buf || wr->num_sge < 0 || wr->num_sge > rq->max_sge)
		return -EINVAL;
	spin_lock_irqsave(&rq->lock, flags);
	if (urxe_ring_pending(ring) >= rq->max_wr) {
		err = -ENOMEM;
	} else {
		producer = ring->buf->producer_index;
		copy_out(urxe_ring_elem(ring, producer), wr);
		/* The element is there before the index says so. */
		smp_store_release(&ring->buf->producer_index,
				  (producer + 1) & ring->mask);
	}
	spin_unlock_irqrestore(&rq->lock, flags);
	return err;
}

int urxe_rq_push_list(struct urxe_rq *rq, const struct ib_recv_wr *wr,
		      const struct ib_recv_wr **bad_wr)
{
	int err = 0;

	for (; wr && !err; wr = wr->next) {
		err = push(rq, wr);
		if (err)
			*bad_wr = wr;
	}
	return err;
}

int urxe_rq_swap(struct urxe_rq *rq, struct urxe_ring *ring)
{
	unsigned long flags;
	int err = -EINVAL;
	u32 posted;

	spin_lock_irqsave(&rq->lock, flags);
	posted = urxe_ring_pending(&rq->ring);
	if (posted <= ring->mask) {
		urxe_ring_copy(ring, &rq->ring, rq->ring.index, posted);
		ring->buf->producer_index = posted;
		swap(rq->ring, *ring);
		WRITE_ONCE(rq->max_wr, rq->ring.mask);
		err = 0;
	}
	spin_unlock_irqrestore(&rq->lock, flags);
	return err;
}

void urxe_rq_reset(struct urxe_rq *rq)
{
	unsigned long flags;

	if (!rq->ring.buf)
		return;
	spin_lock_irqsave(&rq->lock, flags);
	urxe_ring_discard(&rq->ring, urxe_ring_pending(&rq->ring));
	spin_unlock_irqrestore(&rq->lock, flags);
}
