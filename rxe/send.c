// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * A WQE made into packets.
 *
 * What a packet carries follows from its PSN and its WQE alone: no progress is kept
 * anywhere else, so it can be made again at any time.
 */
#include "batch.h"
#include "opcode.h"
#include "qp.h"
#include "ref.h"
#include "req.h"
#include "retry.h"
#include "send.h"
#include "sg.h"
#include "ud.h"

/* Packets sent before one of them asks for an acknowledgment: several a window. */
#define ACK_EVERY	64
#define ACKS_A_WINDOW	4

/* The packets of each work request. */
static const struct {
	u8	first, middle, last, only;
} wire_ops[] = {
	[IB_WR_SEND] = { OPC_SEND_FIRST, OPC_SEND_MIDDLE, OPC_SEND_LAST,
			 OPC_SEND_ONLY },
	[IB_WR_SEND_WITH_IMM] = { OPC_SEND_FIRST, OPC_SEND_MIDDLE,
				  OPC_SEND_LAST_IMM, OPC_SEND_ONLY_IMM },
	[IB_WR_SEND_WITH_INV] = { OPC_SEND_FIRST, OPC_SEND_MIDDLE,
				  OPC_SEND_LAST_INV, OPC_SEND_ONLY_INV },
	[IB_WR_RDMA_WRITE] = { OPC_WRITE_FIRST, OPC_WRITE_MIDDLE,
			       OPC_WRITE_LAST, OPC_WRITE_ONLY },
	[IB_WR_RDMA_WRITE_WITH_IMM] = { OPC_WRITE_FIRST, OPC_WRITE_MIDDLE,
					OPC_WRITE_LAST_IMM,
					OPC_WRITE_ONLY_IMM },
	[IB_WR_RDMA_READ] = { .only = OPC_READ_REQUEST },
	[IB_WR_ATOMIC_CMP_AND_SWP] = { .only = OPC_COMPARE_SWAP },
	[IB_WR_ATOMIC_FETCH_AND_ADD] = { .only = OPC_FETCH_ADD },
	[IB_WR_ATOMIC_WRITE] = { .only = OPC_ATOMIC_WRITE },
	[IB_WR_FLUSH] = { .only = OPC_FLUSH },
};

static u8 wire_opcode(const struct urxe_qp *qp, const struct urxe_wqe *wqe,
		      bool first, bool last)
{
	if (first && last)
		return qp->opcodes | wire_ops[wqe->opcode].only;
	if (first)
		return qp->opcodes | wire_ops[wqe->opcode].first;
	return qp->opcodes | (last ? wire_ops[wqe->opcode].last :
				     wire_ops[wqe->opcode].middle);
}

/* --- where a packet stands ---------------------------------------------- */

/* Where a packet, or some in a row, stand in their message. */
struct piece {
	u32	off;
	u32	len;
	u32	packets;
	bool	first;
	bool	last;
};

/* @max packets at most. */
static struct piece pieces_at(const struct urxe_qp *qp,
			      const struct urxe_wqe *wqe, u32 max)
{
	u32 index = psn_dist(qp->req.send_psn, wqe->first_psn);
	struct piece piece = {
		.off = index * qp->mtu,
		.packets = min(max, wqe->packets - index),
		.first = !index,
	};

	piece.last = index + piece.packets == wqe->packets;
	piece.len = min(qp->mtu * piece.packets, wqe->length - piece.off);
	return piece;
}

static struct piece piece_at(const struct urxe_qp *qp,
			     const struct urxe_wqe *wqe)
{
	return pieces_at(qp, wqe, 1);
}

/* --- headers and payload ------------------------------------------------ */

static void *put_word(void *at, __be32 word)
{
	memcpy(at, &word, sizeof(word));
	return at + sizeof(word);
}

static void *put_reth(void *at, const struct urxe_wqe *wqe,
		      const struct piece *piece)
{
	struct urxe_reth *reth = at;
	u32 len = wqe->length;

	if (wqe->kind == WQE_FLUSH)
		len = wqe->span;
	else if (wqe->kind == WQE_READ)
		len = piece->len;
	reth->va = cpu_to_be64(wqe->remote + piece->off);
	reth->rkey = cpu_to_be32(wqe->rkey);
	reth->len = cpu_to_be32(len);
	return reth + 1;
}

static void *put_atomic_eth(void *at, const struct urxe_wqe *wqe)
{
	struct urxe_atomic_eth *eth = at;
	bool cas = wqe->opcode == IB_WR_ATOMIC_CMP_AND_SWP;

	eth->va = cpu_to_be64(wqe->remote);
	eth->rkey = cpu_to_be32(wqe->rkey);
	eth->swap_add = cpu_to_be64(cas ? wqe->swap : wqe->compare_add);
	eth->compare = cpu_to_be64(cas ? wqe->compare_add : 0);
	return eth + 1;
}

/* Extended headers in their order on the wire. Return: where payload begins. */
static void *put_ext(const struct urxe_qp *qp, struct urxe_bth *bth,
		     const struct urxe_wqe *wqe, const struct piece *piece)
{
	u32 traits = urxe_traits(bth->opcode);
	void *at = urxe_bth_ext(bth);

	if (traits & OP_DETH)
		at = urxe_ud_put_deth(at, qp, &wqe->dest);
	if (traits & OP_FETH)
		at = put_word(at, wqe->imm);
	if (traits & OP_RETH)
		at = put_reth(at, wqe, piece);
	if (traits & OP_ATOMIC_ETH)
		at = put_atomic_eth(at, wqe);
	if (traits & (OP_IMM | OP_IETH))
		at = put_word(at, wqe->imm);
	return at;
}

static int put_payload(struct urxe_qp *qp, const struct urxe_wqe *wqe,
		       void *at, const struct piece *piece,
		       struct urxe_ctx *ctx)
{
	if (wqe->is_inline) {
		memcpy(at, wqe->data + piece->off, piece->len);
		return 0;
	}
	return urxe_sg_read(qp->ibqp.pd, wqe->sge, wqe->num_sge, piece->off,
			    at, piece->len, ctx);
}

/* Ask for an acknowledgment where the peer can't do without, and now and then. */
static void set_bits(struct urxe_qp *qp, struct urxe_bth *bth,
		     const struct urxe_wqe *wqe, u32 n, bool last)
{
	struct urxe_req *req = &qp->req;
	u32 every = min_t(u32, ACK_EVERY, req->rate.window / ACKS_A_WINDOW);

	if (last && (wqe->flags & IB_SEND_SOLICITED))
		bth->flags |= BTH_SE;
	if (!(qp->service & OP_RC))
		return;
	req->since_ack += n;
	if (!last && !req->probe && !req->recovering && req->since_ack < every)
		return;
	req->since_ack = 0;
	bth->apsn |= htonl(BTH_ACK);
}

/* --- what becomes of it ------------------------------------------------- */

/* Where nothing is acknowledged, what is sent is done with. */
static void sent_unreliably(struct urxe_qp *qp, bool last)
{
	qp->req.cpu = raw_smp_processor_id();
	qp->req.una_psn = qp->req.send_psn;
	if (last)
		sq_slot(&qp->sq, qp->sq.next)->done = true;
}

/* The next @n PSNs, which end the WQE if @last, are on their way. */
static void sent(struct urxe_qp *qp, u32 n, bool last)
{
	struct urxe_req *req = &qp->req;

	if (req->send_psn == req->una_psn)
		urxe_req_set_deadline(qp);
	req->send_psn = psn_add(req->send_psn, n);
	if (req->probe)
		req->probe_end = req->send_psn;
	req->burst_end = req->send_psn;
	if (req_dist(req, req->send_psn) > req_dist(req, req->max_psn))
		req->max_psn = req->send_psn;
	if (!(qp->service & OP_RC))
		sent_unreliably(qp, last);
	if (last)
		qp->sq.next++;
}

enum urxe_tx urxe_req_local_error(struct urxe_wqe *wqe,
				  enum ib_wc_status status)
{
	wqe->status = status;
	return TX_IDLE;
}

/* --- by reference ------------------------------------------------------- */

/*
 * To a peer on this host a packet may refer to its bytes, and stand for many: as
 * many as the window lets through, but one when something is sent again. One that may find
 * no receive request where those before it need none goes alone.
 */
static struct piece referable(const struct urxe_qp *qp,
			      const struct urxe_wqe *wqe)
{
	const struct urxe_req *req = &qp->req;
	u32 ahead = req_dist(req, req->send_psn);
	u32 window = req->rate.window;
	u32 max = req->probe || req->recovering || ahead >= window ?
		  1 : window - ahead;
	struct piece piece;

	max = min_t(u32, max, URXE_REF_MAX / qp->mtu);
	piece = pieces_at(qp, wqe, max);
	if (wqe->opcode == IB_WR_RDMA_WRITE_WITH_IMM && piece.last &&
	    piece.packets > 1)
		piece = pieces_at(qp, wqe, piece.packets - 1);
	return piece;
}

static bool may_refer(struct urxe_qp *qp, struct urxe_batch *batch,
		      const struct urxe_wqe *wqe, const struct piece *piece)
{
	return !wqe->is_inline && !qp->req.by_value &&
	       urxe_ref_possible(batch, wqe->sge, wqe->num_sge, piece->off,
				 piece->len, 0);
}

static void fill_ref(struct urxe_ref *ref, const struct urxe_wqe *wqe,
		     const struct piece *piece)
{
	*ref = (struct urxe_ref){
		.len = piece->len,
		.off = piece->off,
		.packets = piece->packets,
		.num_sge = wqe->num_sge,
	};
	memcpy(ref->sge, wqe->sge, wqe->num_sge * sizeof(wqe->sge[0]));
}

static enum urxe_tx send_reference(struct urxe_qp *qp,
				   struct urxe_batch *batch,
				   struct urxe_wqe *wqe,
				   const struct piece *piece,
				   struct urxe_ctx *ctx)
{
	struct urxe_bth *bth;

	bth = urxe_batch_ref(batch,
			     wire_opcode(qp, wqe, piece->first, piece->last),
			     qp->req.send_psn, wqe->num_sge);
	if (!bth)
		return TX_AGAIN;
	urxe_doorbell_refers(&qp->doorbell, true);
	put_ext(qp, bth, wqe, piece);
	fill_ref(batch->ref, wqe, piece);
	set_bits(qp, bth, wqe, piece->packets, piece->last);
	urxe_batch_commit_ref(batch);
	ctx->budget -= piece->len >> PAGE_SHIFT;
	sent(qp, piece->packets, piece->last);
	return TX_MORE;
}

/* --- sending ------------------------------------------------------------ */

/* What is made already is not to wait for a page of what is next. */
static void send_before_wait(struct urxe_qp *qp, struct urxe_batch *batch,
			     const struct urxe_wqe *wqe,
			     const struct piece *piece,
			     const struct urxe_ctx *ctx)
{
	if (ctx->may_sleep && batch->skb && !wqe->is_inline && piece->len &&
	    !urxe_sg_at_hand(qp->ibqp.pd, wqe->sge, wqe->num_sge, piece->off,
			     piece->len, 0))
		urxe_batch_turn(batch, batch->dqpn);
}

static enum urxe_tx send_value(struct urxe_qp *qp, struct urxe_batch *batch,
			       struct urxe_wqe *wqe, struct urxe_ctx *ctx)
{
	struct piece piece = piece_at(qp, wqe);
	struct urxe_bth *bth;
	int err;

	send_before_wait(qp, batch, wqe, &piece, ctx);
	bth = urxe_batch_packet(batch,
				wire_opcode(qp, wqe, piece.first, piece.last),
				piece.len, qp->req.send_psn);
	if (!bth)
		return TX_AGAIN;
	err = put_payload(qp, wqe, put_ext(qp, bth, wqe, &piece), &piece, ctx);
	if (err)
		return err == -EAGAIN ? TX_SLEEP :
		       urxe_req_local_error(wqe, IB_WC_LOC_PROT_ERR);
	urxe_doorbell_refers(&qp->doorbell, false);
	set_bits(qp, bth, wqe, 1, piece.last);
	urxe_batch_commit(batch);
	if (qp->req.by_value)
		qp->req.by_value--;
	sent(qp, 1, piece.last);
	return TX_MORE;
}

enum urxe_tx urxe_req_send_message(struct urxe_qp *qp,
				   struct urxe_batch *batch,
				   struct urxe_wqe *wqe, struct urxe_ctx *ctx)
{
	struct piece piece;

	/* What is short is not looked at any further. */
	if ((qp->service & OP_RC) && wqe->length >= URXE_REF_MIN) {
		piece = referable(qp, wqe);
		if (may_refer(qp, batch, wqe, &piece))
			return send_reference(qp, batch, wqe, &piece, ctx);
	}
	return send_value(qp, batch, wqe, ctx);
}

/*
 * What is to be asked for: of a READ that is asked for again, what is missing in front of
 * an answer that is here already. What is behind that is here, too, or not missing yet.
 */
static struct piece asked_piece(const struct urxe_qp *qp,
				const struct urxe_wqe *wqe)
{
	u32 gap = qp->req.recovering ?
		  urxe_inbox_gap(&qp->req.inbox, qp->req.send_psn) : 0;

	return pieces_at(qp, wqe, gap ?: wqe->packets);
}

/* @end: the PSN behind the piece. One that is not all there is ends a burst. */
static void asked(struct urxe_qp *qp, const struct urxe_wqe *wqe, u32 end)
{
	const u32 all = psn_add(wqe->first_psn, wqe->packets);
	struct urxe_req *req = &qp->req;

	req->rd_atomic++;
	sent(qp, psn_dist(all, req->send_psn), true);
	if (end != all) {
		req->burst_stop = all;
		req->burst_end = end;
	}
}

enum urxe_tx urxe_req_send_request(struct urxe_qp *qp,
				   struct urxe_batch *batch,
				   struct urxe_wqe *wqe)
{
	bool carries = wqe->kind == WQE_ATOMIC_WRITE;
	struct piece piece = asked_piece(qp, wqe);
	struct urxe_bth *bth;
	void *at;

	bth = urxe_batch_packet(batch, wire_ops[wqe->opcode].only,
				carries ? wqe->length : 0, qp->req.send_psn);
	if (!bth)
		return TX_AGAIN;
	at = put_ext(qp, bth, wqe, &piece);
	if (carries)
		memcpy(at, wqe->data, wqe->length);
	urxe_doorbell_refers(&qp->doorbell, batch->local &&
			     wqe->length >= URXE_REF_MIN);
	set_bits(qp, bth, wqe, 1, true);
	urxe_batch_commit(batch);
	asked(qp, wqe, psn_add(qp->req.send_psn, piece.packets));
	return TX_MORE;
}
