/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Between requester and completer, both run with the SQ side's token held.
 */
#ifndef URXE_REQ_H
#define URXE_REQ_H

#include "qp.h"

/* PSNs from the oldest unacknowledged one to @psn; the window is no wider. */
static inline u32 req_dist(const struct urxe_req *req, u32 psn)
{
	return (psn - req->una_psn) & URXE_PSN_MASK;
}

/**
 * urxe_req_progress - the peer has got further: @una_psn has moved
 *
 * Patience and retries start afresh. After a time-out nobody knows whether what
 * was sent got lost or is late, and to send all of it again is what a late peer
 * needs least. So one packet goes out as a probe. When @una_psn moves beyond it,
 * what was sent before is alive, and we go on behind it. When it moves to the
 * probe's end only, a message's next packet was lost too, and all is sent again;
 * READs are asked for again one by one.
 */
void urxe_req_progress(struct urxe_qp *qp);

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

#endif /* URXE_REQ_H */
