/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The SQ side of a QP: its state, and its parts, all run with that side's token held:
 *	req.c		what goes on the wire next, and when: the step
 *	send.c		the packets of a WQE
 *	retry.c		going back, and the timers that ask for it
 *	comp.c		the completer, which knows how far the peer got
 */
#ifndef URXE_REQ_H
#define URXE_REQ_H

#include <linux/hrtimer.h>
#include <linux/timer.h>

#include "inbox.h"
#include "psn.h"
#include "rate.h"
#include "runner.h"

struct urxe_qp;

/* What a timer, or the other side, has to tell the SQ side. */
enum urxe_sq_event {
	SQ_EV_TIMEOUT,		/* the response is overdue */
	SQ_EV_RNR_OVER,		/* the receiver has had the time it asked for */
	SQ_EV_REFUSED,		/* a receiver on this host wants the bytes */
};

/**
 * struct urxe_req - requester and completer
 * @psn: next PSN to give to a WQE
 * @send_psn: next PSN to put on the wire: less than @psn after a rewind
 * @max_psn: next PSN that never was on the wire
 * @una_psn: oldest PSN that is not acknowledged
 * @rd_atomic: READs and atomics on the wire, and not answered
 * @since_ack: packets since the last that asked for an acknowledgment
 * @cpu: where the last packet was made; not of RC
 * @rate: how much may be on the wire unacknowledged
 * @retries: time-outs and NAKs left before we give up
 * @rnr_retries: RNR NAKs left before we give up; 7 stays 7
 * @timeouts: time-outs since the peer last got further
 * @rewound: gone back once for the gap at @una_psn; not again until it moves
 * @recovering: all before @recover_psn is gone through again, a burst at a time; see
 *		urxe_req_recover()
 * @burst: packets in this burst, at most
 * @burst_psn: the first of these
 * @burst_stop: the PSN behind these
 * @burst_end: the PSN behind those that were sent
 * @burst_begun: when it was sent first; jiffies
 * @burst_ticks: after how long without an answer it is sent anew; learned
 * @bursts_left: how often it is, before the peer gets all the time that it is given
 * @resent: packets since we began to recover, but for what was lost once more
 * @after_rnr: nothing but a receiver that was not ready is what we recover from
 * @probe: after a time-out: one packet, and wait; see urxe_req_progress()
 * @closer: with @probe: the second one, behind what the first one has found
 * @probe_end: with @probe: the PSN behind the packet that was sent as one
 * @alive_psn: @una_psn when we took what is on the wire for alive
 * @by_value: packets that are to carry their bytes before one refers to them again
 * @rnr_wait: holding still until the RNR timer fires
 * @drained: told the consumer so, in SQD
 * @deadline: when @timer means a time-out; jiffies
 * @timer: retransmission; re-arms itself until @deadline
 * @rnr_timer: see @rnr_wait
 * @events: enum urxe_sq_event bits, set by timers and by a receiver on this host
 * @inbox: responses that arrived
 */
struct urxe_req {
	u32			psn;
	u32			send_psn;
	u32			max_psn;
	u32			una_psn;
	u32			rd_atomic;
	u32			since_ack;
	int			cpu;
	u32			recover_psn;
	u32			burst;
	u32			burst_psn;
	u32			burst_stop;
	u32			burst_end;
	unsigned long		burst_begun;
	unsigned long		burst_ticks;
	u32			resent;
	u32			probe_end;
	u32			alive_psn;
	struct urxe_rate	rate;
	u32			by_value;
	u8			retries;
	u8			rnr_retries;
	u8			timeouts;
	u8			bursts_left;
	bool			rewound;
	bool			recovering;
	bool			after_rnr;
	bool			probe;
	bool			closer;
	bool			rnr_wait;
	bool			drained;
	unsigned long		deadline;
	struct timer_list	timer;
	struct hrtimer		rnr_timer;
	unsigned long		events;
	struct urxe_inbox	inbox;
};

/* PSNs from the oldest unacknowledged one to @psn; the window is no wider. */
static inline u32 req_dist(const struct urxe_req *req, u32 psn)
{
	return psn_dist(psn, req->una_psn);
}

/* The step of the SQ side; beginning and end, while nobody runs it. */
enum urxe_step urxe_sq_step(struct urxe_runner *runner, struct urxe_ctx *ctx);
void urxe_req_init(struct urxe_qp *qp);
void urxe_req_reset(struct urxe_qp *qp);

#endif /* URXE_REQ_H */
