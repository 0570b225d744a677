/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Between the parts of the requester, all run with the SQ side's token held:
 *	req.c		what goes on the wire next, and when: the step
 *	send.c		the packets of a WQE
 *	retry.c		going back, and the timers that ask for it
 *	comp.c		the completer, which knows how far the peer got
 */
#ifndef URXE_REQ_H
#define URXE_REQ_H

#include "qp.h"

/* PSNs from the oldest unacknowledged one to @psn; the window is no wider. */
static inline u32 req_dist(const struct urxe_req *req, u32 psn)
{
	return (psn - req->una_psn) & URXE_PSN_MASK;
}

#endif /* URXE_REQ_H */
