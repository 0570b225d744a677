/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Multicast groups: which QPs are in them, and that the NIC is.
 */
#ifndef URXE_MCAST_H
#define URXE_MCAST_H

#include "urxe.h"

/**
 * urxe_mcast_any - a QP that is in the group a packet is for
 * @skb: with its destination address, and the device where it arrived
 * Return: to be given to urxe_qp_put(); NULL when there is none. Any context.
 */
struct urxe_qp *urxe_mcast_any(const struct sk_buff *skb);

/**
 * urxe_mcast_each - call @fn for each QP in the group that a packet is for
 * @skb: likewise
 * @fn: called under RCU, with a reference to the QP that it has to put
 * Any context.
 */
void urxe_mcast_each(struct sk_buff *skb,
		     void (*fn)(struct urxe_qp *qp, struct sk_buff *skb));

/* A NIC may have lost its groups, and can have them again. RTNL held. */
void urxe_mcast_rejoin(const struct net_device *ndev);

/* Hooks for the core. */
int urxe_attach_mcast(struct ib_qp *ibqp, union ib_gid *gid, u16 lid);
int urxe_detach_mcast(struct ib_qp *ibqp, union ib_gid *gid, u16 lid);

#endif /* URXE_MCAST_H */
