// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The list of all links.
 *
 * How a link ends, whoever asks (`rdma link delete`, the NIC, the namespace, the
 * module, or somebody else's ib_unregister_driver()):
 *
 *  1. The core unregisters the device: nobody finds it, its users lose it.
 *  2. The core calls urxe_dealloc_driver(), which gives back what the link has
 *     and, last of all, queues the reaper.
 *  3. The reaper waits for 1 and 2 to have returned, takes the link off the list
 *     and puts the list's reference on the device, which frees it.
 *
 * So a link on the list may be dead, but its memory is there, and an empty list
 * with an idle reaper means that no code of ours runs for any link.
 */
#include <linux/rtnetlink.h>
#include <rdma/ib_cache.h>
#include <rdma/rdma_netlink.h>

#include "link.h"
#include "ns.h"
#include "port.h"
#include "rival.h"

/* Guards urxe_links and every link's @entry and @ndev. */
static DEFINE_SPINLOCK(urxe_links_lock);
static LIST_HEAD(urxe_links);
static struct workqueue_struct *urxe_reaper;

static int newlink(const char *name, struct net_device *ndev)
{
	return urxe_dev_create(name, ndev);
}

static struct rdma_link_ops link_ops = {
	.newlink = newlink,
};

/* Each call that unregisters a device returns after all others have: so ours is the last. */
static void reap_work(struct work_struct *work)
{
	struct urxe_dev *dev = container_of(work, struct urxe_dev, reap);

	ib_unregister_device(&dev->ibdev);
	spin_lock_bh(&urxe_links_lock);
	list_del(&dev->entry);
	spin_unlock_bh(&urxe_links_lock);
	put_device(&dev->ibdev.dev);
}

void urxe_link_add(struct urxe_dev *dev, struct net_device *ndev)
{
	INIT_WORK(&dev->reap, reap_work);
	get_device(&dev->ibdev.dev);
	rtnl_lock();
	spin_lock_bh(&urxe_links_lock);
	/* It may have gone meanwhile, or to another namespace. */
	if (ndev->reg_state == NETREG_REGISTERED &&
	    net_eq(dev_net(ndev), dev->ns->net))
		rcu_assign_pointer(dev->ndev, ndev);
	dev->port_state = urxe_port_state(ndev);
	list_add_tail(&dev->entry, &urxe_links);
	spin_unlock_bh(&urxe_links_lock);
	rtnl_unlock();
}

bool urxe_link_enable(struct urxe_dev *dev)
{
	bool up;

	spin_lock_bh(&urxe_links_lock);
	up = rcu_access_pointer(dev->ndev);
	if (up)
		urxe_port_update(dev);
	spin_unlock_bh(&urxe_links_lock);
	return up;
}

void urxe_link_down(struct urxe_dev *dev)
{
	spin_lock_bh(&urxe_links_lock);
	RCU_INIT_POINTER(dev->ndev, NULL);
	spin_unlock_bh(&urxe_links_lock);
}

void urxe_link_reap(struct urxe_dev *dev)
{
	queue_work(urxe_reaper, &dev->reap);
}

/*
 * Either the device is registered by now and we can get it, or
 * urxe_enable_driver() looks at @ndev after us and refuses.
 */
static void unregister_one(struct urxe_dev *dev)
{
	lockdep_assert_held(&urxe_links_lock);
	RCU_INIT_POINTER(dev->ndev, NULL);
	if (!ib_device_try_get(&dev->ibdev))
		return;
	ib_unregister_device_queued(&dev->ibdev);
	ib_device_put(&dev->ibdev);
}

static void call_on(struct net_device *ndev, void (*fn)(struct urxe_dev *))
{
	struct urxe_dev *dev;

	spin_lock_bh(&urxe_links_lock);
	list_for_each_entry(dev, &urxe_links, entry)
		if (rcu_access_pointer(dev->ndev) == ndev)
			fn(dev);
	spin_unlock_bh(&urxe_links_lock);
}

void urxe_links_unregister(struct net_device *ndev)
{
	call_on(ndev, unregister_one);
}

void urxe_links_update(struct net_device *ndev)
{
	call_on(ndev, urxe_port_update);
}

void urxe_links_readdress(struct net_device *ndev, bool lost)
{
	call_on(ndev, lost ? urxe_port_address_lost : urxe_port_readdress);
}

bool urxe_link_has_address(struct urxe_dev *dev, const union ib_gid *gid)
{
	const struct ib_gid_attr *attr;

	attr = rdma_find_gid_by_port(&dev->ibdev, gid,
				     IB_GID_TYPE_ROCE_UDP_ENCAP, 1, NULL);
	if (IS_ERR(attr))
		return false;
	rdma_put_gid_attr(attr);
	return true;
}

struct urxe_dev *urxe_link_of_address(struct net *net, const union ib_gid *gid)
{
	struct urxe_dev *dev, *found = NULL;

	spin_lock_bh(&urxe_links_lock);
	list_for_each_entry(dev, &urxe_links, entry) {
		if (dev->ns->net != net || !ib_device_try_get(&dev->ibdev))
			continue;
		if (urxe_link_has_address(dev, gid)) {
			found = dev;
			break;
		}
		ib_device_put(&dev->ibdev);
	}
	spin_unlock_bh(&urxe_links_lock);
	return found;
}

/* Any link of @net, with a reference on its memory. */
static struct urxe_dev *get_any(struct net *net)
{
	struct urxe_dev *dev;

	spin_lock_bh(&urxe_links_lock);
	list_for_each_entry(dev, &urxe_links, entry) {
		if (net && dev->ns->net != net)
			continue;
		get_device(&dev->ibdev.dev);
		spin_unlock_bh(&urxe_links_lock);
		return dev;
	}
	spin_unlock_bh(&urxe_links_lock);
	return NULL;
}

void urxe_links_drop(struct net *net)
{
	struct urxe_dev *dev;

	while ((dev = get_any(net))) {
		ib_unregister_device(&dev->ibdev);
		flush_work(&dev->reap);
		put_device(&dev->ibdev.dev);
	}
}

/* Two drivers can't offer one type of link. (EEXIST is no error to modprobe.) */
int urxe_link_init(const char *type)
{
	if (!strcmp(type, "rxe") && urxe_rival_is_loaded())
		return -EBUSY;
	urxe_reaper = alloc_workqueue("urxe-reaper", WQ_UNBOUND, 0);
	if (!urxe_reaper)
		return -ENOMEM;
	link_ops.type = type;
	rdma_link_register(&link_ops);
	return 0;
}

/* No newlink is under way after rdma_link_unregister(). */
void urxe_link_exit(void)
{
	rdma_link_unregister(&link_ops);
	urxe_links_drop(NULL);
	destroy_workqueue(urxe_reaper);
}
