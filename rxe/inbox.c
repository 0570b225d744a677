// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Queues of what has arrived.
 */
#include "inbox.h"
#include "psn.h"
#include "run.h"

static void unlink(struct urxe_inbox *box, struct sk_buff *skb)
{
	if (urxe_run(skb)->early) {
		__skb_unlink(skb, &box->early);
		box->early_bytes -= skb->truesize;
	} else {
		skb_unlink(skb, &box->pkts);
	}
}

u32 urxe_inbox_gap(const struct urxe_inbox *box, u32 psn)
{
	struct sk_buff *skb = urxe_inbox_early(box);

	return skb ? max(psn_diff(urxe_run(skb)->psn, psn), 0) : 0;
}

bool urxe_inbox_has(const struct urxe_inbox *box, u32 psn)
{
	struct sk_buff *skb;

	skb_queue_walk(&box->early, skb)
		if (urxe_run(skb)->psn == psn)
			return true;
	return false;
}

/* The last one in front of @psn, or the head. Most come in order, one behind the other. */
static struct sk_buff *find_place(struct sk_buff_head *early, u32 psn)
{
	struct sk_buff *before;

	skb_queue_reverse_walk(early, before)
		if (psn_diff(urxe_run(before)->psn, psn) <= 0)
			break;
	return before;
}

static bool is_head(const struct sk_buff_head *early, const struct sk_buff *skb)
{
	return skb == (const struct sk_buff *)early;
}

static u32 run_len(const struct urxe_run *run)
{
	return run->end - run->off;
}

bool urxe_inbox_keep(struct urxe_inbox *box, struct sk_buff *skb, u32 psn)
{
	struct urxe_run *run = urxe_run(skb);
	struct sk_buff *before = find_place(&box->early, psn);

	if (before != skb && !is_head(&box->early, before) &&
	    urxe_run(before)->psn == psn &&
	    run_len(urxe_run(before)) >= run_len(run)) {
		run->off = run->end;
		return false;
	}
	if (!run->early && box->early_bytes + skb->truesize > URXE_EARLY_LIMIT)
		return false;
	unlink(box, skb);
	run->early = true;
	run->psn = psn;
	box->early_bytes += skb->truesize;
	__skb_queue_after(&box->early, find_place(&box->early, psn), skb);
	return true;
}

bool urxe_inbox_done(struct urxe_inbox *box, struct sk_buff *skb)
{
	bool early = urxe_run(skb)->early;

	unlink(box, skb);
	atomic_sub(skb->truesize, &box->bytes);
	consume_skb(skb);
	return early;
}

u32 urxe_inbox_empty(struct urxe_inbox *box)
{
	struct sk_buff *skb;
	u32 n = 0;

	while ((skb = skb_dequeue(&box->pkts)) ||
	       (skb = __skb_dequeue(&box->early))) {
		atomic_sub(skb->truesize, &box->bytes);
		kfree_skb(skb);
		n++;
	}
	box->early_bytes = 0;
	return n;
}
