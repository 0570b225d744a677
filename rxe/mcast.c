// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Multicast groups.
 *
 *	group	an address on one NIC; there while it has members
 *	member	a QP of any link on that NIC
 *
 * The NIC joins a group with its first member, as it would for a socket: so
 * switches and routers know (IGMP, MLD), the NIC's filter is open, and what the
 * host itself sends to the group comes back to it. A packet is for the members
 * of its group on the NIC where it arrived and on no other, for it arrives on each
 * that has joined; on a VLAN also on the NIC below, whose links have the VLAN's
 * addresses.
 *
 * RTNL guards the groups and their members; packets go through them under RCU.
 */
#include <linux/hashtable.h>
#include <linux/if_vlan.h>
#include <linux/igmp.h>
#include <linux/inetdevice.h>
#include <linux/jhash.h>
#include <linux/rtnetlink.h>
#include <net/addrconf.h>
#include <net/ipv6.h>

#include "handle.h"
#include "mcast.h"
#include "pkt.h"
#include "qp.h"

/**
 * struct group - an address on one NIC
 * @node: in the table of all
 * @ndev: the NIC; held by the members' links
 * @gid: the address
 * @in_dev: what has joined an IPv4 group, held; it may be another by now
 * @idev: likewise IPv6
 * @members: struct member
 * @rcu: the table is searched under RCU
 */
struct group {
	struct hlist_node	node;
	struct net_device	*ndev;
	union ib_gid		gid;
	struct in_device	*in_dev;
	struct inet6_dev	*idev;
	struct list_head	members;
	struct rcu_head		rcu;
};

/* @handle is the QP's, which is detached before it goes. */
struct member {
	struct list_head	entry;
	struct urxe_handle	*handle;
	struct rcu_head		rcu;
};

static DEFINE_HASHTABLE(groups, 8);

/* --- joining ------------------------------------------------------------ */

static int join4(struct group *group)
{
	struct in_device *in_dev = __in_dev_get_rtnl(group->ndev);

	if (!in_dev)
		return -ENODEV;
	in_dev_hold(in_dev);
	group->in_dev = in_dev;
	ip_mc_inc_group(in_dev, gid_addr4(&group->gid));
	return 0;
}

/* An in_device that went took its groups along. */
static bool is_joined4(const struct group *group)
{
	return __in_dev_get_rtnl(group->ndev) == group->in_dev;
}

static void leave4(struct group *group)
{
	if (is_joined4(group))
		ip_mc_dec_group(group->in_dev, gid_addr4(&group->gid));
	in_dev_put(group->in_dev);
}

#if IS_ENABLED(CONFIG_IPV6)
static int join6(struct group *group)
{
	struct inet6_dev *idev = in6_dev_get(group->ndev);
	int err;

	if (!idev)
		return -ENODEV;
	err = ipv6_dev_mc_inc(group->ndev, gid_addr(&group->gid));
	if (err) {
		in6_dev_put(idev);
		return err;
	}
	group->idev = idev;
	return 0;
}

static bool is_joined6(const struct group *group)
{
	return __in6_dev_get(group->ndev) == group->idev;
}

static void forget6(struct inet6_dev *idev)
{
	in6_dev_put(idev);
}

static void leave6(struct group *group)
{
	if (is_joined6(group))
		ipv6_dev_mc_dec(group->ndev, gid_addr(&group->gid));
	forget6(group->idev);
}
#else
static int join6(struct group *group)
{
	return -EAFNOSUPPORT;
}

static bool is_joined6(const struct group *group)
{
	return false;
}

static void forget6(struct inet6_dev *idev)
{
}

static void leave6(struct group *group)
{
}
#endif

static int join(struct group *group)
{
	return ipv6_addr_v4mapped(gid_addr(&group->gid)) ? join4(group) :
							   join6(group);
}

static void leave(struct group *group)
{
	if (group->in_dev)
		leave4(group);
	else
		leave6(group);
}

/* IPv6 leaves a NIC whose MTU is too small for it, and comes back with no group. */
static void rejoin(struct group *group)
{
	struct in_device *in_dev = group->in_dev;
	struct inet6_dev *idev = group->idev;

	if (in_dev ? is_joined4(group) : is_joined6(group))
		return;
	if (join(group))
		return;
	if (in_dev)
		in_dev_put(in_dev);
	else
		forget6(idev);
}

void urxe_mcast_rejoin(const struct net_device *ndev)
{
	struct group *group;
	int bucket;

	ASSERT_RTNL();
	hash_for_each(groups, bucket, group, node)
		if (group->ndev == ndev)
			rejoin(group);
}

/* --- groups and members ------------------------------------------------- */

/* Not by the NIC's number: that changes when it goes to another namespace. */
static u32 hash(const struct net_device *ndev, const union ib_gid *gid)
{
	return jhash(gid->raw, sizeof(gid->raw), hash_ptr(ndev, 32));
}

/* RTNL or RCU held. */
static struct group *find(const struct net_device *ndev,
			  const union ib_gid *gid)
{
	struct group *group;

	hash_for_each_possible_rcu(groups, group, node, hash(ndev, gid),
				   lockdep_rtnl_is_held())
		if (group->ndev == ndev &&
		    !memcmp(&group->gid, gid, sizeof(*gid)))
			return group;
	return NULL;
}

static struct group *make(struct net_device *ndev, const union ib_gid *gid)
{
	struct group *group = kzalloc(sizeof(*group), GFP_KERNEL);
	int err;

	ASSERT_RTNL();
	if (!group)
		return ERR_PTR(-ENOMEM);
	group->ndev = ndev;
	group->gid = *gid;
	INIT_LIST_HEAD(&group->members);
	err = join(group);
	if (err) {
		kfree(group);
		return ERR_PTR(err);
	}
	hash_add_rcu(groups, &group->node, hash(ndev, gid));
	return group;
}

static void drop_if_empty(struct group *group)
{
	ASSERT_RTNL();
	if (!list_empty(&group->members))
		return;
	hash_del_rcu(&group->node);
	leave(group);
	kfree_rcu(group, rcu);
}

static struct member *find_member(struct group *group,
				  const struct urxe_qp *qp)
{
	struct member *member;

	list_for_each_entry(member, &group->members, entry)
		if (member->handle == qp->handle)
			return member;
	return NULL;
}

static int add_member(struct group *group, struct urxe_qp *qp)
{
	struct member *member;

	if (find_member(group, qp))
		return -EEXIST;
	if (qp->dev->attached >= URXE_MAX_MCAST_ATTACH)
		return -ENOMEM;
	member = kmalloc(sizeof(*member), GFP_KERNEL);
	if (!member)
		return -ENOMEM;
	qp->dev->attached++;
	member->handle = qp->handle;
	list_add_tail_rcu(&member->entry, &group->members);
	return 0;
}

static int attach(struct urxe_qp *qp, const union ib_gid *gid)
{
	struct group *group = find(qp->dev->nic, gid);
	int err;

	if (!group)
		group = make(qp->dev->nic, gid);
	if (IS_ERR(group))
		return PTR_ERR(group);
	err = add_member(group, qp);
	drop_if_empty(group);
	return err;
}

static int detach(struct urxe_qp *qp, const union ib_gid *gid)
{
	struct group *group = find(qp->dev->nic, gid);
	struct member *member = group ? find_member(group, qp) : NULL;

	if (!member)
		return -EINVAL;
	list_del_rcu(&member->entry);
	kfree_rcu(member, rcu);
	qp->dev->attached--;
	drop_if_empty(group);
	return 0;
}

/* The core has looked at the QP's type, and that it is a group's address. */
int urxe_attach_mcast(struct ib_qp *ibqp, union ib_gid *gid, u16 lid)
{
	int err;

	rtnl_lock();
	err = attach(to_uqp(ibqp), gid);
	rtnl_unlock();
	return err;
}

int urxe_detach_mcast(struct ib_qp *ibqp, union ib_gid *gid, u16 lid)
{
	int err;

	rtnl_lock();
	err = detach(to_uqp(ibqp), gid);
	rtnl_unlock();
	return err;
}

/* --- packets ------------------------------------------------------------ */

/* Where a packet that came by @ndev has come from, too. */
static const struct net_device *below(const struct net_device *ndev)
{
	return is_vlan_dev(ndev) ? vlan_dev_real_dev(ndev) : NULL;
}

struct urxe_qp *urxe_mcast_any(const struct sk_buff *skb)
{
	const struct net_device *ndev;
	struct urxe_qp *qp = NULL;
	struct member *member;
	struct group *group;
	union ib_gid gid;

	urxe_skb_dgid(skb, &gid);
	rcu_read_lock();
	for (ndev = skb->dev; ndev && !qp; ndev = below(ndev)) {
		group = find(ndev, &gid);
		member = group ? list_first_or_null_rcu(&group->members,
							struct member, entry) :
				 NULL;
		qp = member ? urxe_handle_qp(member->handle) : NULL;
	}
	rcu_read_unlock();
	return qp;
}

static void each_member(struct group *group, struct sk_buff *skb,
			void (*fn)(struct urxe_qp *qp, struct sk_buff *skb))
{
	struct member *member;
	struct urxe_qp *qp;

	list_for_each_entry_rcu(member, &group->members, entry) {
		qp = urxe_handle_qp(member->handle);
		if (qp)
			fn(qp, skb);
	}
}

void urxe_mcast_each(struct sk_buff *skb,
		     void (*fn)(struct urxe_qp *qp, struct sk_buff *skb))
{
	const struct net_device *ndev;
	struct group *group;
	union ib_gid gid;

	urxe_skb_dgid(skb, &gid);
	rcu_read_lock();
	for (ndev = skb->dev; ndev; ndev = below(ndev)) {
		group = find(ndev, &gid);
		if (group)
			each_member(group, skb, fn);
	}
	rcu_read_unlock();
}
