/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The list of all links, and `rdma link add`.
 *
 * The core offers drivers ib_unregister_driver(), which ends every device of a
 * driver id. Ours is that of the kernel's rdma_rxe, whose devices are none of
 * our business, so we keep a list and go through it.
 *
 * The other way round there is no help: when rdma_rxe is unloaded, its call ends
 * our links too. They go as after `rdma link delete`.
 */
#ifndef URXE_LINK_H
#define URXE_LINK_H

#include "urxe.h"

int urxe_link_init(const char *type);
void urxe_link_exit(void);

/**
 * urxe_link_add - put a link on the list, before it is registered
 * @dev: complete but for ib_register_device()
 * @ndev: becomes @dev->ndev, unless it is going away
 * May sleep; takes RTNL.
 */
void urxe_link_add(struct urxe_dev *dev, struct net_device *ndev);

/**
 * urxe_link_enable - from now on there is somebody to tell of the port
 * @dev: the link, which is registered
 * In the enable_driver hook: a link that urxe_links_unregister() came too early
 * for ends here.
 * Return: false when its NIC has gone.
 */
bool urxe_link_enable(struct urxe_dev *dev);

/* The link ends: it has no NIC from now on. */
void urxe_link_down(struct urxe_dev *dev);

/* The link is gone but for its memory: take it off the list by and by. */
void urxe_link_reap(struct urxe_dev *dev);

/* The NIC goes away: end its links soon. Takes no other lock; RTNL is held. */
void urxe_links_unregister(struct net_device *ndev);

/* The NIC's state or MTU has changed: tell its links' users. Any context. */
void urxe_links_update(struct net_device *ndev);

/* The NIC has another address, or has lost one; the core does not look. Any context. */
void urxe_links_readdress(struct net_device *ndev, bool lost);

/**
 * urxe_link_of_address - the link whose QP 1 a packet is for: the first made of
 * those that have the address
 * @net: where it arrived
 * @gid: its destination address
 * Return: with a reference, to be given back by ib_device_put(); NULL when no link
 * has that address. Not in hard interrupts.
 */
struct urxe_dev *urxe_link_of_address(struct net *net, const union ib_gid *gid);

/* Is it in the link's GID table? The device is registered. Any context. */
bool urxe_link_has_address(struct urxe_dev *dev, const union ib_gid *gid);

/**
 * urxe_links_drop - end all links of a namespace
 * @net: whose, or NULL for all there are
 * After the return they are gone and none of their code runs. May sleep; RTNL is
 * not held, and nobody adds a link there.
 */
void urxe_links_drop(struct net *net);

#endif /* URXE_LINK_H */
