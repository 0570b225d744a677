/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Between the responders of the connected services (resp.c) and of UD (ud.c), both
 * run with the RQ side's token held.
 */
#ifndef URXE_RESP_H
#define URXE_RESP_H

#include "pkt.h"
#include "qp.h"

/*
 * How a request can fail, as a negative number besides -EAGAIN: the syndrome to
 * answer with. An RC QP goes to error with all but the first two.
 */
#define NAK(syndrome)	(-(int)(syndrome) - MAX_ERRNO)
#define FAIL_RNR	NAK(AETH_RNR_NAK)
#define FAIL_SEQ	NAK(AETH_NAK_SEQ_ERR)
#define FAIL_INV_REQ	NAK(AETH_NAK_INV_REQ)
#define FAIL_ACCESS	NAK(AETH_NAK_REM_ACC)
#define FAIL_TOLD	NAK(0xff)	/* all has been said and done */

/**
 * urxe_resp_get_rqe - have a receive work request at hand: @qp->resp.rqe
 * Return: 0; FAIL_RNR when there is none; FAIL_TOLD when it is no good, which ends
 * the QP. What is not used up stays for the next message.
 */
int urxe_resp_get_rqe(struct urxe_qp *qp, struct urxe_ctx *ctx);

/**
 * urxe_resp_fail_rqe - the receive work request at hand is at fault
 * @status: what it completes with, which says all there is to say on this side (no
 *	    event, IBTA 11.6.3.2)
 * @syndrome: what the peer of an RC QP is told
 * Return: FAIL_TOLD: the QP has ended.
 */
int urxe_resp_fail_rqe(struct urxe_qp *qp, struct urxe_ctx *ctx,
		       enum ib_wc_status status, u8 syndrome);

/**
 * urxe_resp_complete - complete the receive work request at hand
 * @wc: status, opcode, length and all that depends on the service; the rest is
 *	filled in
 * @pkt: the packet that completes it, or NULL
 */
void urxe_resp_complete(struct urxe_qp *qp, struct ib_wc *wc,
			const struct urxe_pkt *pkt);

#endif /* URXE_RESP_H */
