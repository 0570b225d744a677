/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The one port of a link: what the NIC looks like to RDMA.
 */
#ifndef URXE_PORT_H
#define URXE_PORT_H

#include "urxe.h"

/**
 * urxe_port_state - what the NIC's state means for the port
 * @ndev: the NIC
 * Active when it is up, has a carrier, and an MTU that some RoCE packets fit.
 * Return: IB_PORT_ACTIVE or IB_PORT_DOWN.
 */
enum ib_port_state urxe_port_state(const struct net_device *ndev);

/* Look at the NIC, and dispatch the event if the port's state has changed. */
void urxe_port_update(struct urxe_dev *dev);

/* Have the core read the NIC's addresses again, soon. */
void urxe_port_readdress(struct urxe_dev *dev);
void urxe_port_readdress_work(struct work_struct *work);

/* Likewise, and forget those that it has no more: GIDs get other numbers. */
void urxe_port_address_lost(struct urxe_dev *dev);

/* Hooks for the core. */
int urxe_query_port(struct ib_device *ibdev, u32 port,
		    struct ib_port_attr *attr);
int urxe_query_port_speed(struct ib_device *ibdev, u32 port, u64 *speed);
int urxe_query_pkey(struct ib_device *ibdev, u32 port, u16 index, u16 *pkey);
int urxe_get_port_immutable(struct ib_device *ibdev, u32 port,
			    struct ib_port_immutable *immutable);
enum rdma_link_layer urxe_get_link_layer(struct ib_device *ibdev, u32 port);

#endif /* URXE_PORT_H */
