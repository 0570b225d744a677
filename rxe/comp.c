// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The completer: what the peer's answers mean for the WQEs on the wire, and
 * completions in the order of posting.
 *
 * @una_psn is always in the first WQE that is not done, so that an answer to any
 * later PSN says how far the peer got, or that an answer went missing.
 */
#include "access.h"
#include "cnp.h"
#include "comp.h"
#include "counters.h"
#include "pkt.h"
#include "qp.h"
#include "ref.h"
#include "req.h"
#include "retry.h"
#include "run.h"
#include "sg.h"
#include "trace.h"

static const u8 wc_opcodes[] = {
	[IB_WR_RDMA_WRITE]		= IB_WC_RDMA_WRITE,
	[IB_WR_RDMA_WRITE_WITH_IMM]	= IB_WC_RDMA_WRITE,
	[IB_WR_SEND]			= IB_WC_SEND,
	[IB_WR_SEND_WITH_IMM]		= IB_WC_SEND,
	[IB_WR_SEND_WITH_INV]		= IB_WC_SEND,
	[IB_WR_RDMA_READ]		= IB_WC_RDMA_READ,
	[IB_WR_ATOMIC_CMP_AND_SWP]	= IB_WC_COMP_SWAP,
	[IB_WR_ATOMIC_FETCH_AND_ADD]	= IB_WC_FETCH_ADD,
	[IB_WR_ATOMIC_WRITE]		= IB_WC_ATOMIC_WRITE,
	[IB_WR_FLUSH]			= IB_WC_FLUSH,
	[IB_WR_LOCAL_INV]		= IB_WC_LOCAL_INV,
	[IB_WR_REG_MR]			= IB_WC_REG_MR,
	[IB_WR_BIND_MW]			= IB_WC_BIND_MW,
};

/* An answer that has to wait for one before it; no errno. */
#define CAME_EARLY	1

/* --- completions -------------------------------------------------------- */

/* Whether the consumer is told of the end of @wqe: @wc says what. */
static bool make_wc(struct urxe_qp *qp, const struct urxe_wqe *wqe,
		    enum ib_wc_status status, struct ib_wc *wc)
{
	if (!status && !qp->sq_sig_all && !(wqe->flags & IB_SEND_SIGNALED))
		return false;
	*wc = (struct ib_wc){
		.wr_id = wqe->wr_id,
		.status = status,
		.qp = &qp->ibqp,
		.byte_len = wqe->length,
	};
	if (wqe->opcode < ARRAY_SIZE(wc_opcodes))
		wc->opcode = wc_opcodes[wqe->opcode];
	return true;
}

/*
 * The oldest WQE leaves the queue. Its place is free before the consumer can see
 * the completion, since he may post into it at once.
 */
static void finish(struct urxe_qp *qp, enum ib_wc_status status)
{
	struct ib_wc wc;
	bool tell = make_wc(qp, sq_slot(&qp->sq, qp->sq.una), status, &wc);

	urxe_sq_retire(&qp->sq);
	if (tell && !urxe_cq_post(to_ucq(qp->ibqp.send_cq), &wc, false))
		urxe_qp_error(qp, IB_EVENT_QP_FATAL);
}

static bool sq_empty(const struct urxe_sq *sq)
{
	/* The slot is read after the index that says it is filled. */
	return sq->una == smp_load_acquire(&sq->head);
}

void urxe_req_fail(struct urxe_qp *qp, enum ib_wc_status status)
{
	if (!sq_empty(&qp->sq))
		finish(qp, status);
	urxe_qp_sq_error(qp);
}

void urxe_complete_ready(struct urxe_qp *qp)
{
	struct urxe_sq *sq = &qp->sq;

	while (!sq_empty(sq)) {
		struct urxe_wqe *wqe = sq_slot(sq, sq->una);

		if (wqe->status) {
			/* What was not begun before SQD waits for its end. */
			if (wqe->started || qp_state(qp) != IB_QPS_SQD)
				urxe_req_fail(qp, wqe->status);
			return;
		}
		if (!wqe->done)
			return;
		finish(qp, IB_WC_SUCCESS);
	}
}

void urxe_flush_sq(struct urxe_qp *qp)
{
	struct urxe_sq *sq = &qp->sq;

	urxe_inbox_empty(&qp->req.inbox);
	if (qp_is_user(qp) && urxe_sq_fetch(sq, qp->ibqp.pd, qp->service))
		return;
	while (!sq_empty(sq))
		finish(qp, IB_WC_WR_FLUSH_ERR);
}

/* --- how far the peer got ----------------------------------------------- */

/*
 * The WQE at @una_psn, and its index; NULL when nothing is on the wire. All before
 * @index are done.
 */
static struct urxe_wqe *una_wqe(struct urxe_qp *qp, u32 *index)
{
	struct urxe_sq *sq = &qp->sq;

	for (; *index != sq->head; ++*index) {
		struct urxe_wqe *wqe = sq_slot(sq, *index);

		if (!wqe->done)
			return wqe->started && wqe->packets ? wqe : NULL;
	}
	return NULL;
}

/* @una_psn moves on; after a rewind it may overtake what is sent again. */
static void move_una(struct urxe_qp *qp, u32 psn)
{
	struct urxe_req *req = &qp->req;
	bool overtaken = req_dist(req, psn) > req_dist(req, req->send_psn);

	urxe_rate_acked(&req->rate, req_dist(req, psn));
	req->una_psn = psn;
	if (overtaken)
		req->send_psn = psn;
}

static void wqe_done(struct urxe_qp *qp, struct urxe_wqe *wqe, u32 index)
{
	wqe->done = true;
	if (index == qp->sq.next)
		qp->sq.next++;
	else if (wqe_has_response(wqe) && qp->req.rd_atomic)
		qp->req.rd_atomic--;
	move_una(qp, psn_add(wqe->first_psn, wqe->packets));
}

/* False when a response to one before @psn is missing. */
static bool pass_over(struct urxe_qp *qp, u32 psn)
{
	struct urxe_req *req = &qp->req;
	struct urxe_wqe *wqe;
	u32 index = qp->sq.una;

	while (psn != req->una_psn) {
		wqe = una_wqe(qp, &index);
		if (!wqe || wqe_has_response(wqe))
			return false;
		if (req_dist(req, psn_add(wqe->first_psn, wqe->packets)) >
		    req_dist(req, psn))
			move_una(qp, psn);
		else
			wqe_done(qp, wqe, index);
	}
	return true;
}

/*
 * The peer has seen all before @psn. False when a response to one of these is
 * missing here. What it means is judged when all of the answer is known.
 */
static bool advance(struct urxe_qp *qp, u32 psn)
{
	const u32 before = qp->req.una_psn;
	bool all = pass_over(qp, psn);

	if (qp->req.una_psn != before)
		urxe_req_progress(qp);
	return all;
}

/* Once per gap: what was sent before we went back is still arriving. */
static void go_back(struct urxe_qp *qp, enum urxe_counter cause)
{
	if (qp->req.rewound || qp->req.rnr_wait)
		return;
	urxe_req_retry(qp, cause);
	urxe_req_recover(qp);
	qp->req.rewound = true;
}

/* --- answers ------------------------------------------------------------ */

static void on_rnr_nak(struct urxe_qp *qp, u8 code)
{
	struct urxe_req *req = &qp->req;

	urxe_count(qp->dev, URXE_CNT_RX_RNR_NAK);
	if (req->rnr_wait)
		return;
	if (!req->rnr_retries) {
		urxe_count(qp->dev, URXE_CNT_RNR_EXCEEDED);
		urxe_req_fail(qp, IB_WC_RNR_RETRY_EXC_ERR);
		return;
	}
	if (req->rnr_retries != 7)
		req->rnr_retries--;
	urxe_count(qp->dev, URXE_CNT_RETRY_RNR);
	trace_urxe_retry(qp, URXE_CNT_RETRY_RNR);
	urxe_req_rewind(qp);
	urxe_req_rnr_wait(qp, code);
}

static void on_nak(struct urxe_qp *qp, u8 syndrome)
{
	static const u8 statuses[] = {
		[AETH_NAK_INV_REQ & AETH_VALUE_MASK] = IB_WC_REM_INV_REQ_ERR,
		[AETH_NAK_REM_ACC & AETH_VALUE_MASK] = IB_WC_REM_ACCESS_ERR,
		[AETH_NAK_REM_OP & AETH_VALUE_MASK] = IB_WC_REM_OP_ERR,
	};
	u8 code = syndrome & AETH_VALUE_MASK;

	if (syndrome == AETH_NAK_SEQ_ERR) {
		urxe_count(qp->dev, URXE_CNT_RX_SEQ_NAK);
		go_back(qp, URXE_CNT_RETRY_NAK);
		return;
	}
	urxe_count(qp->dev, URXE_CNT_RX_ERR_NAK);
	urxe_req_fail(qp, code < ARRAY_SIZE(statuses) ? statuses[code] :
							IB_WC_BAD_RESP_ERR);
}

/*
 * Return: 0, or CAME_EARLY for an acknowledgment that says that the answer to a READ or an
 * atomic is missing. A negative one is no longer true when that is here.
 */
static int on_ack(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	const struct urxe_aeth *aeth = pkt_ext(pkt);
	u8 syndrome = ntohl(aeth->smsn) >> 24;
	bool positive = (syndrome & AETH_TYPE_MASK) == AETH_ACK;

	if (!advance(qp, positive ? psn_add(pkt->psn, 1) : pkt->psn)) {
		urxe_complete_ready(qp);
		go_back(qp, URXE_CNT_RETRY_IMPLIED);
		return positive ? CAME_EARLY : 0;
	}
	urxe_complete_ready(qp);
	if (qp_state(qp) == IB_QPS_ERR)
		return 0;
	if (positive)
		urxe_count(qp->dev, URXE_CNT_RX_ACK);
	else if ((syndrome & AETH_TYPE_MASK) == AETH_RNR_NAK)
		on_rnr_nak(qp, syndrome);
	else if ((syndrome & AETH_TYPE_MASK) == AETH_NAK)
		on_nak(qp, syndrome);
	return 0;
}

/* Bytes that @n responses from @off on have to carry. */
static u32 response_len(const struct urxe_qp *qp, const struct urxe_wqe *wqe,
			u32 off, u32 n)
{
	return wqe->kind == WQE_READ ? min(n * qp->mtu, wqe->length - off) : 0;
}

/*
 * The last response says that it is the last. So does the last one in front of what is
 * kept, if just that was asked for again, and no other. Whether one says that
 * it is the first is not asked: those behind may belong to a request for the rest, and
 * rdma_rxe of 6.1, asked again for what it has not begun to send, begins in the middle.
 */
static bool place_ok(const struct urxe_qp *qp, const struct urxe_wqe *wqe,
		     u32 nth, const struct urxe_pkt *pkt)
{
	bool last = pkt->traits & OP_LAST;

	if (nth + pkt->packets == wqe->packets)
		return last;
	return !last || urxe_inbox_has(&qp->req.inbox,
				       psn_add(pkt->psn, pkt->packets));
}

static int read_response(struct urxe_qp *qp, struct urxe_wqe *wqe, u32 index,
			 const struct urxe_pkt *pkt, struct urxe_ctx *ctx)
{
	u32 nth = psn_dist(pkt->psn, wqe->first_psn);
	u32 off = nth * qp->mtu;
	int err = 0;

	if (wqe->kind == WQE_ATOMIC || pkt->packets > wqe->packets - nth ||
	    !place_ok(qp, wqe, nth, pkt) ||
	    pkt->len != response_len(qp, wqe, off, pkt->packets))
		return -EBADMSG;
	if (pkt->len)
		err = urxe_pkt_to_sg(pkt, qp->ibqp.pd, wqe->sge, wqe->num_sge,
				     off, ctx);
	if (err)
		return err;
	if (nth + pkt->packets == wqe->packets)
		wqe_done(qp, wqe, index);
	else
		move_una(qp, psn_add(pkt->psn, pkt->packets));
	return 0;
}

static int atomic_response(struct urxe_qp *qp, struct urxe_wqe *wqe, u32 index,
			   const struct urxe_pkt *pkt, struct urxe_ctx *ctx)
{
	const struct urxe_atomic_ack_eth *eth =
		pkt_ext(pkt) + sizeof(struct urxe_aeth);
	u64 orig = be64_to_cpu(eth->orig);
	int err;

	if (wqe->kind != WQE_ATOMIC)
		return -EBADMSG;
	err = urxe_sg_write(qp->ibqp.pd, wqe->sge, wqe->num_sge, 0, &orig,
			    sizeof(orig), ctx);
	if (!err)
		wqe_done(qp, wqe, index);
	return err;
}

/*
 * The bytes that a response refers to can't be had here: ask again, and for bytes.
 * What is behind it in the queue is then no news.
 */
static void refuse(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	struct urxe_qp *sender = urxe_ref_sender(pkt);

	urxe_count(qp->dev, URXE_CNT_REFUSED);
	if (sender) {
		set_bit(0, &sender->resp.refused);
		urxe_qp_put(sender);
	}
	urxe_req_rewind(qp);
	qp->req.rewound = true;
}

/*
 * An answer with something in it belongs to the WQE at its PSN and no other.
 * Return: 0; -EAGAIN; CAME_EARLY when one before it is missing.
 */
static int on_response(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		       struct urxe_ctx *ctx)
{
	struct urxe_wqe *wqe = NULL;
	u32 index = qp->sq.una;
	int err;

	if (advance(qp, pkt->psn))
		wqe = una_wqe(qp, &index);
	if (!wqe) {
		urxe_complete_ready(qp);
		go_back(qp, URXE_CNT_RETRY_IMPLIED);
		/* The peer is not silent: it sees to this before what we ask again. */
		urxe_req_set_deadline(qp);
		return CAME_EARLY;
	}
	if (!wqe_has_response(wqe))
		err = -EBADMSG;
	else if (pkt->traits & OP_ATOMIC)
		err = atomic_response(qp, wqe, index, pkt, ctx);
	else
		err = read_response(qp, wqe, index, pkt, ctx);
	if (!err)
		urxe_req_progress(qp);
	/* What is before it is answered, whatever this one has to wait for. */
	urxe_complete_ready(qp);
	if (err == -EAGAIN)
		return err;
	if (err == URXE_NO_SOURCE)
		refuse(qp, pkt);
	else if (err)
		urxe_req_fail(qp, err == -EBADMSG ? IB_WC_BAD_RESP_ERR :
						    IB_WC_LOC_PROT_ERR);
	return 0;
}

/*
 * Of a READ that was asked for more than once the peer answers each request, to its
 * end. Until it gets to what was asked since, it is not silent.
 */
static void on_duplicate(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	urxe_count(qp->dev, URXE_CNT_RX_DUPLICATE);
	if ((pkt->traits & OP_READ) && psn_diff(pkt->psn, qp->req.una_psn) < 0)
		urxe_req_set_deadline(qp);
}

/* Return: 0 when the packet is done with, else as on_response(). */
static int complete_pkt(struct urxe_qp *qp, struct urxe_pkt *pkt,
			struct urxe_ctx *ctx)
{
	struct urxe_req *req = &qp->req;
	s32 behind = psn_diff(req->una_psn, pkt->psn);

	if (pkt->traits & OP_CNP) {
		urxe_count(qp->dev, URXE_CNT_RX_CNP);
		urxe_rate_congested(&req->rate);
		return 0;
	}
	/* Of one that stands for many the first are there already. */
	if (behind > 0 && behind < (s32)pkt->packets)
		urxe_pkt_trim(pkt, behind, qp->mtu);
	/* Not on the wire (any more): a duplicate, or from another life. */
	if (req_dist(req, pkt->psn) >= req_dist(req, req->max_psn)) {
		on_duplicate(qp, pkt);
		return 0;
	}
	return pkt->bth.opcode == (OPC_RC | OPC_ACK) ?
	       on_ack(qp, pkt) : on_response(qp, pkt, ctx);
}

/*
 * Between two ends on one host nothing gets lost. What is no later than what is missing
 * will be no better when that has come.
 */
static bool keep(struct urxe_qp *qp, struct sk_buff *skb, u32 psn)
{
	return urxe_run(skb)->iif && urxe_req_may_recover(qp) &&
	       psn_diff(psn, qp->req.una_psn) > 0 &&
	       urxe_inbox_keep(&qp->req.inbox, skb, psn);
}

/* What came early has its turn when all before it is answered, or needs no answer. */
static struct sk_buff *next_skb(struct urxe_qp *qp)
{
	struct sk_buff *early = urxe_inbox_early(&qp->req.inbox);
	u32 psn;

	if (early && qp_state(qp) != IB_QPS_ERR) {
		psn = urxe_run(early)->psn;
		if (psn_diff(psn, qp->req.una_psn) <= 0 || advance(qp, psn))
			return early;
	}
	return urxe_inbox_first(&qp->req.inbox);
}

/*
 * The packets of one skb, as long as it has its turn: the first may close a gap in the
 * middle of it. Return: 0 when it is done with; -EAGAIN; CAME_EARLY when it stays.
 */
static int complete_skb(struct urxe_qp *qp, struct sk_buff *skb,
			struct urxe_ctx *ctx)
{
	struct urxe_pkt pkt;
	int err;

	if (!(qp->service & OP_RC) || !urxe_path_matches(&qp->path, skb)) {
		urxe_count(qp->dev, URXE_CNT_DROP_WRONG_PEER);
		return 0;
	}
	while (qp_state(qp) != IB_QPS_ERR && next_skb(qp) == skb &&
	       urxe_run_peek(qp, skb, &pkt)) {
		ctx->budget--;
		/* Notifications are not notified of. */
		if (!(pkt.traits & OP_CNP))
			urxe_cnp_check(qp, skb, ctx);
		err = complete_pkt(qp, &pkt, ctx);
		if (err == -EAGAIN)
			return err;
		if (err == CAME_EARLY && keep(qp, skb, pkt.psn)) {
			urxe_count(qp->dev, URXE_CNT_RX_EARLY);
			return err;
		}
		urxe_run_next(skb);
	}
	return qp_state(qp) != IB_QPS_ERR && urxe_run_left(skb) ? CAME_EARLY : 0;
}

/* What is kept waits for an answer; let there be one that is asked for. */
static void close_gap(struct urxe_qp *qp)
{
	const struct urxe_req *req = &qp->req;

	if (req->recovering)
		urxe_req_recover_on(qp);
	else if (!req->probe && urxe_inbox_early(&req->inbox))
		go_back(qp, URXE_CNT_RETRY_IMPLIED);
}

enum urxe_step urxe_complete_responses(struct urxe_qp *qp,
				       struct urxe_ctx *ctx)
{
	struct urxe_inbox *inbox = &qp->req.inbox;
	struct sk_buff *skb;
	int err;

	while ((skb = next_skb(qp))) {
		err = complete_skb(qp, skb, ctx);
		if (err == -EAGAIN)
			return URXE_STEP_SLEEP;
		if (err != CAME_EARLY)
			urxe_inbox_done(inbox, skb);
		if (urxe_ctx_spent(ctx))
			return URXE_STEP_AGAIN;
	}
	if (qp_state(qp) != IB_QPS_ERR)
		close_gap(qp);
	return URXE_STEP_DONE;
}
