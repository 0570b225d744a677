/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * What has arrived for one side of a QP, and waits for its turn.
 */
#ifndef URXE_INBOX_H
#define URXE_INBOX_H

#include <linux/skbuff.h>

/* Bytes of memory that may wait: a window's worth and more. */
#define URXE_INBOX_LIMIT	(8 << 20)

/**
 * struct urxe_inbox - a queue that does not grow without bounds
 * @pkts: the skbs; anybody adds, the holder of the side's token takes
 * @bytes: the memory they take
 */
struct urxe_inbox {
	struct sk_buff_head	pkts;
	atomic_t		bytes;
};

static inline void urxe_inbox_init(struct urxe_inbox *box)
{
	skb_queue_head_init(&box->pkts);
	atomic_set(&box->bytes, 0);
}

/* Any context. Return: false when there is no room, and @skb is still the caller's. */
static inline bool urxe_inbox_put(struct urxe_inbox *box, struct sk_buff *skb)
{
	if (atomic_add_return(skb->truesize, &box->bytes) > URXE_INBOX_LIMIT) {
		atomic_sub(skb->truesize, &box->bytes);
		return false;
	}
	skb_queue_tail(&box->pkts, skb);
	return true;
}

/* The oldest; it stays where it is. NULL when there is none. */
static inline struct sk_buff *urxe_inbox_first(const struct urxe_inbox *box)
{
	return skb_peek(&box->pkts);
}

/* The oldest is done with. Uses up @skb. */
static inline void urxe_inbox_done(struct urxe_inbox *box, struct sk_buff *skb)
{
	skb_unlink(skb, &box->pkts);
	atomic_sub(skb->truesize, &box->bytes);
	consume_skb(skb);
}

/* Drop all. Return: how many. */
static inline u32 urxe_inbox_empty(struct urxe_inbox *box)
{
	struct sk_buff *skb;
	u32 n = 0;

	while ((skb = skb_dequeue(&box->pkts))) {
		atomic_sub(skb->truesize, &box->bytes);
		kfree_skb(skb);
		n++;
	}
	return n;
}

#endif /* URXE_INBOX_H */
