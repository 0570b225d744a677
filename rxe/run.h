/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Runs: packets in a row in one skb, all for one side of one QP, as they wait in its
 * queue. Each is looked at, its ICRC included, when its turn comes: where its bytes
 * are copied, so that they are fetched into the cache once.
 */
#ifndef URXE_RUN_H
#define URXE_RUN_H

#include <linux/skbuff.h>

#include "icrc.h"

struct urxe_pkt;
struct urxe_qp;
struct urxe_ref;

/**
 * struct urxe_run - a run, kept in skb->cb
 * @off: where the next packet's BTH is, from skb->data
 * @end: where the run ends
 * @seg: bytes of each packet of the skb; its last may be shorter
 * @good: where packets begin that are still to be checked
 * @iif: index of the interface where it arrived, 0 from this host; the device itself
 *	 may be gone
 * @marked: a router on the way has marked it: congestion experienced
 * @early: it is kept aside (inbox.h)
 * @psn: then of its next packet, when it came
 * @icrc: what the ICRCs of all have in common
 * @ref: the one packet's payload is there instead (ref.h); NULL for all from a wire
 *
 * Every packet of a queued run is well-formed. What comes from this host has no ICRC,
 * and is good from the beginning.
 */
struct urxe_run {
	u32			off;
	u32			end;
	u32			seg;
	u32			good;
	int			iif;
	bool			marked;
	bool			early;
	u32			psn;
	struct urxe_icrc	icrc;
	struct urxe_ref		*ref;
};

static inline struct urxe_run *urxe_run(struct sk_buff *skb)
{
	BUILD_BUG_ON(sizeof(struct urxe_run) > sizeof(skb->cb));
	return (struct urxe_run *)skb->cb;
}

/**
 * urxe_run_peek - the next packet of the skb's run, which is not consumed
 * @qp: whose queue it is in; what is dropped is counted there
 * @skb: the run
 * @pkt: filled in
 *
 * Packets with a wrong ICRC are passed over. With the token of the side whose queue it is.
 * Return: false when there is none.
 */
bool urxe_run_peek(struct urxe_qp *qp, struct sk_buff *skb,
		   struct urxe_pkt *pkt);

static inline bool urxe_run_left(struct sk_buff *skb)
{
	return urxe_run(skb)->off < urxe_run(skb)->end;
}

/* The packet that urxe_run_peek() gave is done with. */
static inline void urxe_run_next(struct sk_buff *skb)
{
	struct urxe_run *run = urxe_run(skb);

	run->off += min(run->seg, run->end - run->off);
}

#endif /* URXE_RUN_H */
