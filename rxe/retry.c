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

/* A burst that was not enough is followed by one so many times as long. */
#define BURST_GROWTH	4
/* How often one is sent anew to a peer that has just answered, and after how long. */
#define BURST_AGAIN	2
#define BURST_TICKS	((unsigned long)DIV_ROUND_UP(HZ, 100) + 1)

/* --- going back --------------------------------------------------------- */

/* Have @psn be the next on the wire, and what is before it be on the wire. */
static void seek(struct urxe_qp *qp, u32 psn)
{
	struct urxe_req *req = &qp->req;
	struct urxe_sq *sq = &qp->sq;
	/* A slot is read after the index that says it is filled. */
	const u32 head = smp_load_acquire(&sq->head);
	u32 i;

	req->send_psn = psn;
	req->rd_atomic = 0;
	req->since_ack = 0;
	for (i = sq->una; i != head; i++) {
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
		timer_reduce(timer, deadline);
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
	ns = max_t(u64, nsecs_to_jiffies64(ns), 1) + 1;
	return qp->req.recovering && qp->req.bursts_left ?
	       min_t(u64, ns, qp->req.burst_ticks) : ns;
}

void urxe_req_set_deadline(struct urxe_qp *qp)
{
	WRITE_ONCE(qp->req.deadline, jiffies + timeout_jiffies(qp));
}

/* The timer runs while anything is unanswered; it is seldom moved, and never to later. */
void urxe_req_arm_timer(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;

	if (qp->attr.timeout && !req->rnr_wait && req->send_psn != req->una_psn)
		timer_reduce(&req->timer, req->deadline);
}

void urxe_req_restart_timer(struct urxe_qp *qp)
{
	timer_delete_sync(&qp->req.timer);
	clear_bit(SQ_EV_TIMEOUT, &qp->req.events);
	if (qp->req.recovering && !urxe_req_may_recover(qp)) {
		qp->req.recovering = false;
		seek(qp, qp->req.una_psn);
	}
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

/* --- recovering --------------------------------------------------------- */

bool urxe_req_may_recover(const struct urxe_qp *qp)
{
	return qp->attr.timeout && qp->attr.rnr_retry == 7;
}

static void begin_burst(struct urxe_qp *qp, u32 packets)
{
	struct urxe_req *req = &qp->req;
	/* What is behind that is answered. */
	u32 gap = urxe_inbox_gap(&req->inbox, req->una_psn);

	if (req->send_psn != req->una_psn)
		seek(qp, req->una_psn);
	req->burst = min(gap ? min(packets, gap) : packets, URXE_WINDOW_MAX);
	req->burst_psn = req->una_psn;
	req->burst_stop = psn_add(req->una_psn, req->burst);
	/* Not before one has been sent. */
	req->burst_end = psn_add(req->una_psn, 1);
	req->burst_begun = jiffies;
	req->bursts_left = urxe_req_may_recover(qp) ? BURST_AGAIN : 0;
}

static void recover(struct urxe_qp *qp, u32 packets, bool after_rnr)
{
	struct urxe_req *req = &qp->req;

	req->probe = false;
	req->closer = false;
	req->after_rnr = after_rnr;
	req->recovering = urxe_req_may_recover(qp) ||
			  (after_rnr && qp->attr.timeout);
	if (!req->recovering)
		return;
	req->recover_psn = req->max_psn;
	req->resent = 0;
	req->burst_ticks = max(req->burst_ticks, BURST_TICKS);
	begin_burst(qp, packets);
	urxe_req_set_deadline(qp);
}

void urxe_req_recover(struct urxe_qp *qp)
{
	recover(qp, 1, false);
}

static void recovered(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;

	req->recovering = false;
	if (!req->after_rnr)
		urxe_rate_recovered(&req->rate, req->resent);
}

void urxe_req_recover_on(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;
	bool over = psn_diff(req->una_psn, req->recover_psn) >= 0;
	s32 beyond = psn_diff(req->una_psn, req->burst_end);

	if (!req->recovering || req->rnr_wait || (!over && beyond < 0))
		return;
	req->burst_ticks = max3(req->burst_ticks / 2, BURST_TICKS,
				2 * (jiffies - req->burst_begun));
	req->resent += psn_dist(req->burst_end, req->burst_psn);
	if (over)
		recovered(qp);
	else
		begin_burst(qp, beyond ? 1 : req->burst * BURST_GROWTH);
	urxe_req_set_deadline(qp);
}

/* --- probing ------------------------------------------------------------ */

/* Is it a READ or an atomic that goes on the wire next? */
static bool asks_next(const struct urxe_sq *sq)
{
	return sq->next != sq->head && wqe_has_response(sq_slot(sq, sq->next));
}

/*
 * What the receiver was not ready for is done after all: a page has come. Then what
 * was sent behind it is, too; but perhaps not if it had been dropped once before. Then a
 * SEND or WRITE too many costs little, and a READ's answer may be on its way.
 */
static void end_rnr_wait(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;

	hrtimer_try_to_cancel(&req->rnr_timer);
	req->rnr_wait = false;
	if (req->recovering && !(req->after_rnr && asks_next(&qp->sq)))
		return;
	req->recovering = false;
	req->alive_psn = req->una_psn;
	seek(qp, req->max_psn);
}

/* True when the peer owes us something. */
static bool waiting(const struct urxe_req *req)
{
	return req->max_psn != req->una_psn;
}

static void start_probe(struct urxe_qp *qp)
{
	qp->req.probe = true;
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
		start_probe(qp);
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
	if (beyond > 0 || asks_next(&qp->sq)) {
		req->alive_psn = req->una_psn;
		seek(qp, req->max_psn);
	} else {
		recover(qp, BURST_GROWTH, false);
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
	if (qp->req.recovering)
		begin_burst(qp, qp->req.burst);
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
	/* Once for all that was on the wire, unless recovered() tells. */
	if (!req->recovering && (cause == URXE_CNT_RETRY_TIMEOUT ||
				 !urxe_req_may_recover(qp)))
		urxe_rate_lost(&req->rate);
	urxe_req_rewind(qp);
}

static void burst_lost(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;
	unsigned long begun = req->burst_begun;
	u8 left = req->bursts_left - 1;

	urxe_count(qp->dev, URXE_CNT_RETRY_BURST);
	begin_burst(qp, req->burst);
	req->burst_begun = begun;
	req->bursts_left = left;
	urxe_req_set_deadline(qp);
}

static void on_timeout(struct urxe_qp *qp)
{
	struct urxe_req *req = &qp->req;

	if (req->recovering && req->bursts_left) {
		burst_lost(qp);
		return;
	}
	req->timeouts++;
	req->closer = false;
	urxe_req_retry(qp, URXE_CNT_RETRY_TIMEOUT);
	if (!req->recovering && req->una_psn != req->alive_psn) {
		start_probe(qp);
		return;
	}
	recover(qp, 1, false);
	/* It does not answer: it has all its time. */
	req->bursts_left = 0;
	urxe_req_set_deadline(qp);
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
		/* What came behind it was dropped, by whatever peer. */
		recover(qp, 1, !req->recovering || req->after_rnr);
		urxe_req_set_deadline(qp);
	}
	if (test_and_clear_bit(SQ_EV_TIMEOUT, &req->events) && waiting(req) &&
	    !req->rnr_wait && !time_before(jiffies, req->deadline))
		on_timeout(qp);
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
