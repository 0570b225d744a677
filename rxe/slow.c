// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The responder's worker waits for a page: from swap, over the network, from a
 * program that serves userfaultfd or FUSE. The peer does not know, and its time-out
 * ends in a fatal error after some retries. So when it asks again for what is being
 * done, it is told to wait: an RNR NAK, each time for as long as it has taken
 * already. A page that comes meanwhile is answered at once, and no other QP notices
 * any of it.
 *
 * Before the peer asks again it has patience, and nothing is said: most pages come
 * in time. What is done already is acknowledged before the wait, not after it, unless a
 * READ came behind it, whose answer acknowledges that.
 */
#include "opcode.h"
#include "pkt.h"
#include "qp.h"
#include "rnr.h"
#include "run.h"
#include "slow.h"

/*
 * Is the first packet of @skb one that the peer has sent before? The expected PSN
 * is that of the request under way, and the next one's when that is a READ.
 */
static bool repeats(struct urxe_qp *qp, struct sk_buff *skb)
{
	const struct urxe_resp *resp = &qp->resp;
	struct urxe_pkt pkt;
	s32 order;

	if (!urxe_run_peek(qp, skb, &pkt))
		return false;
	order = psn_diff(pkt.psn, resp->psn);
	return order < 0 || (!order && !resp->read.active);
}

/*
 * Has the peer asked again since we last looked? Nothing leaves the queue while the
 * worker waits, so what is new is at its end.
 */
static bool asked_again(struct urxe_qp *qp)
{
	struct sk_buff_head *pkts = &qp->resp.inbox.pkts;
	struct sk_buff *skb;
	bool again = false;
	u32 fresh;

	spin_lock_bh(&pkts->lock);
	fresh = skb_queue_len(pkts) - qp->resp.slow_seen;
	qp->resp.slow_seen += fresh;
	skb_queue_reverse_walk(pkts, skb) {
		if (again || !fresh--)
			break;
		again = repeats(qp, skb);
	}
	spin_unlock_bh(&pkts->lock);
	return again;
}

/*
 * Would the peer take an RNR NAK for the end? It does if it has no retries for
 * that, and peers are commonly set up alike. One that only receives has not said.
 */
static bool can_wait(const struct urxe_qp *qp)
{
	return (qp->service & OP_RC) &&
	       (qp_state(qp) != IB_QPS_RTS || qp->attr.rnr_retry);
}

/* No response of a READ may be overtaken by an acknowledgment of it. */
static void acknowledge(struct urxe_qp *qp)
{
	struct urxe_ctx ctx = {};

	if (!qp->resp.read.active)
		urxe_send_ack(qp, &ctx);
	urxe_ctx_leave_next(&ctx);
}

void urxe_resp_slow(struct urxe_runner *runner, unsigned long waited)
{
	struct urxe_qp *qp = container_of(runner, struct urxe_qp, rq_runner);

	if (!waited) {
		acknowledge(qp);
		qp->resp.slow_seen = skb_queue_len_lockless(&qp->resp.inbox.pkts);
	} else if (can_wait(qp) && asked_again(qp)) {
		urxe_resp_send_rnr(qp, urxe_rnr_code(qp->attr.min_rnr_timer,
						     jiffies_to_nsecs(waited)));
	}
}
