// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Send queues: from what was posted to a private, checked WQE.
 */
#include <linux/mm.h>

#include "opcode.h"
#include "wqe.h"

/* What may be posted, on which service, and what it becomes. */
static const struct {
	u32			services;
	enum urxe_wqe_kind	kind;
} wr_kinds[] = {
	[IB_WR_RDMA_WRITE]		= { OP_RC | OP_UC, WQE_WRITE },
	[IB_WR_RDMA_WRITE_WITH_IMM]	= { OP_RC | OP_UC, WQE_WRITE },
	[IB_WR_SEND]			= { OP_RC | OP_UC | OP_UD, WQE_SEND },
	[IB_WR_SEND_WITH_IMM]		= { OP_RC | OP_UC | OP_UD, WQE_SEND },
	[IB_WR_SEND_WITH_INV]		= { OP_RC, WQE_SEND },
	[IB_WR_RDMA_READ]		= { OP_RC, WQE_READ },
	[IB_WR_ATOMIC_CMP_AND_SWP]	= { OP_RC, WQE_ATOMIC },
	[IB_WR_ATOMIC_FETCH_AND_ADD]	= { OP_RC, WQE_ATOMIC },
	[IB_WR_ATOMIC_WRITE]		= { OP_RC, WQE_ATOMIC_WRITE },
	[IB_WR_FLUSH]			= { OP_RC, WQE_FLUSH },
	[IB_WR_LOCAL_INV]		= { OP_RC | OP_UC, WQE_LOCAL },
	[IB_WR_REG_MR]			= { OP_RC | OP_UC, WQE_LOCAL },
	[IB_WR_BIND_MW]			= { OP_RC | OP_UC, WQE_LOCAL },
};

/* Bytes for the gather list or inline data; at least an atomic write's. */
static u32 payload_room(const struct ib_qp_cap *cap)
{
	u32 room = max_t(u32, cap->max_send_sge * sizeof(struct rxe_sge),
			 cap->max_inline_data);

	return max_t(u32, ALIGN(room, sizeof(struct rxe_sge)),
		     sizeof(struct rxe_sge));
}

int urxe_sq_init(struct urxe_sq *sq, struct ib_qp_cap *cap, bool is_user)
{
	u32 room = payload_room(cap);
	int err = 0;

	spin_lock_init(&sq->lock);
	sq->max_sge = room / sizeof(struct rxe_sge);
	sq->max_inline = room;
	sq->mask = roundup_pow_of_two(max(cap->max_send_wr, 1U) + 1) - 1;
	sq->stride = sizeof(struct urxe_wqe) + room;
	sq->slots = kvcalloc(sq->mask + 1, sq->stride,
			     GFP_KERNEL_ACCOUNT);
	if (!sq->slots)
		return -ENOMEM;
	if (is_user)
		err = urxe_ring_alloc(&sq->ring, sq->mask,
				      sizeof(struct rxe_send_wqe) + room);
	if (err) {
		kvfree(sq->slots);
		return err;
	}
	if (!cap->max_send_wr)
		return 0;
	cap->max_send_wr = sq->mask;
	cap->max_send_sge = sq->max_sge;
	cap->max_inline_data = room;
	return 0;
}

void urxe_sq_exit(struct urxe_sq *sq)
{
	urxe_ring_free(&sq->ring);
	kvfree(sq->slots);
}

/* What the opcode asks for, if this service has it. */
static bool set_kind(struct urxe_wqe *wqe, u32 opcode, u32 service)
{
	wqe->opcode = opcode;
	wqe->kind = WQE_LOCAL;
	if (opcode >= ARRAY_SIZE(wr_kinds) ||
	    !(wr_kinds[opcode].services & service))
		return false;
	wqe->kind = wr_kinds[opcode].kind;
	return true;
}

static void set_sge(struct urxe_wqe *wqe, const struct rxe_sge *sge, u32 num)
{
	u64 length = 0;
	u32 i;

	memcpy(wqe->sge, sge, num * sizeof(*sge));
	for (i = 0; i < num; i++)
		length += wqe->sge[i].length;
	wqe->num_sge = num;
	wqe->length = min_t(u64, length, U32_MAX);
}

/* Checks that need no look at the opcode's own fields. */
static enum ib_wc_status check(const struct urxe_wqe *wqe)
{
	if (wqe->length > URXE_MAX_MSG)
		return IB_WC_LOC_LEN_ERR;
	if ((wqe->kind == WQE_ATOMIC || wqe->kind == WQE_ATOMIC_WRITE) &&
	    wqe->length != sizeof(u64))
		return IB_WC_LOC_LEN_ERR;
	if ((wqe->kind == WQE_READ || wqe->kind == WQE_ATOMIC) &&
	    wqe->is_inline)
		return IB_WC_LOC_QP_OP_ERR;
	if (wqe->kind == WQE_FLUSH && !urxe_feth_ok(wqe->imm))
		return IB_WC_LOC_QP_OP_ERR;
	return IB_WC_SUCCESS;
}

/* A window without a region is one without bytes. */
static void copy_bind(struct urxe_wqe *wqe, const struct rxe_send_wr *wr)
{
	wqe->rkey = wr->wr.mw.mw_rkey;
	wqe->key = wr->wr.mw.rkey;
	wqe->lkey = wr->wr.mw.mr_lkey;
	wqe->access = wr->wr.mw.access;
	wqe->remote = wr->wr.mw.addr;
	wqe->span = wqe->lkey ? wr->wr.mw.length : 0;
}

/* librxe says the length where a payload's would be, not in wr.flush. */
static void copy_flush(struct urxe_wqe *wqe, const struct rxe_send_wqe *head)
{
	struct compat_flush_wr flush;

	memcpy(&flush, &head->wr.wr, sizeof(flush));
	wqe->remote = flush.remote_addr;
	wqe->rkey = flush.rkey;
	wqe->span = head->dma.length;
	wqe->imm = urxe_feth_bits(flush.level, flush.type);
}

static void copy_remote(struct urxe_wqe *wqe, const struct rxe_send_wqe *head)
{
	const struct rxe_send_wr *wr = &head->wr;

	if (wqe->opcode == IB_WR_BIND_MW) {
		copy_bind(wqe, wr);
	} else if (wqe->kind == WQE_FLUSH) {
		copy_flush(wqe, head);
	} else if (wqe->kind == WQE_ATOMIC) {
		wqe->remote = wr->wr.atomic.remote_addr;
		wqe->rkey = wr->wr.atomic.rkey;
		wqe->compare_add = wr->wr.atomic.compare_add;
		wqe->swap = wr->wr.atomic.swap;
	} else {
		wqe->remote = wr->wr.rdma.remote_addr;
		wqe->rkey = wr->wr.rdma.rkey;
	}
}

/* The user names an address handle; what else he wrote of a way is not looked at. */
static bool copy_dest(struct urxe_dest *dest, struct ib_pd *pd,
		      const struct rxe_send_wr *wr)
{
	dest->qpn = wr->wr.ud.remote_qpn & BTH_24BITS;
	dest->qkey = wr->wr.ud.remote_qkey;
	return urxe_ah_lookup(pd, wr->wr.ud.ah_num, &dest->av);
}

/* Immediate data is big-endian already, a key is not. */
static void copy_extra(struct urxe_wqe *wqe, const struct rxe_send_wr *wr)
{
	if (wqe->opcode == IB_WR_SEND_WITH_INV)
		wqe->imm = cpu_to_be32(wr->ex.invalidate_rkey);
	else if (wqe->kind != WQE_FLUSH)
		wqe->imm = wr->ex.imm_data;
	if (wqe->opcode == IB_WR_LOCAL_INV)
		wqe->key = wr->ex.invalidate_rkey;
}

/* The payload, or the list that names it, out of user's memory. */
static enum ib_wc_status copy_payload(const struct urxe_sq *sq,
				      struct urxe_wqe *wqe,
				      const struct rxe_dma_info *dma,
				      const void *tail)
{
	if (wqe->kind == WQE_LOCAL || wqe->kind == WQE_FLUSH)
		return IB_WC_SUCCESS;
	if (wqe->is_inline) {
		if (dma->length > sq->max_inline)
			return IB_WC_LOC_LEN_ERR;
		wqe->length = dma->length;
		memcpy(wqe->data, tail, wqe->length);
		return IB_WC_SUCCESS;
	}
	if (dma->num_sge > sq->max_sge)
		return IB_WC_LOC_QP_OP_ERR;
	set_sge(wqe, tail, dma->num_sge);
	return IB_WC_SUCCESS;
}

/*
 * @from can be written by the user at any time: the head is copied first, and
 * only the copy is looked at.
 */
static void copy_user(const struct urxe_sq *sq, struct urxe_wqe *wqe,
		      const struct rxe_send_wqe *from, struct ib_pd *pd,
		      u32 service)
{
	struct rxe_send_wqe head;

	memcpy(&head, from, sizeof(head));
	barrier();
	memset(wqe, 0, sizeof(*wqe));
	wqe->wr_id = head.wr.wr_id;
	wqe->flags = head.wr.send_flags;
	if (!set_kind(wqe, head.wr.opcode, service) ||
	    wqe->opcode == IB_WR_REG_MR) {
		wqe->status = IB_WC_LOC_QP_OP_ERR;
		return;
	}
	wqe->is_inline = wqe->kind == WQE_ATOMIC_WRITE ||
			 (wqe->flags & IB_SEND_INLINE);
	if (!(service & OP_UD))
		copy_remote(wqe, &head);
	copy_extra(wqe, &head.wr);
	wqe->status = copy_payload(sq, wqe, &head.dma, from->dma.sge);
	if (!wqe->status)
		wqe->status = check(wqe);
	if ((service & OP_UD) && !copy_dest(&wqe->dest, pd, &head.wr))
		wqe->status = IB_WC_LOC_QP_OP_ERR;
}

int urxe_sq_fetch(struct urxe_sq *sq, struct ib_pd *pd, u32 service)
{
	struct urxe_ring *ring = &sq->ring;
	u32 pending;

	if (!ring->buf)
		return 0;
	pending = urxe_ring_pending(ring);
	if (pending > sq->mask - (sq->head - sq->una))
		return -EIO;
	while (pending--) {
		copy_user(sq, sq_slot(sq, sq->head),
			  urxe_ring_elem(ring, ring->index), pd, service);
		ring->index = (ring->index + 1) & ring->mask;
		sq->head++;
	}
	return 0;
}

static void copy_kernel_sge(struct urxe_wqe *wqe, const struct ib_send_wr *wr)
{
	u64 length = 0;
	int i;

	for (i = 0; i < wr->num_sge; i++) {
		wqe->sge[i] = (struct rxe_sge){
			.addr = wr->sg_list[i].addr,
			.length = wr->sg_list[i].length,
			.lkey = wr->sg_list[i].lkey,
		};
		length += wr->sg_list[i].length;
	}
	wqe->num_sge = wr->num_sge;
	wqe->length = min_t(u64, length, U32_MAX);
}

/* A kernel consumer's inline data: its addresses are pointers. */
static int copy_kernel_inline(const struct urxe_sq *sq, struct urxe_wqe *wqe,
			      const struct ib_send_wr *wr)
{
	u32 off = 0;
	int i;

	for (i = 0; i < wr->num_sge; i++) {
		const struct ib_sge *sge = &wr->sg_list[i];

		if (sge->length > sq->max_inline - off)
			return -EINVAL;
		memcpy(wqe->data + off, (void *)(uintptr_t)sge->addr,
		       sge->length);
		off += sge->length;
	}
	wqe->length = off;
	return 0;
}

static void copy_kernel_remote(struct urxe_wqe *wqe,
			       const struct ib_send_wr *wr)
{
	if (wqe->kind == WQE_ATOMIC) {
		wqe->remote = atomic_wr(wr)->remote_addr;
		wqe->rkey = atomic_wr(wr)->rkey;
		wqe->compare_add = atomic_wr(wr)->compare_add;
		wqe->swap = atomic_wr(wr)->swap;
	} else if (wqe->kind == WQE_LOCAL && wr->opcode == IB_WR_REG_MR) {
		wqe->mr = reg_wr(wr)->mr;
		wqe->remote = wqe->mr->iova;
		wqe->key = reg_wr(wr)->key;
		wqe->access = reg_wr(wr)->access;
	} else if (wqe->kind == WQE_WRITE || wqe->kind == WQE_READ ||
		   wqe->kind == WQE_ATOMIC_WRITE) {
		wqe->remote = rdma_wr(wr)->remote_addr;
		wqe->rkey = rdma_wr(wr)->rkey;
	}
}

static void copy_kernel_dest(struct urxe_dest *dest,
			     const struct ib_send_wr *wr)
{
	urxe_ah_copy(ud_wr(wr)->ah, &dest->av);
	dest->qpn = ud_wr(wr)->remote_qpn & BTH_24BITS;
	dest->qkey = ud_wr(wr)->remote_qkey;
}

static int copy_kernel(const struct urxe_sq *sq, struct urxe_wqe *wqe,
		       const struct ib_send_wr *wr, u32 service)
{
	int err = 0;

	memset(wqe, 0, sizeof(*wqe));
	wqe->wr_id = wr->wr_id;
	wqe->flags = wr->send_flags;
	if (!set_kind(wqe, wr->opcode, service) || wr->num_sge < 0 ||
	    wr->num_sge > sq->max_sge || wr->opcode == IB_WR_BIND_MW ||
	    wqe->kind == WQE_FLUSH)
		return -EINVAL;
	wqe->is_inline = wqe->kind == WQE_ATOMIC_WRITE ||
			 (wqe->flags & IB_SEND_INLINE);
	if (service & OP_UD)
		copy_kernel_dest(&wqe->dest, wr);
	else
		copy_kernel_remote(wqe, wr);
	if (wr->opcode == IB_WR_SEND_WITH_INV)
		wqe->imm = cpu_to_be32(wr->ex.invalidate_rkey);
	else
		wqe->imm = wr->ex.imm_data;
	if (wr->opcode == IB_WR_LOCAL_INV)
		wqe->key = wr->ex.invalidate_rkey;
	if (wqe->kind == WQE_LOCAL)
		return 0;
	if (wqe->is_inline)
		err = copy_kernel_inline(sq, wqe, wr);
	else
		copy_kernel_sge(wqe, wr);
	return err ?: check(wqe) ? -EINVAL : 0;
}

int urxe_sq_push(struct urxe_sq *sq, const struct ib_send_wr *wr, u32 service)
{
	unsigned long flags;
	int err;

	spin_lock_irqsave(&sq->lock, flags);
	if (sq->head - READ_ONCE(sq->una) >= sq->mask)
		err = -ENOMEM;
	else
		err = copy_kernel(sq, sq_slot(sq, sq->head), wr, service);
	if (!err)
		/* The requester reads @head before the slot. */
		smp_store_release(&sq->head, sq->head + 1);
	spin_unlock_irqrestore(&sq->lock, flags);
	return err;
}

void urxe_sq_reset(struct urxe_sq *sq)
{
	sq->next = sq->head;
	WRITE_ONCE(sq->una, sq->head);
	if (sq->ring.buf)
		urxe_ring_discard(&sq->ring, urxe_ring_pending(&sq->ring));
}

/* What is fetched and not completed is still the user's to wait for. */
void urxe_sq_retire(struct urxe_sq *sq)
{
	struct urxe_ring *ring = &sq->ring;

	/* Whoever sees the place free may fill it: we have read what was there. */
	smp_store_release(&sq->una, sq->una + 1);
	if (sq->next - sq->una > sq->mask)
		sq->next = sq->una;
	if (ring->buf)
		urxe_ring_release(ring, ring->index - (sq->head - sq->una));
}
