// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The requester: whether the next WQE may be begun, and how far ahead of its peer the
 * QP may be. The step sends as long as nothing speaks against it.
 */
#include "batch.h"
#include "comp.h"
#include "fast.h"
#include "mr.h"
#include "mw.h"
#include "opcode.h"
#include "pressure.h"
#include "qp.h"
#include "req.h"
#include "retry.h"
#include "send.h"
#include "ud.h"

/* --- deciding what to send ---------------------------------------------- */

/* Also of this turn: what is local, or unreliable, is done with at once. */
static bool all_before_completed(struct urxe_qp *qp)
{
	urxe_complete_ready(qp);
	return qp->sq.una == qp->sq.next;
}

/* Whether a WQE that nothing of is on the wire may be begun. */
static bool may_start(struct urxe_qp *qp, const struct urxe_wqe *wqe)
{
	if (qp_state(qp) != IB_QPS_RTS)
		return false;
	if ((wqe->flags & IB_SEND_FENCE) && qp->req.rd_atomic)
		return false;
	/* Nothing that still may be sent again uses the key. */
	return wqe->opcode != IB_WR_LOCAL_INV || all_before_completed(qp);
}

static void start(struct urxe_qp *qp, struct urxe_wqe *wqe)
{
	struct urxe_req *req = &qp->req;

	wqe->started = true;
	wqe->first_psn = req->psn;
	if (wqe->kind != WQE_LOCAL)
		wqe->packets = qp_packets(qp, wqe->length);
	req->psn = psn_add(req->psn, wqe->packets);
}

/*
 * What is asked for counts as what is sent does: the answers to many READs at once
 * overrun the queues on their way. A window that shrinks may leave nothing out there
 * that asks for an acknowledgment: then one packet more does.
 */
static bool window_open(const struct urxe_qp *qp, const struct urxe_wqe *wqe)
{
	const struct urxe_req *req = &qp->req;
	u32 ahead = req_dist(req, req->send_psn);

	if (req->recovering && psn_diff(req->send_psn, req->burst_stop) >= 0)
		return false;
	if (!ahead)
		return true;
	if (req->probe ||
	    (ahead >= req->rate.window && req->since_ack < ahead))
		return false;
	return !wqe_has_response(wqe) ||
	       (req->rd_atomic < qp->attr.max_rd_atomic &&
		ahead + wqe->packets < URXE_PSN_HALF);
}

static enum urxe_tx do_local(struct urxe_qp *qp, struct urxe_wqe *wqe,
			     struct urxe_ctx *ctx)
{
	int err;

	if (wqe->opcode == IB_WR_REG_MR)
		err = urxe_mr_fast_reg(qp, wqe, ctx);
	else if (wqe->opcode == IB_WR_BIND_MW)
		err = urxe_mw_bind(qp, wqe, ctx);
	else
		err = urxe_mr_invalidate(qp, wqe->key, false, ctx);
	if (err == -EAGAIN)
		return TX_SLEEP;
	if (err)
		return urxe_req_local_error(wqe, IB_WC_MW_BIND_ERR);
	wqe->done = true;
	qp->sq.next++;
	return TX_MORE;
}

static bool check_rd_atomic(const struct urxe_qp *qp,
			    const struct urxe_wqe *wqe)
{
	return !wqe_has_response(wqe) || qp->attr.max_rd_atomic;
}

/*
 * An acknowledgment comes where the peer's worker is at it. To send from there as well
 * leaves all to one processor. Where a turn has begun to send, it goes on.
 */
static bool had_better_leave(const struct urxe_qp *qp,
			     const struct urxe_batch *batch,
			     const struct urxe_wqe *wqe)
{
	return (qp->service & OP_RC) && !batch->aimed &&
	       !wqe_has_response(wqe) && urxe_send_away(wqe->length);
}

/*
 * What of a message waits in another processor's backlog is overtaken by what is sent
 * from here. RC mends that, but UC loses the message.
 */
static bool would_overtake(const struct urxe_qp *qp, struct urxe_batch *batch,
			   const struct urxe_wqe *wqe)
{
	return (qp->service & OP_UC) && qp->req.send_psn != wqe->first_psn &&
	       qp->req.cpu != raw_smp_processor_id() &&
	       !urxe_batch_is_local(batch);
}

static enum urxe_tx send_next(struct urxe_qp *qp, struct urxe_batch *batch,
			      struct urxe_ctx *ctx)
{
	struct urxe_sq *sq = &qp->sq;
	enum ib_wc_status status;
	struct urxe_wqe *wqe;

	/* The slot is read after the index that says it is filled. */
	if (sq->next == smp_load_acquire(&sq->head))
		return TX_IDLE;
	wqe = sq_slot(sq, sq->next);
	if (wqe->done) {
		sq->next++;
		return TX_MORE;
	}
	if (wqe->status || qp->req.rnr_wait)
		return TX_IDLE;
	if (!wqe->started) {
		if (!may_start(qp, wqe))
			return TX_IDLE;
		if (!check_rd_atomic(qp, wqe))
			return urxe_req_local_error(wqe, IB_WC_LOC_QP_OP_ERR);
		start(qp, wqe);
	}
	if (wqe->kind == WQE_LOCAL)
		return do_local(qp, wqe, ctx);
	if (!window_open(qp, wqe) ||
	    urxe_handle_full(qp->handle, URXE_SIDE_SQ))
		return TX_IDLE;
	if (had_better_leave(qp, batch, wqe))
		return TX_AWAY;
	if (urxe_ctx_over(ctx))
		return TX_AGAIN;
	ctx->budget--;
	if ((qp->service & OP_UC) && urxe_pressure_felt(qp)) {
		if (ctx->yields)
			urxe_pressure_pause();
		return TX_AGAIN;
	}
	if (would_overtake(qp, batch, wqe)) {
		/* A worker can wait. */
		if (!ctx->yields)
			return TX_AGAIN;
		urxe_handle_settle(qp->handle, URXE_SIDE_SQ);
	}
	if (wqe_has_response(wqe))
		return urxe_req_send_request(qp, batch, wqe);
	status = qp->service & OP_UD ? urxe_ud_aim(qp, batch, wqe) :
				       IB_WC_SUCCESS;
	if (status)
		return urxe_req_local_error(wqe, status);
	return urxe_req_send_message(qp, batch, wqe, ctx);
}

/* In SQD, what was begun has been answered: say so, once. */
static void check_drained(struct urxe_qp *qp)
{
	struct urxe_sq *sq = &qp->sq;

	if (qp_state(qp) != IB_QPS_SQD) {
		qp->req.drained = false;
		return;
	}
	if (qp->req.drained ||
	    (sq->una != sq->head && sq_slot(sq, sq->una)->started))
		return;
	qp->req.drained = true;
	if (qp->attr.en_sqd_async_notify)
		urxe_qp_event(qp, IB_EVENT_SQ_DRAINED);
}

static enum urxe_step step_after(enum urxe_tx tx)
{
	switch (tx) {
	case TX_SLEEP:
		return URXE_STEP_SLEEP;
	case TX_AGAIN:
		return URXE_STEP_AGAIN;
	case TX_AWAY:
		return URXE_STEP_AWAY;
	default:
		return URXE_STEP_DONE;
	}
}

/* A batch is not made for nothing: most answers leave nothing to be sent. */
static enum urxe_tx send_all(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	u32 posted = READ_ONCE(qp->sq.head) - qp->sq.next;
	struct urxe_batch batch;
	enum urxe_tx tx;

	if (!posted)
		return TX_IDLE;
	urxe_batch_init(&batch, qp, ctx);
	batch.many = posted > 1;
	do {
		tx = send_next(qp, &batch, ctx);
	} while (tx == TX_MORE);
	urxe_batch_send(&batch);
	return tx;
}

static enum urxe_step transmit(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	const u32 first = qp->req.send_psn;
	enum urxe_tx tx;

	if (qp_is_user(qp) &&
	    urxe_sq_fetch(&qp->sq, qp->ibqp.pd, qp->service)) {
		urxe_qp_error(qp, IB_EVENT_QP_FATAL);
		return URXE_STEP_DONE;
	}
	tx = send_all(qp, ctx);
	/* While a worker waited for a page of ours the peer had nothing to answer. */
	if (ctx->may_sleep && qp->req.send_psn != first)
		urxe_req_set_deadline(qp);
	urxe_req_arm_timer(qp);
	urxe_complete_ready(qp);
	check_drained(qp);
	return step_after(tx);
}

/*
 * A local operation that has begun waits for the accesses under way, while new
 * ones are refused, which may be what put the QP in error. So it is seen through,
 * and the consumer learns that the key is gone.
 */
static bool local_begun(const struct urxe_sq *sq, const struct urxe_wqe *wqe)
{
	return sq->next != sq->head && wqe->kind == WQE_LOCAL && wqe->started &&
	       !wqe->done && !wqe->status;
}

static enum urxe_step end_sq(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct urxe_wqe *wqe = sq_slot(&qp->sq, qp->sq.next);

	if (local_begun(&qp->sq, wqe)) {
		if (do_local(qp, wqe, ctx) == TX_SLEEP)
			return URXE_STEP_SLEEP;
		urxe_complete_ready(qp);
	}
	urxe_flush_sq(qp);
	return URXE_STEP_DONE;
}

/* What a user has posted too early. */
static void forget_refused(struct urxe_qp *qp)
{
	struct urxe_ring *ring = &qp->sq.ring;
	u32 num;

	if (!ring->buf)
		return;
	num = urxe_ring_pending(ring);
	/* In error it is not too early, and what is posted is to be flushed. */
	smp_rmb();
	if (qp_state(qp) < IB_QPS_RTS)
		urxe_ring_discard(ring, num);
}

enum urxe_step urxe_sq_step(struct urxe_runner *runner, struct urxe_ctx *ctx)
{
	struct urxe_qp *qp = container_of(runner, struct urxe_qp, sq_runner);
	enum urxe_step step;

	switch (qp_state(qp)) {
	case IB_QPS_RTS:
	case IB_QPS_SQD:
		step = urxe_complete_responses(qp, ctx);
		if (step != URXE_STEP_DONE)
			return step;
		/* Either may be the end of the QP. */
		if (qp_state(qp) != IB_QPS_ERR)
			urxe_req_take_events(qp);
		if (qp_state(qp) == IB_QPS_ERR)
			break;
		return transmit(qp, ctx);
	case IB_QPS_SQE:
	case IB_QPS_ERR:
		break;
	default:
		urxe_qp_drop(qp, &qp->req.inbox);
		forget_refused(qp);
		return URXE_STEP_DONE;
	}
	return end_sq(qp, ctx);
}

/* --- beginning and end -------------------------------------------------- */

void urxe_req_init(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;

	urxe_inbox_init(&req->inbox);
	req->alive_psn = U32_MAX;
	urxe_rate_init(&req->rate);
	urxe_req_init_timers(qp);
}

void urxe_req_reset(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;

	urxe_req_stop_timers(qp);
	urxe_inbox_empty(&req->inbox);
	req->rd_atomic = 0;
	req->since_ack = 0;
	req->timeouts = 0;
	req->rewound = false;
	req->recovering = false;
	req->burst_ticks = 0;
	req->probe = false;
	req->closer = false;
	req->alive_psn = U32_MAX;
	urxe_rate_init(&req->rate);
	req->by_value = 0;
	req->rnr_wait = false;
	req->drained = false;
	req->events = 0;
	urxe_sq_reset(&qp->sq);
}
