// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * How packets of a namespace come to us: a netfilter hook, the last before the
 * transport layer.
 *
 * A UDP socket on port 4791 would be the obvious way, but a namespace has room for
 * one only, and rdma_rxe wants it too: it fails to load, or its link to be made, if
 * it can't have it. Behind the hook the two drivers don't get in each other's way,
 * whichever comes first; a socket we have only while rdma_rxe is not there
 * (listen.c). We take what is addressed to our QP numbers, which are out of its
 * range, and leave the rest.
 * The hook is behind the firewall's, so that its rules count as they would for a
 * socket; it costs less than UDP's own socket lookup; and segmentation offload
 * (GSO) does not have to be undone for it.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/udp.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/net_namespace.h>
#include <net/xfrm.h>
#include <rdma/ib_pack.h>

#include "intake.h"
#include "link.h"
#include "pkt.h"
#include "rx.h"

/* What we look at to know whose a packet is. */
struct peek {
	struct udphdr	udp;
	struct urxe_bth	bth;
};

/* Return: the destination QP's number; 0, which is nobody's, for what isn't RoCE. */
static u32 peek_qpn(const struct sk_buff *skb)
{
	const struct peek *peek;
	struct peek buf;

	peek = skb_header_pointer(skb, skb_transport_offset(skb), sizeof(buf),
				  &buf);
	if (!peek || peek->udp.dest != htons(ROCE_V2_UDP_DPORT))
		return 0;
	return bth_qpn(&peek->bth);
}

/* What IPsec has to say is asked by UDP for its sockets, and so by us. */
static bool is_allowed(struct sk_buff *skb)
{
	return xfrm_policy_check(NULL, XFRM_POLICY_IN, skb,
				 skb->protocol == htons(ETH_P_IP) ? AF_INET :
								    AF_INET6);
}

/*
 * urxe_rx() wants a packet as a socket would get it; and to keep it, which a socket that
 * the stack has found for it may not live to see.
 */
static void give(struct net *net, struct sk_buff *skb)
{
	if (!is_allowed(skb)) {
		kfree_skb(skb);
		return;
	}
	__skb_pull(skb, skb_transport_offset(skb));
	skb_orphan(skb);
	skb_dst_drop(skb);
	nf_reset_ct(skb);
	urxe_rx(net, skb);
}

/* QP 1 has every device: who has the address gets the packet. */
static bool is_our_address(struct net *net, const struct sk_buff *skb)
{
	struct urxe_dev *dev;
	union ib_gid dgid;

	urxe_skb_dgid(skb, &dgid);
	dev = urxe_link_of_address(net, &dgid);
	if (!dev)
		return false;
	ib_device_put(&dev->ibdev);
	return true;
}

/* Multicast is for everyone who listens, in our driver and in others. */
static void give_copy(struct net *net, struct sk_buff *skb)
{
	struct sk_buff *copy = skb_clone(skb, GFP_ATOMIC);

	if (copy)
		give(net, copy);
}

static unsigned int take(struct net *net, struct sk_buff *skb)
{
	u32 qpn = peek_qpn(skb);

	if (qpn == IB_MULTICAST_QPN)
		give_copy(net, skb);
	if (qpn < URXE_MIN_QPN || qpn > URXE_MAX_QPN)
		if (qpn != URXE_GSI_QPN || !is_our_address(net, skb))
			return NF_ACCEPT;
	give(net, skb);
	return NF_STOLEN;
}

static unsigned int hook4(void *priv, struct sk_buff *skb,
			  const struct nf_hook_state *state)
{
	const struct iphdr *iph = ip_hdr(skb);

	if (iph->protocol != IPPROTO_UDP || ip_is_fragment(iph))
		return NF_ACCEPT;
	return take(state->net, skb);
}

static unsigned int hook6(void *priv, struct sk_buff *skb,
			  const struct nf_hook_state *state)
{
	if (ipv6_hdr(skb)->nexthdr != IPPROTO_UDP)
		return NF_ACCEPT;
	return take(state->net, skb);
}

static const struct nf_hook_ops hooks[] = {
	{
		.hook		= hook4,
		.pf		= NFPROTO_IPV4,
		.hooknum	= NF_INET_LOCAL_IN,
		.priority	= NF_IP_PRI_LAST,
	}, {
		.hook		= hook6,
		.pf		= NFPROTO_IPV6,
		.hooknum	= NF_INET_LOCAL_IN,
		.priority	= NF_IP6_PRI_LAST,
	},
};

int urxe_intake_open(struct net *net)
{
	return nf_register_net_hooks(net, hooks, ARRAY_SIZE(hooks));
}

/* Unregistering does not wait for hooks that run. */
void urxe_intake_close(struct net *net)
{
	nf_unregister_net_hooks(net, hooks, ARRAY_SIZE(hooks));
	synchronize_net();
}
