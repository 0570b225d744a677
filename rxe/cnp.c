// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Congestion notification packets.
 */
#include <linux/jiffies.h>

#include "batch.h"
#include "cnp.h"
#include "counters.h"
#include "opcode.h"
#include "pkt.h"
#include "qp.h"

static void send_cnp(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct urxe_batch batch;
	struct urxe_bth *bth;

	urxe_batch_init(&batch, qp, ctx);
	bth = urxe_batch_packet(&batch, OPC_CNP, 0, 0);
	if (bth) {
		bth->qpn |= htonl(BTH_BECN);
		memset(urxe_bth_ext(bth), 0, URXE_CNP_RESERVED);
		urxe_batch_commit(&batch);
		urxe_count(qp->dev, URXE_CNT_TX_CNP);
	}
	urxe_batch_send(&batch);
}

/*
 * DCQCN has one notification in 50 us at most; we have one a tick, as our rounds are
 * not shorter than that under load. Should both sides of the QP come here at once, there
 * are two.
 */
void urxe_cnp_check(struct urxe_qp *qp, struct sk_buff *skb,
		    struct urxe_ctx *ctx)
{
	struct urxe_run *run = urxe_run(skb);

	if (likely(!run->marked))
		return;
	run->marked = false;
	if (READ_ONCE(qp->cnp_time) == jiffies)
		return;
	WRITE_ONCE(qp->cnp_time, jiffies);
	send_cnp(qp, ctx);
}
