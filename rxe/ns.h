/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The wire end of a network namespace: made with the first link there, gone with
 * the last.
 */
#ifndef URXE_NS_H
#define URXE_NS_H

#include "listen.h"
#include "urxe.h"

/**
 * struct urxe_ns - what the links of one namespace share
 * @net: the namespace; not held: it waits for its links before it goes
 * @users: links; guarded by urxe_ns_lock
 * @listen: keeps the port for us; guarded by urxe_ns_lock
 * @entry: in the list of those with users; guarded by urxe_ns_lock
 */
struct urxe_ns {
	struct net		*net;
	unsigned int		users;
	struct urxe_listen	listen;
	struct list_head	entry;
};

int urxe_ns_init(void);
void urxe_ns_exit(void);

/**
 * urxe_ns_get - open the wire end of @net, if it is not yet
 * Return: to be given to urxe_ns_put(), or ERR_PTR(). May sleep.
 */
struct urxe_ns *urxe_ns_get(struct net *net);

/* After the return no packet of this namespace is on its way to a QP, if the
 * last user is gone. May sleep.
 */
void urxe_ns_put(struct urxe_ns *ns);

/* rdma_rxe has come or gone: let go of UDP port 4791, or take it. May sleep. */
void urxe_ns_relisten(void);

#endif /* URXE_NS_H */
