// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The responder of a connected QP: does what requests ask for, and, unless the
 * service is unreliable (UC), answers.
 *
 * A request packet goes through: order (is it the one expected?), sequence (may
 * it follow the last one?), resources (receive WQE, memory), execution,
 * acknowledgment. A step either leaves the packet as it was (-EAGAIN: the worker
 * does it again) or is done with it.
 */
#include "access.h"
#include "cnp.h"
#include "counters.h"
#include "opcode.h"
#include "pressure.h"
#include "qp.h"
#include "ref.h"
#include "resp.h"
#include "run.h"
#include "ud.h"

/* Packets taken in before an acknowledgment that is owed is sent. */
#define ACK_COALESCE	128

/* How long a QP in error waits before it looks for receive requests again. */
#define FLUSH_WAIT_MIN	1UL
#define FLUSH_WAIT_MAX	((unsigned long)HZ)

/* --- completions on the receive queue ----------------------------------- */

/* A completion that is lost ends the QP; the peer must not take its message for delivered. */
static void completion_lost(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	struct urxe_ctx ctx = {};

	if (pkt && (qp->service & OP_RC)) {
		urxe_count(qp->dev, URXE_CNT_TX_ERR_NAK);
		urxe_send_nak(qp, &ctx, AETH_NAK_REM_OP);
		urxe_ctx_leave_next(&ctx);
	}
	urxe_qp_error(qp, IB_EVENT_QP_FATAL);
}

void urxe_resp_complete(struct urxe_qp *qp, struct ib_wc *wc,
			const struct urxe_pkt *pkt)
{
	wc->wr_id = qp->resp.rqe.wr_id;
	wc->qp = &qp->ibqp;
	wc->port_num = 1;
	qp->resp.have_rqe = false;
	if (pkt && (pkt->traits & OP_IMM)) {
		wc->wc_flags |= IB_WC_WITH_IMM;
		wc->ex.imm_data = pkt_last_word(pkt);
	}
	if (!urxe_cq_post(to_ucq(qp->ibqp.recv_cq), wc,
			  pkt && (pkt->bth.flags & BTH_SE)))
		completion_lost(qp, pkt);
}

static void post_recv_cqe(struct urxe_qp *qp, enum ib_wc_status status,
			  const struct urxe_pkt *pkt)
{
	struct ib_wc wc = {
		.status = status,
		.opcode = IB_WC_RECV,
		.src_qp = qp->attr.dest_qp_num,
		.byte_len = qp->resp.length,
	};

	if (pkt && (pkt->traits & OP_IETH)) {
		wc.wc_flags |= IB_WC_WITH_INVALIDATE;
		wc.ex.invalidate_rkey = be32_to_cpu(pkt_last_word(pkt));
	}
	if (pkt && (pkt->traits & OP_WRITE))
		wc.opcode = IB_WC_RECV_RDMA_WITH_IMM;
	urxe_resp_complete(qp, &wc, pkt);
}

/* --- failing ------------------------------------------------------------ */

/*
 * The requester comes again with the expected PSN. What it sent before it
 * knew is out of order, and not worth another NAK.
 */
static void fail_soft(struct urxe_qp *qp, struct urxe_ctx *ctx, int why)
{
	bool told = qp->resp.nak_sent;

	qp->resp.nak_sent = true;
	if (why == FAIL_RNR) {
		qp->resp.not_ready = true;
		urxe_count(qp->dev, URXE_CNT_TX_RNR_NAK);
		urxe_send_nak(qp, ctx, AETH_RNR_NAK | qp->attr.min_rnr_timer);
	} else if (!told) {
		urxe_count(qp->dev, URXE_CNT_TX_SEQ_NAK);
		urxe_send_nak(qp, ctx, AETH_NAK_SEQ_ERR);
	}
}

void urxe_resp_fail(struct urxe_qp *qp, struct urxe_ctx *ctx, int why)
{
	if (why == FAIL_TOLD)
		return;
	if (why == FAIL_RNR || why == FAIL_SEQ) {
		fail_soft(qp, ctx, why);
		return;
	}
	urxe_count(qp->dev, URXE_CNT_TX_ERR_NAK);
	urxe_send_nak(qp, ctx, -(why + MAX_ERRNO));
	urxe_qp_error(qp, why == FAIL_ACCESS ? IB_EVENT_QP_ACCESS_ERR :
			  why == FAIL_INV_REQ ? IB_EVENT_QP_REQ_ERR : -1);
}

int urxe_resp_fail_rqe(struct urxe_qp *qp, struct urxe_ctx *ctx,
		       enum ib_wc_status status, u8 syndrome)
{
	if (qp->service & OP_RC) {
		urxe_count(qp->dev, URXE_CNT_TX_ERR_NAK);
		urxe_send_nak(qp, ctx, syndrome);
	}
	post_recv_cqe(qp, status, NULL);
	urxe_qp_error(qp, -1);
	return FAIL_TOLD;
}

/* --- sequence ----------------------------------------------------------- */

/*
 * IBTA 9.7.4.1.3: lengths that a packet's place in its message allows; likewise
 * those of one that stands for many.
 */
static bool length_ok(const struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	u32 full = pkt->packets * qp->mtu;

	if (!(pkt->traits & (OP_SEND | OP_WRITE)))
		return !pkt->len || (pkt->traits & OP_PAYLOAD);
	if (!(pkt->traits & OP_LAST))
		return pkt->len == full;
	return pkt->len <= full &&
	       (pkt->len > full - qp->mtu ||
		((pkt->traits & OP_FIRST) && pkt->packets == 1));
}

static bool sequence_ok(const struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	u32 kind = pkt->traits & (OP_SEND | OP_WRITE);

	if (pkt->traits & OP_FIRST)
		return !qp->resp.in_msg;
	return kind && qp->resp.in_msg == kind;
}

static int flush_access(const struct urxe_pkt *pkt)
{
	const struct urxe_feth *feth = pkt_ext(pkt);

	return urxe_feth_access(feth->bits);
}

static bool permitted(const struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	int flags = qp->attr.qp_access_flags;

	if (pkt->traits & (OP_WRITE | OP_ATOMIC_WRITE))
		return flags & IB_ACCESS_REMOTE_WRITE;
	if (pkt->traits & OP_READ)
		return (flags & IB_ACCESS_REMOTE_READ) && qp->resp.num_res;
	if (pkt->traits & OP_ATOMIC)
		return (flags & IB_ACCESS_REMOTE_ATOMIC) && qp->resp.num_res;
	if (pkt->traits & OP_FLUSH)
		return !(flush_access(pkt) & ~flags);
	/* Else it is a reserved opcode. */
	return pkt->traits & OP_SEND;
}

int urxe_resp_check(const struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	if (!sequence_ok(qp, pkt))
		return FAIL_SEQ;
	return length_ok(qp, pkt) && permitted(qp, pkt) ? 0 : FAIL_INV_REQ;
}

/* --- acknowledgment ----------------------------------------------------- */

static void end_message(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	struct urxe_resp *resp = &qp->resp;

	resp->msn = psn_add(resp->msn, 1);
	if (pkt_needs_rqe(pkt))
		post_recv_cqe(qp, IB_WC_SUCCESS, pkt);
	resp->length = 0;
	resp->in_msg = 0;
}

void urxe_resp_take_in(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	struct urxe_resp *resp = &qp->resp;
	u32 packets = pkt->packets;

	if (pkt->traits & OP_READ)
		packets = urxe_res_recall(qp, pkt->psn)->packets;
	resp->length += pkt->len;
	resp->in_msg = pkt->traits & (OP_SEND | OP_WRITE);
	if (pkt->traits & OP_LAST)
		end_message(qp, pkt);
	resp->psn = psn_add(resp->psn, packets);
	if (!(pkt->traits & OP_RD_ATOMIC))
		resp->ack_psn = resp->psn;
	resp->nak_sent = false;
	resp->not_ready = false;
	resp->unacked += pkt->packets;
}

static void acknowledge(struct urxe_qp *qp, const struct urxe_pkt *pkt,
			struct urxe_ctx *ctx)
{
	struct urxe_resp *resp = &qp->resp;

	if (pkt->traits & OP_ATOMIC)
		urxe_send_atomic_ack(qp, ctx, pkt->psn,
				     urxe_res_recall(qp, pkt->psn)->orig);
	/* A response acknowledges what is before it as well. */
	if (pkt->traits & OP_RD_ATOMIC)
		resp->ack_due = false;
	else if (pkt_ack_requested(pkt))
		resp->ack_due = true;
	if (resp->unacked >= ACK_COALESCE)
		urxe_send_ack(qp, ctx);
}

/* --- duplicates --------------------------------------------------------- */

static void duplicate(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		      struct urxe_ctx *ctx)
{
	struct urxe_rd_res *res;

	urxe_count(qp->dev, URXE_CNT_RX_DUPLICATE);
	if (!(pkt->traits & OP_RD_ATOMIC)) {
		qp->resp.ack_due = true;
		/* A peer that goes through all of it again may not have seen that NAK. */
		if (!qp->resp.not_ready && urxe_inbox_early(&qp->resp.inbox))
			qp->resp.nak_sent = false;
		return;
	}
	if (pkt->traits & (OP_ATOMIC_WRITE | OP_FLUSH)) {
		urxe_answer_empty(qp, pkt->psn);
		return;
	}
	res = urxe_res_recall(qp, pkt->psn);
	if (!res || !(res->traits & pkt->traits))
		return;
	if (pkt->traits & OP_READ)
		urxe_read_replay(qp, pkt, res);
	else
		urxe_send_atomic_ack(qp, ctx, res->first_psn, res->orig);
}

/* --- one packet --------------------------------------------------------- */

static int rc_request(struct urxe_qp *qp, struct urxe_pkt *pkt,
		      struct urxe_ctx *ctx)
{
	s32 order = psn_diff(pkt->psn, qp->resp.psn);
	int err;

	if (order > 0)
		return FAIL_SEQ;
	if (order < 0 && -order < pkt->packets) {
		urxe_pkt_trim(pkt, -order, qp->mtu);
	} else if (order < 0) {
		duplicate(qp, pkt, ctx);
		return 0;
	}
	if (urxe_resp_check(qp, pkt))
		return FAIL_INV_REQ;
	err = urxe_resp_execute(qp, pkt, ctx);
	if (err)
		return err;
	urxe_resp_take_in(qp, pkt);
	acknowledge(qp, pkt, ctx);
	return 0;
}

/*
 * The bytes that a packet refers to can't be had here: have it sent again with them.
 * What follows it until then is out of order, and not worth a NAK.
 */
static void refuse(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		   struct urxe_ctx *ctx)
{
	struct urxe_qp *sender = urxe_ref_sender(pkt);

	urxe_count(qp->dev, URXE_CNT_REFUSED);
	qp->resp.nak_sent = true;
	qp->resp.ack_due = true;
	if (!sender)
		return;
	set_bit(SQ_EV_REFUSED, &sender->req.events);
	urxe_runner_kick_next(ctx, &sender->sq_runner);
}

static int request(struct urxe_qp *qp, struct urxe_pkt *pkt,
		   struct urxe_ctx *ctx)
{
	/* Not in this QP's protocol at all: not even worth a NAK. */
	if (!(pkt->traits & qp->service)) {
		urxe_count(qp->dev, URXE_CNT_DROP_MALFORMED);
		return 0;
	}
	if (qp->service & OP_RC)
		return rc_request(qp, pkt, ctx);
	return qp->service & OP_UC ? urxe_uc_request(qp, pkt, ctx) :
				     urxe_ud_request(qp, pkt, ctx);
}

/* The first packet tells a QP in RTR that its peer is there. */
static void check_comm_est(struct urxe_qp *qp)
{
	if (qp->resp.comm_est || (qp->service & OP_UD))
		return;
	qp->resp.comm_est = true;
	if (qp_state(qp) == IB_QPS_RTR)
		urxe_qp_event(qp, IB_EVENT_COMM_EST);
}

/* Does the packet come from where it should, and to where it should? */
static bool addressed(struct urxe_qp *qp, struct sk_buff *skb)
{
	if (qp->service & OP_UD ? urxe_ud_is_ours(qp, skb) :
				  urxe_path_matches(&qp->path, skb))
		return true;
	urxe_count(qp->dev, qp->service & OP_UD ? URXE_CNT_DROP_NO_QP :
						  URXE_CNT_DROP_WRONG_PEER);
	return false;
}

/* What came early has its turn as soon as that has come; else what is next. */
static struct sk_buff *next_skb(const struct urxe_resp *resp)
{
	if (urxe_inbox_early(&resp->inbox) &&
	    !urxe_inbox_gap(&resp->inbox, resp->psn))
		return urxe_inbox_early(&resp->inbox);
	return urxe_inbox_first(&resp->inbox);
}

/*
 * What comes before its turn is kept until then, but for what the peer sends again
 * anyway: what is behind one that was not ready, and what asks for an answer, since the
 * peer can't tell whether that is on its way. Between two ends on one host nothing gets
 * lost.
 */
static bool keep(struct urxe_qp *qp, struct sk_buff *skb,
		 const struct urxe_pkt *pkt)
{
	return !qp->resp.not_ready && !(pkt->traits & OP_RD_ATOMIC) &&
	       urxe_run(skb)->iif &&
	       psn_diff(pkt->psn, qp->resp.psn) < URXE_EARLY_PSNS &&
	       urxe_inbox_keep(&qp->resp.inbox, skb, pkt->psn);
}

/*
 * Behind what had been kept there is one more gap. A peer that sends again only what
 * it is told of is told of this one, too. One that goes on by itself may drop the NAK.
 */
static void report_gap(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct urxe_resp *resp = &qp->resp;

	if (!resp->resumed || resp->read.active || qp_state(qp) == IB_QPS_ERR)
		return;
	resp->resumed = false;
	if (!resp->nak_sent && urxe_inbox_gap(&resp->inbox, resp->psn))
		fail_soft(qp, ctx, FAIL_SEQ);
}

/* Its packets, as long as it has its turn: the first may close a gap in the middle of it. */
static enum urxe_step respond_skb(struct urxe_qp *qp, struct sk_buff *skb,
				  struct urxe_ctx *ctx)
{
	enum urxe_step step = URXE_STEP_DONE;
	struct urxe_pkt pkt;
	int err;

	if (!addressed(qp, skb)) {
		urxe_run(skb)->off = urxe_run(skb)->end;
		return URXE_STEP_DONE;
	}
	if (qp->service & OP_RC)
		urxe_cnp_check(qp, skb, ctx);
	while (step == URXE_STEP_DONE && !qp->resp.read.active &&
	       qp_state(qp) != IB_QPS_ERR && next_skb(&qp->resp) == skb &&
	       urxe_run_peek(qp, skb, &pkt)) {
		check_comm_est(qp);
		urxe_doorbell_heard(&qp->doorbell);
		ctx->budget--;
		err = request(qp, &pkt, ctx);
		if (err == -EAGAIN)
			return URXE_STEP_SLEEP;
		if (err == FAIL_SEQ && keep(qp, skb, &pkt)) {
			urxe_count(qp->dev, URXE_CNT_RX_EARLY);
			fail_soft(qp, ctx, err);
			return URXE_STEP_DONE;
		}
		urxe_run_next(skb);
		if (err == URXE_NO_SOURCE)
			refuse(qp, &pkt, ctx);
		else if (err)
			urxe_resp_fail(qp, ctx, err);
		step = urxe_read_respond(qp, ctx);
	}
	return step;
}

static enum urxe_step respond(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct urxe_inbox *inbox = &qp->resp.inbox;
	enum urxe_step step;
	struct sk_buff *skb;

	step = urxe_read_respond(qp, ctx);
	while (step == URXE_STEP_DONE && !qp->resp.read.active &&
	       qp_state(qp) != IB_QPS_ERR && (skb = next_skb(&qp->resp))) {
		step = respond_skb(qp, skb, ctx);
		if (step == URXE_STEP_SLEEP)
			break;
		if (!urxe_run_left(skb) && urxe_inbox_done(inbox, skb))
			qp->resp.resumed = true;
		if (step == URXE_STEP_DONE && urxe_ctx_spent(ctx))
			step = URXE_STEP_AGAIN;
	}
	if (step == URXE_STEP_DONE)
		report_gap(qp, ctx);
	if (qp->service & OP_UC)
		urxe_pressure_note(qp);
	/*
	 * Also when only the turn is over, or a page is missing: it may be what a caller
	 * waits for to ring, or what a peer would take for lost.
	 */
	if (!qp->resp.read.active && !urxe_send_ack(qp, ctx) &&
	    step != URXE_STEP_SLEEP)
		step = URXE_STEP_AGAIN;
	return step;
}

/*
 * A program posts receive requests without a system call. So a QP in error looks
 * for them by itself, less and less often while there are none.
 */
static void look_again(struct urxe_qp *qp, bool found)
{
	struct urxe_resp *resp = &qp->resp;

	if (!qp_is_user(qp))
		return;
	resp->flush_wait = found ? FLUSH_WAIT_MIN :
				   clamp(2 * resp->flush_wait, FLUSH_WAIT_MIN,
					 FLUSH_WAIT_MAX);
	mod_timer(&resp->flush_timer, jiffies + resp->flush_wait);
}

static void on_flush_timer(struct timer_list *timer)
{
	struct urxe_qp *qp = container_of(timer, struct urxe_qp,
					  resp.flush_timer);

	/* There may be much to flush, and more by and by. */
	urxe_runner_defer(&qp->rq_runner);
}

/* What an SRQ still has is for other QPs; who takes it down waits for this. */
static void report_last_wqe(struct urxe_qp *qp)
{
	if (qp->resp.last_wqe)
		return;
	qp->resp.last_wqe = true;
	urxe_qp_event(qp, IB_EVENT_QP_LAST_WQE_REACHED);
}

static enum urxe_step flush_rq(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct urxe_resp *resp = &qp->resp;
	bool found = false;

	urxe_inbox_empty(&resp->inbox);
	resp->read.active = false;
	resp->length = 0;
	if (resp->have_rqe)
		post_recv_cqe(qp, IB_WC_WR_FLUSH_ERR, NULL);
	if (qp->ibqp.srq) {
		report_last_wqe(qp);
		return URXE_STEP_DONE;
	}
	while (!urxe_rq_pull(&qp->rq, &resp->rqe, 0)) {
		post_recv_cqe(qp, IB_WC_WR_FLUSH_ERR, NULL);
		found = true;
		if (--ctx->budget <= 0)
			return URXE_STEP_AGAIN;
	}
	look_again(qp, found);
	return URXE_STEP_DONE;
}

enum urxe_step urxe_rq_step(struct urxe_runner *runner, struct urxe_ctx *ctx)
{
	struct urxe_qp *qp = container_of(runner, struct urxe_qp, rq_runner);
	enum urxe_step step;

	switch (qp_state(qp)) {
	case IB_QPS_RTR:
	case IB_QPS_RTS:
	case IB_QPS_SQD:
	case IB_QPS_SQE:
		step = respond(qp, ctx);
		if (qp_state(qp) != IB_QPS_ERR)
			return step;
		break;
	case IB_QPS_ERR:
		break;
	default:
		urxe_qp_drop(qp, &qp->resp.inbox);
		return URXE_STEP_DONE;
	}
	return flush_rq(qp, ctx);
}

/* --- beginning and end -------------------------------------------------- */

void urxe_resp_init(struct urxe_qp *qp)
{
	urxe_inbox_init(&qp->resp.inbox);
	timer_setup(&qp->resp.flush_timer, on_flush_timer, 0);
}

void urxe_resp_reset(struct urxe_qp *qp)
{
	struct urxe_resp *resp = &qp->resp;

	timer_delete_sync(&resp->flush_timer);
	resp->flush_wait = 0;
	urxe_inbox_empty(&resp->inbox);
	resp->msn = 0;
	resp->in_msg = 0;
	resp->nak_sent = false;
	resp->not_ready = false;
	resp->resumed = false;
	resp->comm_est = false;
	resp->ack_due = false;
	resp->unacked = 0;
	resp->length = 0;
	resp->have_rqe = false;
	resp->last_wqe = false;
	resp->read.active = false;
	resp->refused = 0;
	resp->next_res = 0;
	if (resp->res)
		memset(resp->res, 0, resp->num_res * sizeof(*resp->res));
	urxe_rq_reset(&qp->rq);
}
