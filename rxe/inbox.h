/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * What has arrived for one side of a QP, and waits for its turn.
 *
 * Who takes from it knows what it expects next. What comes before that is kept aside
 * until it is due: so one that was lost on the way is all that has to be sent again.
 */
#ifndef URXE_INBOX_H
#define URXE_INBOX_H

#include <linux/skbuff.h>

/* Bytes of memory that may wait: a window's worth and more. */
#define URXE_INBOX_LIMIT	(8 << 20)
/* Those of what is early: a window's worth. */
#define URXE_EARLY_LIMIT	(2 << 20)
/* How far ahead of what is expected it may be; what is further may be from another life. */
#define URXE_EARLY_PSNS		4096

/**
 * struct urxe_inbox - a queue that does not grow without bounds
 * @pkts: the skbs; anybody adds, the holder of the side's token takes
 * @bytes: the memory they take, those of @early included
 * @early: runs that came before what they follow, in the order of their PSNs; the
 *	   token's holder's alone
 * @early_bytes: the memory that these take
 */
struct urxe_inbox {
	struct sk_buff_head	pkts;
	atomic_t		bytes;
	struct sk_buff_head	early;
	u32			early_bytes;
};

static inline void urxe_inbox_init(struct urxe_inbox *box)
{
	skb_queue_head_init(&box->pkts);
	atomic_set(&box->bytes, 0);
	__skb_queue_head_init(&box->early);
	box->early_bytes = 0;
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

/* All that follows: with the side's token, or when nobody can have it. */

/* The oldest; it stays where it is. NULL when there is none. */
static inline struct sk_buff *urxe_inbox_first(const struct urxe_inbox *box)
{
	return skb_peek(&box->pkts);
}

/* The first in order of what is kept; likewise. */
static inline struct sk_buff *urxe_inbox_early(const struct urxe_inbox *box)
{
	return skb_peek(&box->early);
}

/**
 * urxe_inbox_gap - how much is missing in front of what is kept
 * @box: the queue
 * @psn: what is expected next
 * Return: the number of PSNs; 0 when nothing is kept, or when that is due.
 */
u32 urxe_inbox_gap(const struct urxe_inbox *box, u32 psn);

/* Is a run kept that begins with @psn? */
bool urxe_inbox_has(const struct urxe_inbox *box, u32 psn);

/**
 * urxe_inbox_keep - keep a run until it is due
 * @box: the queue
 * @skb: in it; kept already or not
 * @psn: of the run's next packet
 *
 * Of a run that is kept already nothing is left.
 * Return: false when it is not kept, and stays where it is.
 */
bool urxe_inbox_keep(struct urxe_inbox *box, struct sk_buff *skb, u32 psn);

/* @skb is done with, wherever it is, and used up. Return: whether it had been kept. */
bool urxe_inbox_done(struct urxe_inbox *box, struct sk_buff *skb);

/* Drop all. Return: how many. */
u32 urxe_inbox_empty(struct urxe_inbox *box);

#endif /* URXE_INBOX_H */
