// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Unreliable connections: the responder's part. The requester is that of RC, which is
 * done with a message when it is sent.
 */
#include "counters.h"
#include "opcode.h"
#include "qp.h"
#include "resp.h"

/* The rest of a message is of no use; what it had of a receive WQE is free again. */
static void forget_message(struct urxe_qp *qp)
{
	qp->resp.in_msg = 0;
	qp->resp.length = 0;
}

static int execute(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		   struct urxe_ctx *ctx)
{
	int err = urxe_resp_check(qp, pkt) ?: urxe_resp_execute(qp, pkt, ctx);

	if (!err)
		urxe_resp_take_in(qp, pkt);
	return err;
}

/*
 * Nobody is told what is missing or wrong. The message is dropped, and the next
 * begins with a first packet of any number (IBTA 9.8.2.2).
 */
int urxe_uc_request(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		    struct urxe_ctx *ctx)
{
	int err;

	if (pkt->psn != qp->resp.psn || (pkt->traits & OP_FIRST))
		forget_message(qp);
	qp->resp.psn = pkt->psn;
	err = execute(qp, pkt, ctx);
	if (!err || err == -EAGAIN || err == FAIL_TOLD)
		return err;
	urxe_count(qp->dev, err == FAIL_RNR ? URXE_CNT_DROP_NO_RQE :
			    err == FAIL_SEQ ? URXE_CNT_DROP_SEQUENCE :
					      URXE_CNT_DROP_REFUSED);
	forget_message(qp);
	qp->resp.psn = psn_add(pkt->psn, 1);
	return 0;
}
