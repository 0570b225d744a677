// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Packets that have come before their turn.
 */
#include "early.h"
#include "pkt.h"
#include "psn.h"

/* A wide window's worth. */
#define EARLY_BYTES	(4 << 20)

void urxe_early_init(struct urxe_early *early)
{
	__skb_queue_head_init(&early->skbs);
	early->bytes = 0;
}

/* Most come in order among themselves, so the place is looked for from behind. */
void urxe_early_keep(struct urxe_early *early, struct sk_buff *skb, u32 psn)
{
	struct sk_buff *before = skb_peek_tail(&early->skbs);

	if (early->bytes + skb->truesize > EARLY_BYTES) {
		kfree_skb(skb);
		return;
	}
	urxe_run(skb)->psn = psn;
	while (before && psn_diff(urxe_run(before)->psn, psn) > 0)
		before = skb_queue_is_first(&early->skbs, before) ? NULL :
			 skb_queue_prev(&early->skbs, before);
	if (before)
		__skb_queue_after(&early->skbs, before, skb);
	else
		__skb_queue_head(&early->skbs, skb);
	early->bytes += skb->truesize;
}

bool urxe_early_psn(const struct urxe_early *early, u32 *psn)
{
	struct sk_buff *skb = skb_peek(&early->skbs);

	if (skb)
		*psn = urxe_run(skb)->psn;
	return skb;
}

struct sk_buff *urxe_early_take(struct urxe_early *early)
{
	struct sk_buff *skb = __skb_dequeue(&early->skbs);

	early->bytes -= skb->truesize;
	return skb;
}

void urxe_early_purge(struct urxe_early *early)
{
	__skb_queue_purge(&early->skbs);
	early->bytes = 0;
}
