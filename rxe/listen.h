/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * A claim on UDP port 4791, for as long as nobody else wants it.
 */
#ifndef URXE_LISTEN_H
#define URXE_LISTEN_H

struct net;
struct socket;

/* The sockets of one namespace; NULL what could not be had. */
struct urxe_listen {
	struct socket	*sock4;
	struct socket	*sock6;
};

/* Claim the port if it is free and rdma_rxe is not loaded. May sleep. */
void urxe_listen_open(struct urxe_listen *listen, struct net *net);

/* Let go of it. May sleep. */
void urxe_listen_close(struct urxe_listen *listen);

#endif /* URXE_LISTEN_H */
