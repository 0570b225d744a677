// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Congestion notification packets.
 */
#include <linux/ktime.h>

#include "batch.h"
#include "cnp.h"
#include "counters.h"
#include "opcode.h"
#include "qp.h"
#include "run.h"

/* DCQCN's: no peer is told more often. */
#define INTERVAL_NS	(50 * NSEC_PER_USEC)

static void send_cnp(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct urxe_batch batch;
	struct urxe_bth *bth;

	urxe_batch_init(&batch, qp, ctx);
	bth = urxe_batch_packet(&batch, OPC_CNP, 0, 0);
	if (bth) {
		bth->flags &= ~BTH_MIG;
		bth->qpn |= htonl(BTH_BECN);
		memset(urxe_bth_ext(bth), 0, URXE_CNP_RESERVED);
		urxe_batch_commit(&batch);
		urxe_count(qp->dev, URXE_CNT_TX_CNP);
	}
	urxe_batch_send(&batch);
}

/* No lock: if both sides of the QP come here at once, two are sent, which does no harm. */
void urxe_cnp_check(struct urxe_qp *qp, struct sk_buff *skb,
		    struct urxe_ctx *ctx)
{
	struct urxe_run *run = urxe_run(skb);
	ktime_t now;

	if (likely(!run->marked))
		return;
	run->marked = false;
	now = ktime_get();
	if (ktime_sub(now, READ_ONCE(qp->cnp_time)) < INTERVAL_NS)
		return;
	WRITE_ONCE(qp->cnp_time, now);
	send_cnp(qp, ctx);
}
