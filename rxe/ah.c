// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Address handles.
 */
#include <linux/slab.h>
#include <net/ipv6.h>
#include <rdma/ib_cache.h>
#include <rdma/uverbs_ioctl.h>

#include "ah.h"
#include "ns.h"
#include "table.h"

#define URXE_DEFAULT_TTL	64

static void av_init4(struct urxe_av *av, const union ib_gid *sgid,
		     const union ib_gid *dgid)
{
	av->family = AF_INET;
	av->s4 = gid_addr4(sgid);
	av->d4 = gid_addr4(dgid);
}

static void av_init6(struct urxe_av *av, const union ib_gid *sgid,
		     const union ib_gid *dgid)
{
	av->family = AF_INET6;
	av->s6 = *gid_addr(sgid);
	av->d6 = *gid_addr(dgid);
}

/* The GID table may have addresses of interfaces in other namespaces. */
static int gid_oif(const struct ib_gid_attr *attr)
{
	const struct net *net = to_urxe(attr->device)->ns->net;
	const struct net_device *ndev;
	int oif = -ENODEV;

	rcu_read_lock();
	ndev = rcu_dereference(attr->ndev);
	if (ndev && net_eq(dev_net(ndev), net))
		oif = ndev->ifindex;
	rcu_read_unlock();
	return oif;
}

int urxe_av_init(struct urxe_av *av, const struct rdma_ah_attr *attr)
{
	const struct ib_global_route *grh = &attr->grh;
	const struct ib_gid_attr *sgid_attr = grh->sgid_attr;
	bool v4;

	if (!(rdma_ah_get_ah_flags(attr) & IB_AH_GRH) || !sgid_attr)
		return -EINVAL;
	if (sgid_attr->gid_type != IB_GID_TYPE_ROCE_UDP_ENCAP ||
	    rdma_is_zero_gid(&grh->dgid))
		return -EINVAL;
	v4 = ipv6_addr_v4mapped(gid_addr(&sgid_attr->gid));
	if (v4 != ipv6_addr_v4mapped(gid_addr(&grh->dgid)))
		return -EINVAL;
	memset(av, 0, sizeof(*av));
	av->ttl = grh->hop_limit ?: URXE_DEFAULT_TTL;
	av->tclass = grh->traffic_class;
	av->flow_label = grh->flow_label & 0xfffff;
	av->sgid_index = grh->sgid_index;
	av->oif = gid_oif(sgid_attr);
	if (av->oif < 0)
		return av->oif;
	if (v4)
		av_init4(av, &sgid_attr->gid, &grh->dgid);
	else
		av_init6(av, &sgid_attr->gid, &grh->dgid);
	return 0;
}

static struct urxe_way *make_way(struct ib_pd *pd,
				 const struct rdma_ah_attr *attr, gfp_t gfp)
{
	struct urxe_way *way = kzalloc(sizeof(*way), gfp);
	int err;

	if (!way)
		return ERR_PTR(-ENOMEM);
	way->pd = pd;
	err = urxe_av_init(&way->av, attr);
	if (err) {
		kfree(way);
		return ERR_PTR(err);
	}
	return way;
}

static void set_attr(struct urxe_ah *ah, const struct rdma_ah_attr *attr)
{
	ah->attr = *attr;
	ah->attr.grh.sgid_attr = NULL;
}

/* Give the handle the number by which WQEs name it, and tell the user. */
static int publish(struct urxe_ah *ah, struct urxe_way *way,
		   struct ib_udata *udata)
{
	struct urxe_dev *dev = to_urxe(ah->ibah.device);
	struct rxe_create_ah_resp resp = {};
	int err;

	err = xa_alloc_cyclic_irq(&dev->ahs, &ah->number, way,
				  XA_LIMIT(1, URXE_MAX_AH), &dev->ah_next,
				  GFP_KERNEL);
	if (err < 0)
		return err == -EBUSY ? -ENOMEM : err;
	resp.ah_num = ah->number;
	err = ib_copy_to_udata(udata, &resp, sizeof(resp));
	if (err)
		xa_erase_irq(&dev->ahs, ah->number);
	return err;
}

int urxe_create_ah(struct ib_ah *ibah, struct rdma_ah_init_attr *init_attr,
		   struct ib_udata *udata)
{
	bool sleeps = init_attr->flags & RDMA_CREATE_AH_SLEEPABLE;
	struct urxe_ah *ah = to_uah(ibah);
	struct urxe_way *way;
	int err;

	if (udata && udata->outlen < sizeof(struct rxe_create_ah_resp))
		return -EINVAL;
	way = make_way(ibah->pd, init_attr->ah_attr,
		       udata ? GFP_KERNEL_ACCOUNT :
		       sleeps ? GFP_KERNEL : GFP_ATOMIC);
	if (IS_ERR(way))
		return PTR_ERR(way);
	err = udata ? publish(ah, way, udata) : 0;
	if (err) {
		kfree_rcu(way, rcu);
		return err;
	}
	RCU_INIT_POINTER(ah->way, way);
	set_attr(ah, init_attr->ah_attr);
	return 0;
}

int urxe_modify_ah(struct ib_ah *ibah, struct rdma_ah_attr *attr)
{
	struct urxe_dev *dev = to_urxe(ibah->device);
	struct urxe_way *way = make_way(ibah->pd, attr, GFP_ATOMIC);
	struct urxe_ah *ah = to_uah(ibah);
	struct urxe_way *old;
	unsigned long flags;

	if (IS_ERR(way))
		return PTR_ERR(way);
	xa_lock_irqsave(&dev->ahs, flags);
	old = rcu_replace_pointer(ah->way, way,
				  lockdep_is_held(&dev->ahs.xa_lock));
	/* Takes no memory: it is in place of another. */
	if (ah->number)
		__xa_store(&dev->ahs, ah->number, way, 0);
	set_attr(ah, attr);
	xa_unlock_irqrestore(&dev->ahs, flags);
	kfree_rcu(old, rcu);
	return 0;
}

int urxe_query_ah(struct ib_ah *ibah, struct rdma_ah_attr *attr)
{
	*attr = to_uah(ibah)->attr;
	return 0;
}

int urxe_destroy_ah(struct ib_ah *ibah, u32 ah_flags)
{
	struct urxe_dev *dev = to_urxe(ibah->device);
	struct urxe_ah *ah = to_uah(ibah);
	struct urxe_way *way = rcu_dereference_protected(ah->way, true);
	unsigned long flags;

	if (ah->number) {
		xa_lock_irqsave(&dev->ahs, flags);
		__xa_erase(&dev->ahs, ah->number);
		xa_unlock_irqrestore(&dev->ahs, flags);
	}
	kfree_rcu(way, rcu);
	return 0;
}

bool urxe_ah_lookup(struct ib_pd *pd, u32 number, struct urxe_av *av)
{
	struct urxe_dev *dev = to_urxe(pd->device);
	const struct urxe_way *way;
	bool found;

	rcu_read_lock();
	way = urxe_table_find(&dev->ahs, number);
	found = way && way->pd == pd;
	if (found)
		*av = way->av;
	rcu_read_unlock();
	return found;
}

void urxe_ah_copy(struct ib_ah *ibah, struct urxe_av *av)
{
	rcu_read_lock();
	*av = rcu_dereference(to_uah(ibah)->way)->av;
	rcu_read_unlock();
}
