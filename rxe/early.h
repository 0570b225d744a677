/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Packets that have come before their turn, because one before them got lost or is
 * late. They are kept, so that only what is missing has to be sent again.
 */
#ifndef URXE_EARLY_H
#define URXE_EARLY_H

#include <linux/skbuff.h>

/**
 * struct urxe_early - packets of one side of a QP, guarded by its runner's token
 * @skbs: by PSN; each with its run as in the side's own queue
 * @bytes: of memory that they take
 */
struct urxe_early {
	struct sk_buff_head	skbs;
	u32			bytes;
};

void urxe_early_init(struct urxe_early *early);

/**
 * urxe_early_keep - keep the packets of @skb for later
 * @psn: what must have come before they can be used
 * Uses up @skb. It is dropped when there is too much already.
 */
void urxe_early_keep(struct urxe_early *early, struct sk_buff *skb, u32 psn);

/* The PSN that the first of them waits for; false when there are none. */
bool urxe_early_psn(const struct urxe_early *early, u32 *psn);

/* Take the first of them, which must be there. */
struct sk_buff *urxe_early_take(struct urxe_early *early);

void urxe_early_purge(struct urxe_early *early);

#endif /* URXE_EARLY_H */
