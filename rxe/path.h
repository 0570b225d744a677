/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The way of a QP's packets to its peer: addresses, ports, route.
 */
#ifndef URXE_PATH_H
#define URXE_PATH_H

#include <net/dst_cache.h>

#include "ah.h"

/**
 * struct urxe_path - a way to one peer
 * @av: where to, and with what class
 * @sport: UDP source port, from the flow label or from both QP numbers, so that
 *	   a QP's packets stay on one way through the network
 * @ip_id: IPv4 identification of the next packet; both sides of the QP draw
 *	   from it
 * @cache: the route, until it changes
 */
struct urxe_path {
	struct urxe_av		av;
	u16			sport;
	atomic_t		ip_id;
	struct dst_cache	cache;
};

/* Return: 0 or -ENOMEM. May sleep. */
int urxe_path_init(struct urxe_path *path);
void urxe_path_exit(struct urxe_path *path);

/**
 * urxe_path_set - aim the path somewhere else
 * @path: the path
 * @av: where to
 * @lqpn: our QP number
 * @rqpn: the peer's; the two spread flows over source ports
 * Context: nobody sends on it meanwhile.
 */
void urxe_path_set(struct urxe_path *path, const struct urxe_av *av, u32 lqpn,
		   u32 rqpn);

/**
 * urxe_path_route - the route to the peer
 * @dev: the link
 * @path: the way
 * Return: held, for skb_dst_set(); NULL when there is none. Any context.
 */
struct dst_entry *urxe_path_route(struct urxe_dev *dev,
				  struct urxe_path *path);

/**
 * urxe_path_is_local - does a route end where it begins?
 * @path: the way
 * @dst: its route
 * Return: true when the packets would be handed back to this namespace as they
 * are: nothing but the loopback device is in between.
 */
bool urxe_path_is_local(const struct urxe_path *path,
			const struct dst_entry *dst);

/* Bytes that the path's IP header takes. */
static inline unsigned int urxe_path_ip_len(const struct urxe_path *path)
{
	return path->av.family == AF_INET ? sizeof(struct iphdr) :
					    sizeof(struct ipv6hdr);
}

/* Did a packet with these addresses come from our peer, to us? */
bool urxe_path_matches(const struct urxe_path *path, const struct sk_buff *skb);

/**
 * urxe_path_push_headers - put IP and UDP headers at the front of an empty skb
 * @path: the way
 * @skb: with room for them reserved
 * @ip_id: of the first packet
 * The lengths are set by urxe_path_set_length() when the payload is there.
 */
void urxe_path_push_headers(const struct urxe_path *path, struct sk_buff *skb,
			    u16 ip_id);

/* Write the lengths of @skb as a whole into its headers. */
void urxe_path_set_length(struct sk_buff *skb);

#endif /* URXE_PATH_H */
