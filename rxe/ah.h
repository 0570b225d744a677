/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Address handles and address vectors: where a packet goes, without a route.
 */
#ifndef URXE_AH_H
#define URXE_AH_H

#include <linux/in.h>
#include <net/ipv6.h>

#include "urxe.h"

/**
 * struct urxe_av - an address vector, validated
 * @family: AF_INET or AF_INET6
 * @ttl: hop limit, never 0
 * @tclass: DSCP and ECN as they go on the wire
 * @flow_label: IPv6's, 20 bits; also what the UDP source port is made from
 * @sgid_index: index of the source GID
 * @oif: interface that has the source address: the link's NIC, or a VLAN or
 *	 bond above it
 * @s4: IPv4 source address, likewise the others
 */
struct urxe_av {
	u16			family;
	u8			ttl;
	u8			tclass;
	u32			flow_label;
	u8			sgid_index;
	int			oif;
	union {
		__be32		s4;
		struct in6_addr	s6;
	};
	union {
		__be32		d4;
		struct in6_addr	d6;
	};
};

/**
 * urxe_av_init - make an address vector of what the core gives us
 * @av: filled in
 * @attr: with a GRH and a resolved sgid_attr
 * Return: 0; -EINVAL for what can't be an address on a RoCEv2 wire; -ENODEV when
 * the interface is gone or in another namespace. Any context.
 */
int urxe_av_init(struct urxe_av *av, const struct rdma_ah_attr *attr);

/**
 * struct urxe_way - where an address handle leads
 * @rcu: it is looked at under RCU
 * @pd: the handle's
 * @av: the way
 *
 * Nothing of it changes: a handle that is modified gets another one. A user's is found by
 * number, and the handle itself by nobody: that is the core's, which frees it at once.
 */
struct urxe_way {
	struct rcu_head		rcu;
	struct ib_pd		*pd;
	struct urxe_av		av;
};

/**
 * struct urxe_ah - an address handle
 * @ibah: the core's part
 * @way: where to; the lock of the link's table guards changes
 * @attr: as given, for query_ah; its references are not ours
 * @number: what a user's WQE names it by; 0 for the kernel's, which have none
 */
struct urxe_ah {
	struct ib_ah		ibah;
	struct urxe_way __rcu	*way;
	struct rdma_ah_attr	attr;
	u32			number;
};

static inline struct urxe_ah *to_uah(struct ib_ah *ibah)
{
	return container_of(ibah, struct urxe_ah, ibah);
}

/**
 * struct urxe_dest - where one datagram goes
 * @av: the way
 * @qpn: the QP there
 * @qkey: as posted: with its top bit the QP's own Q_Key is meant (IBTA 10.2.5)
 */
struct urxe_dest {
	struct urxe_av		av;
	u32			qpn;
	u32			qkey;
};

static inline const struct in6_addr *gid_addr(const union ib_gid *gid)
{
	return (const struct in6_addr *)gid->raw;
}

/* A GID that is an IPv4 address ends with it. */
static inline __be32 gid_addr4(const union ib_gid *gid)
{
	return gid_addr(gid)->s6_addr32[3];
}

static inline bool urxe_av_is_multicast(const struct urxe_av *av)
{
	return av->family == AF_INET ? ipv4_is_multicast(av->d4) :
				       ipv6_addr_is_multicast(&av->d6);
}

/* Hooks for the core. */
int urxe_create_ah(struct ib_ah *ibah, struct rdma_ah_init_attr *init_attr,
		   struct ib_udata *udata);
int urxe_modify_ah(struct ib_ah *ibah, struct rdma_ah_attr *attr);
int urxe_query_ah(struct ib_ah *ibah, struct rdma_ah_attr *attr);
int urxe_destroy_ah(struct ib_ah *ibah, u32 flags);

/**
 * urxe_ah_lookup - copy the address vector of a user's address handle
 * @pd: the PD of the QP that names it
 * @number: from the user's WQE
 * @av: filled in
 * Return: false when there is no such handle in this PD. Any context.
 */
bool urxe_ah_lookup(struct ib_pd *pd, u32 number, struct urxe_av *av);

/* Copy the address vector of a handle that the caller keeps. Any context. */
void urxe_ah_copy(struct ib_ah *ibah, struct urxe_av *av);

#endif /* URXE_AH_H */
