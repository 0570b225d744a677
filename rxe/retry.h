/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Sending again: how long the requester has patience with its peer, and what it does
 * when that is at an end. SQ side's token held, but for the timers' beginning and end.
 */
#ifndef URXE_RETRY_H
#define URXE_RETRY_H

#include <linux/types.h>

#include "counters.h"

struct urxe_qp;

/**
 * urxe_req_progress - the peer has got further: @una_psn has moved
 * @qp: the QP
 *
 * Patience and retries start afresh. After a time-out nobody knows whether what
 * was sent got lost or is late, and to send all of it again is what a late peer
 * needs least. So one packet goes out as a probe. When @una_psn moves beyond it, one
 * more goes out from there, since the peer may have had as much for long, and wait for
 * what is next. When it moves beyond that, too, what was sent before is alive, and we
 * go on behind it. When it moves to a probe's end only, a message's next packet was
 * lost too, and there is something to recover from; unless a READ or an atomic is next,
 * whose answer may be on its way: if it is not, the next time-out tells.
 */
void urxe_req_progress(struct urxe_qp *qp);

/**
 * urxe_req_recover - something is known to be lost, and how much is not
 * @qp: the QP, which has gone back
 *
 * What was on the wire is gone through again from @una_psn on, a burst at a time: one
 * packet, and when the peer is just behind a burst, several times as many. When it is
 * further, it had kept what came behind a gap, as we do (inbox.h), and one packet is next
 * again. A READ or an atomic no peer keeps. As for answers: they come in the order in which
 * they are asked for, so when one to a burst is here, those to all that was asked before are,
 * or are lost; and of a READ that has answers behind the gap only the gap is asked for.
 * The peer answers, so what is lost again is sent anew after a moment, some times. Where
 * nobody sees to that (urxe_req_may_recover()) all is sent again at once.
 */
void urxe_req_recover(struct urxe_qp *qp);

/*
 * There has to be a time-out; and a peer that waits for a page, and says so when it is asked
 * anew, must not take up retries that are counted.
 */
bool urxe_req_may_recover(const struct urxe_qp *qp);

/* All that has arrived has been looked at: the next burst may be due. */
void urxe_req_recover_on(struct urxe_qp *qp);

/* Send again from the oldest unacknowledged PSN on. */
void urxe_req_rewind(struct urxe_qp *qp);

/**
 * urxe_req_retry - something was lost: send again, or give up
 * @qp: the QP
 * @cause: what to count
 */
void urxe_req_retry(struct urxe_qp *qp, enum urxe_counter cause);

/* Hold still for as long as an RNR NAK's timer code says. */
void urxe_req_rnr_wait(struct urxe_qp *qp, u8 code);

/* Do what the timers, or a receiver on this host, ask for. The QP may end with it. */
void urxe_req_take_events(struct urxe_qp *qp);

/* From now on the peer has the time to answer that it is given. */
void urxe_req_set_deadline(struct urxe_qp *qp);

/* The time that the peer is given has changed. The runner is stopped; process context. */
void urxe_req_restart_timer(struct urxe_qp *qp);

/* See to it that a time-out is noticed, if there can be one. */
void urxe_req_arm_timer(struct urxe_qp *qp);

void urxe_req_init_timers(struct urxe_qp *qp);

/* The runner is stopped, and after this no timer kicks it. Process context. */
void urxe_req_stop_timers(struct urxe_qp *qp);

#endif /* URXE_RETRY_H */
