// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * What the responder answers: acknowledgments, negative ones, and the old value of an
 * atomic.
 */
#include "batch.h"
#include "counters.h"
#include "opcode.h"
#include "qp.h"
#include "resp.h"

static u32 aeth_word(const struct urxe_qp *qp, u8 syndrome)
{
	return (u32)syndrome << 24 | qp->resp.msn;
}

void urxe_put_aeth(void *at, const struct urxe_qp *qp, u8 syndrome)
{
	struct urxe_aeth *aeth = at;

	aeth->smsn = htonl(aeth_word(qp, syndrome));
}

/* False when there was no memory for it. */
static bool send_aeth(struct urxe_qp *qp, struct urxe_ctx *ctx, u8 syndrome,
		      u32 psn)
{
	struct urxe_batch batch;
	struct urxe_bth *bth;

	urxe_batch_init(&batch, qp, ctx);
	bth = urxe_batch_packet(&batch, OPC_RC | OPC_ACK, 0, psn);
	if (bth) {
		urxe_put_aeth(urxe_bth_ext(bth), qp, syndrome);
		urxe_batch_commit(&batch);
	}
	urxe_batch_send(&batch);
	return bth;
}

/*
 * Named is the last SEND or WRITE, though a READ or an atomic may have been answered
 * since: rdma_rxe would take that one for done, and has not had the answer if it comes
 * to the acknowledgment of a duplicate.
 */
bool urxe_send_ack(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct urxe_resp *resp = &qp->resp;

	/* What failed, or was lost with its completion, is not to be taken for done. */
	if (!resp->ack_due || qp_state(qp) == IB_QPS_ERR)
		return true;
	if (!send_aeth(qp, ctx, AETH_ACK | AETH_ACK_UNLIMITED,
		       psn_add(resp->ack_psn, -1)))
		return false;
	resp->ack_due = false;
	resp->unacked = 0;
	urxe_count(qp->dev, URXE_CNT_TX_ACK);
	return true;
}

void urxe_send_nak(struct urxe_qp *qp, struct urxe_ctx *ctx, u8 syndrome)
{
	const struct urxe_resp *resp = &qp->resp;

	/* A NAK acknowledges what is before it. */
	qp->resp.ack_due = false;
	/* A READ that breaks off does so at the response that was next. */
	send_aeth(qp, ctx, syndrome,
		  resp->read.active ? resp->read.psn : resp->psn);
}

void urxe_resp_send_rnr(struct urxe_qp *qp, u8 code)
{
	const struct urxe_read *read = &qp->resp.read;
	struct urxe_ctx ctx = {};

	urxe_count(qp->dev, URXE_CNT_TX_RNR_NAK);
	send_aeth(qp, &ctx, AETH_RNR_NAK | code,
		  read->active ? psn_add(read->psn, -read->unsent) :
				 qp->resp.psn);
	urxe_ctx_leave_next(&ctx);
}

void urxe_send_atomic_ack(struct urxe_qp *qp, struct urxe_ctx *ctx, u32 psn,
			  u64 orig)
{
	struct urxe_batch batch;
	struct urxe_bth *bth;
	__be64 value = cpu_to_be64(orig);

	urxe_batch_init(&batch, qp, ctx);
	bth = urxe_batch_packet(&batch, OPC_RC | OPC_ATOMIC_ACK, 0, psn);
	if (bth) {
		urxe_put_aeth(urxe_bth_ext(bth), qp,
			      AETH_ACK | AETH_ACK_UNLIMITED);
		memcpy(urxe_bth_ext(bth) + sizeof(struct urxe_aeth), &value,
		       sizeof(value));
		urxe_batch_commit(&batch);
	}
	urxe_batch_send(&batch);
}
