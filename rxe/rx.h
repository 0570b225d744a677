/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * From the UDP socket to a QP's queue.
 */
#ifndef URXE_RX_H
#define URXE_RX_H

struct net;
struct sk_buff;

/**
 * urxe_rx - take a received skb apart and queue its packets at their QPs
 * @net: the namespace it arrived in
 * @skb: UDP payload starts after the UDP header at skb_transport_header();
 *	 a single datagram or a GSO/GRO run of them. Consumed.
 * Context: softirq.
 */
void urxe_rx(struct net *net, struct sk_buff *skb);

#endif /* URXE_RX_H */
