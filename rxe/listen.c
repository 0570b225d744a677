// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * A claim on UDP port 4791.
 *
 * Packets don't need it to come to us (see intake.c). But with a socket that has
 * asked for GRO, the stack merges the packets of a flow as they come from the NIC,
 * and no other program can take the port. What gets as far as the socket is for
 * nobody, and goes.
 */
#include <net/sock.h>
#include <net/udp_tunnel.h>
#include <rdma/ib_pack.h>

#include "compat.h"
#include "listen.h"
#include "rival.h"

static int drop(struct sock *sk, struct sk_buff *skb)
{
	kfree_skb(skb);
	return 0;
}

/* Without GRO the socket has half a use, so a failure does no harm. */
static void ask_for_gro(struct socket *sock)
{
	int one = 1;

	sock->ops->setsockopt(sock, SOL_UDP, UDP_GRO, KERNEL_SOCKPTR(&one),
			      sizeof(one));
}

static struct socket *listen_on(struct net *net, int family)
{
	struct udp_tunnel_sock_cfg tunnel = {
		.encap_type	= 1,
		.encap_rcv	= drop,
	};
	struct udp_port_cfg port = {
		.family		= family,
		.local_udp_port	= htons(ROCE_V2_UDP_DPORT),
		.ipv6_v6only	= 1,
	};
	struct socket *sock;

	if (udp_sock_create(net, &port, &sock))
		return NULL;
	setup_udp_tunnel_sock(net, compat_tunnel_sock(sock), &tunnel);
	ask_for_gro(sock);
	return sock;
}

void urxe_listen_open(struct urxe_listen *listen, struct net *net)
{
	if (urxe_rival_is_loaded())
		return;
	listen->sock4 = listen_on(net, AF_INET);
	listen->sock6 = listen_on(net, AF_INET6);
}

static void let_go(struct socket **sock)
{
	if (*sock)
		udp_tunnel_sock_release(compat_tunnel_sock(*sock));
	*sock = NULL;
}

void urxe_listen_close(struct urxe_listen *listen)
{
	let_go(&listen->sock4);
	let_go(&listen->sock6);
}
