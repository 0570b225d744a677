// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Addresses, ports and routes of packets to a peer.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <net/inet_dscp.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/route.h>
#include <rdma/ib_pack.h>

#include "hdr.h"
#include "ns.h"
#include "path.h"

int urxe_path_init(struct urxe_path *path)
{
	atomic_set(&path->ip_id, 0);
	return dst_cache_init(&path->cache, GFP_KERNEL);
}

void urxe_path_exit(struct urxe_path *path)
{
	dst_cache_destroy(&path->cache);
}

void urxe_path_set(struct urxe_path *path, const struct urxe_av *av, u32 lqpn,
		   u32 rqpn)
{
	path->av = *av;
	path->sport = rdma_get_udp_sport(av->flow_label, lqpn, rqpn);
	dst_cache_reset(&path->cache);
}

static struct dst_entry *route4(struct urxe_dev *dev, struct urxe_path *path)
{
	const struct urxe_av *av = &path->av;
	struct flowi4 fl = {};
	struct rtable *rt;
	__be32 saddr;

	rt = dst_cache_get_ip4(&path->cache, &saddr);
	if (rt)
		return &rt->dst;
	flowi4_init_output(&fl, av->oif, 0, av->tclass & INET_DSCP_MASK,
			   RT_SCOPE_UNIVERSE, IPPROTO_UDP, FLOWI_FLAG_ANYSRC,
			   av->d4, av->s4, htons(ROCE_V2_UDP_DPORT),
			   htons(path->sport), GLOBAL_ROOT_UID);
	rt = ip_route_output_flow(dev->ns->net, &fl, NULL);
	if (IS_ERR(rt))
		return NULL;
	dst_cache_set_ip4(&path->cache, &rt->dst, av->s4);
	return &rt->dst;
}

#if IS_ENABLED(CONFIG_IPV6)
static struct dst_entry *route6(struct urxe_dev *dev, struct urxe_path *path)
{
	const struct urxe_av *av = &path->av;
	struct flowi6 fl = {
		.flowi6_oif = av->oif,
		.flowi6_proto = IPPROTO_UDP,
		.daddr = av->d6,
		.saddr = av->s6,
		.fl6_dport = htons(ROCE_V2_UDP_DPORT),
		.fl6_sport = htons(path->sport),
	};
	struct dst_entry *dst;
	struct in6_addr saddr;

	dst = dst_cache_get_ip6(&path->cache, &saddr);
	if (dst)
		return dst;
	if (!ipv6_mod_enabled())
		return NULL;
	fl.flowlabel = ip6_make_flowinfo(av->tclass, htonl(av->flow_label));
	dst = ip6_dst_lookup_flow(dev->ns->net, NULL, &fl, NULL);
	if (IS_ERR(dst))
		return NULL;
	dst_cache_set_ip6(&path->cache, dst, &av->s6);
	return dst;
}
#else
static struct dst_entry *route6(struct urxe_dev *dev, struct urxe_path *path)
{
	return NULL;
}
#endif

/* The per-CPU cache wants bottom halves off. */
struct dst_entry *urxe_path_route(struct urxe_dev *dev, struct urxe_path *path)
{
	struct dst_entry *dst;

	local_bh_disable();
	dst = path->av.family == AF_INET ? route4(dev, path) :
					   route6(dev, path);
	local_bh_enable();
	return dst;
}

static bool is_local4(const struct dst_entry *dst)
{
	return container_of(dst, struct rtable, dst)->rt_type == RTN_LOCAL;
}

static bool is_local6(const struct dst_entry *dst)
{
	return container_of(dst, struct rt6_info, dst)->rt6i_flags & RTF_LOCAL;
}

/* What IPsec would have to be done to does go through the stack. */
bool urxe_path_is_local(const struct urxe_path *path,
			const struct dst_entry *dst)
{
	if (dst_xfrm(dst))
		return false;
	return path->av.family == AF_INET ? is_local4(dst) : is_local6(dst);
}

bool urxe_path_matches(const struct urxe_path *path, const struct sk_buff *skb)
{
	const struct urxe_av *av = &path->av;

	if (skb->protocol == htons(ETH_P_IP))
		return av->family == AF_INET && ip_hdr(skb)->saddr == av->d4 &&
		       ip_hdr(skb)->daddr == av->s4;
	return av->family == AF_INET6 &&
	       ipv6_addr_equal(&ipv6_hdr(skb)->saddr, &av->d6) &&
	       ipv6_addr_equal(&ipv6_hdr(skb)->daddr, &av->s6);
}

static void push_ip4(const struct urxe_av *av, struct sk_buff *skb, u16 ip_id)
{
	struct iphdr *iph = skb_push(skb, sizeof(*iph));

	skb_reset_network_header(skb);
	*iph = (struct iphdr){
		.version = IPVERSION,
		.ihl = sizeof(*iph) / 4,
		.tos = av->tclass,
		.id = htons(ip_id),
		.frag_off = htons(IP_DF),
		.ttl = av->ttl,
		.protocol = IPPROTO_UDP,
		.saddr = av->s4,
		.daddr = av->d4,
	};
	skb->protocol = htons(ETH_P_IP);
	memset(IPCB(skb), 0, sizeof(*IPCB(skb)));
}

static void push_ip6(const struct urxe_av *av, struct sk_buff *skb)
{
	struct ipv6hdr *iph = skb_push(skb, sizeof(*iph));

	skb_reset_network_header(skb);
	ip6_flow_hdr(iph, av->tclass, htonl(av->flow_label));
	iph->nexthdr = IPPROTO_UDP;
	iph->hop_limit = av->ttl;
	iph->saddr = av->s6;
	iph->daddr = av->d6;
	skb->protocol = htons(ETH_P_IPV6);
	memset(IP6CB(skb), 0, sizeof(*IP6CB(skb)));
}

void urxe_path_push_headers(const struct urxe_path *path, struct sk_buff *skb,
			    u16 ip_id)
{
	struct udphdr *udp = skb_push(skb, sizeof(*udp));

	skb_reset_transport_header(skb);
	*udp = (struct udphdr){
		.source = htons(path->sport),
		.dest = htons(ROCE_V2_UDP_DPORT),
	};
	if (path->av.family == AF_INET)
		push_ip4(&path->av, skb, ip_id);
	else
		push_ip6(&path->av, skb);
}

void urxe_path_set_length(struct sk_buff *skb)
{
	u16 udp_len = skb->len - skb_transport_offset(skb);

	udp_hdr(skb)->len = htons(udp_len);
	if (skb->protocol == htons(ETH_P_IP))
		ip_hdr(skb)->tot_len = htons(skb->len);
	else
		ipv6_hdr(skb)->payload_len = htons(udp_len);
}
