/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * From the wire, or from a peer on this host, to a QP's queue.
 */
#ifndef URXE_RX_H
#define URXE_RX_H

#include <linux/types.h>

#include "run.h"

struct net;
struct sk_buff;
struct urxe_ctx;
struct urxe_qp;

/**
 * urxe_rx - take a received skb apart and queue its packets at their QPs
 * @net: the namespace it arrived in
 * @skb: UDP payload starts after the UDP header at skb_transport_header();
 *	 a single datagram or a GSO/GRO run of them. Consumed.
 * Context: softirq.
 */
void urxe_rx(struct net *net, struct sk_buff *skb);

/**
 * urxe_rx_local - queue the packets of a sender on this host
 * @qp: the receiver, with a reference, which is used up
 * @skb: with IP and UDP headers as urxe_path_push_headers() writes them, and
 *	 packets behind them, all for @qp. Consumed.
 * @request: they are for the responder
 * @run: @seg and @ref
 * @ctx: of the step that sends: the receiver runs when it is over
 */
void urxe_rx_local(struct urxe_qp *qp, struct sk_buff *skb, bool request,
		   struct urxe_run run, struct urxe_ctx *ctx);

#endif /* URXE_RX_H */
