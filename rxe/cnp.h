/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Congestion notification packets (IBTA annex A17.9): who gets packets that a router
 * has marked tells their sender, who then sends less for a while (rate.h).
 */
#ifndef URXE_CNP_H
#define URXE_CNP_H

struct sk_buff;
struct urxe_ctx;
struct urxe_qp;

/**
 * urxe_cnp_check - tell the sender of a run if that is marked, and not just told
 * @qp: the QP
 * @skb: the run, in one of @qp's queues
 * @ctx: where the caller runs
 *
 * Either side may call it: what they share is when the peer was last told.
 */
void urxe_cnp_check(struct urxe_qp *qp, struct sk_buff *skb,
		    struct urxe_ctx *ctx);

#endif /* URXE_CNP_H */
