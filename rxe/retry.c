// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Sending again: when there is reason to, and from where on. It is done by setting
 * @send_psn back, and the requester goes on from there as if it were the first time.
 */
#include "comp.h"
#include "counters.h"
#include "qp.h"
#include "req.h"
#include "retry.h"
#include "rnr.h"
#include "trace.h"

/* Packets that carry their bytes after one that only referred to them was refused. */
#define BY_VALUE	256

/* --- timers ------------------------------------------------------------- */

static void tell(struct urxe_qp *qp, enum urxe_sq_event event)
{
	set_bit(event, &qp->req.events);
	urxe_runner_kick(&qp->sq_runner);
}

static void on_timer(struct timer_list *timer)
{
	struct urxe_qp *qp = container_of(timer, struct urxe_qp, req.timer);
	unsigned long deadline = READ_ONCE(qp->req.deadline);

	if (time_before(jiffies, deadline))
		mod_timer(timer, deadline);
	else
		tell(qp, SQ_EV_TIMEOUT);
}

static enum hrtimer_restart on_rnr_timer(struct hrtimer *timer)
{
	struct urxe_qp *qp = container_of(timer, struct urxe_qp, req.rnr_timer);

	tell(qp, SQ_EV_RNR_OVER);
	return HRTIMER_NORESTART;
}

/*
 * 4.096 us * 2^timeout, times one to four (IBTA 9.7.6.1.3), of which we take the
 * patient end: a software peer that does not answer is more often busy than gone.
 * Never less than two ticks.
 */
static unsigned long timeout_jiffies(const struct urxe_qp *qp)
{
	u64 ns = 4096ULL << qp->attr.timeout;

	ns <<= min_t(u8, qp->req.timeouts + 1, 2);
	return max_t(u64, nsecs_to_jiffies64(ns), 1) + 1;
}

void urxe_req_set_deadline(struct urxe_qp *qp)
{
	WRITE_ONCE(qp->req.deadline, jiffies + timeout_jiffies(qp));
}

/* The timer runs while anything is unanswered; it is seldom moved. */
void urxe_req_arm_timer(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;

	if (!qp->attr.timeout || req->rnr_wait ||
	    req->send_psn == req->una_psn || timer_pending(&req->timer))
		return;
	mod_timer(&req->timer, req->deadline);
}

void urxe_req_restart_timer(struct urxe_qp *qp)
{
	timer_delete_sync(&qp->req.timer);
	clear_bit(SQ_EV_TIMEOUT, &qp->req.events);
	urxe_req_set_deadline(qp);
}

void urxe_req_rnr_wait(struct urxe_qp *qp, u8 code)
{
	struct urxe_req *req = &qp->req;

	req->rnr_wait = true;
	/* The end of it starts a new one. */
	req->probe = false;
	req->closer = false;
	/* Left by the timer of a wait that an answer has ended. */
	clear_bit(SQ_EV_RNR_OVER, &req->events);
	hrtimer_start(&req->rnr_timer, ns_to_ktime(urxe_rnr_ns(code)),
		      HRTIMER_MODE_REL_SOFT);
}

/* --- going back --------------------------------------------------------- */

/* Have @psn be the next on the wire, and what is before it be on the wire. */
static void seek(struct urxe_qp *qp, u32 psn)
{
	struct urxe_req *req = &qp->req;
	struct urxe_sq *sq = &qp->sq;
	u32 i;

	req->send_psn = psn;
	req->rd_atomic = 0;
	req->since_ack = 0;
	for (i = sq->una; i != sq->head; i++) {
		const struct urxe_wqe *wqe = sq_slot(sq, i);

		if (wqe->done)
			continue;
		if (!wqe->packets ||
		    psn_within(psn, wqe->first_psn, wqe->packets))
			break;
		if (wqe_has_response(wqe))
			req->rd_atomic++;
	}
	sq->next = i;
}

/*
 * What the receiver was not ready for is done after all: a page has come. Then what
 * was sent behind it is, too.
 */
static void end_rnr_wait(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;

	hrtimer_try_to_cancel(&req->rnr_timer);
	req->rnr_wait = false;
	req->alive_psn = req->una_psn;
	seek(qp, req->max_psn);
}

/* Is it a READ or an atomic that goes on the wire next? */
static bool asks_next(const struct urxe_sq *sq)
{
	return sq->next != sq->head && wqe_has_response(sq_slot(sq, sq->next));
}

/* True when the peer owes us something. */
static bool waiting(const struct urxe_req *req)
{
	return req->max_psn != req->una_psn;
}

/* @dropped: a receiver that was not ready has dropped what was behind */
static void start_probe(struct urxe_qp *qp, bool dropped)
{
	qp->req.probe = true;
	qp->req.dropped = dropped;
	qp->req.probe_end = qp->req.una_psn;
}

/*
 * The peer has more than the probe. Has it had that for long, and waits for what was
 * lost behind it? One more packet tells. A READ would be answered all over again.
 */
static bool look_closer(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;

	req->closer = !req->closer && waiting(req) && !asks_next(&qp->sq);
	if (req->closer)
		start_probe(qp, req->dropped);
	return req->closer;
}

static void probed(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;
	s32 beyond = psn_diff(req->una_psn, req->probe_end);

	req->probe = beyond < 0;
	if (beyond < 0 || (beyond > 0 && look_closer(qp)))
		return;
	req->closer = false;
	if (beyond > 0 || (!beyond && !req->dropped && asks_next(&qp->sq))) {
		req->alive_psn = req->una_psn;
		seek(qp, req->max_psn);
	}
}

void urxe_req_progress(struct urxe_qp *qp)
{
	qp->req.retries = qp->attr.retry_cnt;
	qp->req.rnr_retries = qp->attr.rnr_retry;
	qp->req.timeouts = 0;
	qp->req.rewound = false;
	if (qp->req.rnr_wait)
		end_rnr_wait(qp);
	else if (qp->req.probe)
		probed(qp);
	urxe_req_set_deadline(qp);
}

void urxe_req_rewind(struct urxe_qp *qp)
{
	seek(qp, qp->req.una_psn);
	urxe_req_set_deadline(qp);
}

void urxe_req_retry(struct urxe_qp *qp, enum urxe_counter cause)
{
	struct urxe_req *req = &qp->req;

	urxe_count(qp->dev, cause);
	trace_urxe_retry(qp, cause);
	if (!req->retries) {
		urxe_count(qp->dev, URXE_CNT_RETRY_EXCEEDED);
		urxe_req_fail(qp, IB_WC_RETRY_EXC_ERR);
		return;
	}
	req->retries--;
	urxe_rate_lost(&req->rate);
	urxe_req_rewind(qp);
}

void urxe_req_take_events(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;

	if (!READ_ONCE(req->events))
		return;
	if (test_and_clear_bit(SQ_EV_REFUSED, &req->events)) {
		req->by_value = BY_VALUE;
		urxe_req_rewind(qp);
	}
	/* An answer may have ended the wait before its timer did. */
	if (test_and_clear_bit(SQ_EV_RNR_OVER, &req->events) && req->rnr_wait) {
		req->rnr_wait = false;
		start_probe(qp, true);
		urxe_req_set_deadline(qp);
	}
	if (test_and_clear_bit(SQ_EV_TIMEOUT, &req->events) && waiting(req) &&
	    !req->rnr_wait && !time_before(jiffies, req->deadline)) {
		req->timeouts++;
		req->closer = false;
		urxe_req_retry(qp, URXE_CNT_RETRY_TIMEOUT);
		if (req->una_psn != req->alive_psn)
			start_probe(qp, req->probe && req->dropped);
	}
}

/* --- beginning and end -------------------------------------------------- */

void urxe_req_init_timers(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;

	timer_setup(&req->timer, on_timer, 0);
	hrtimer_setup(&req->rnr_timer, on_rnr_timer, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_SOFT);
}

void urxe_req_stop_timers(struct urxe_qp *qp)
{
	timer_delete_sync(&qp->req.timer);
	hrtimer_cancel(&qp->req.rnr_timer);
}
