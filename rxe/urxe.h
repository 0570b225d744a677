/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The device, and what every file of the driver needs to know of it.
 *
 * Glossary
 *	link		one RDMA device on one netdev, made by `rdma link add`
 *	namespace	a network namespace that has links
 *	SQ side		requester and completer of a QP: one runner
 *	RQ side		responder of a QP: the other runner
 *	batch		a run of packets of equal size that travels as one skb
 */
#ifndef URXE_H
#define URXE_H

#include <linux/idr.h>
#include <linux/netdevice.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_user_rxe.h>
#include <rdma/uverbs_ioctl.h>

#include "compat.h"
#include "limits.h"

#define URXE_VERSION	"0.1.0"
/* The same as a number: 16 bits for each part. */
#define URXE_FW_VER	(0ULL << 32 | 1 << 16 | 0)

struct urxe_ns;
struct urxe_counters;
struct urxe_handle;

/* What a link does with user memory it is asked to register. */
enum urxe_policy {
	URXE_UNPINNED,
	URXE_PINNED,
};

/**
 * struct urxe_dev - one link
 * @ibdev: what the RDMA core knows; first, so that the core can free it
 * @ndev: the NIC; NULL once it is being unregistered. Written under
 *	  urxe_links_lock; readers use urxe_dev_get_netdev()
 * @nic: the reference on it, which lasts as long as the link does: the RDMA
 *	 device has the NIC's parent in sysfs and has to be gone before that is
 * @tracker: for @nic
 * @ns: the wire end of the NIC's network namespace, held for the link's life
 * @entry: in the list of all, guarded by urxe_links_lock; has a reference on
 *	   @ibdev until @reap
 * @reap: takes the link off the list when everybody is done with it
 * @readdress: has the core read the NIC's addresses again
 * @address_lost: bit 0: there are fewer
 * @mrs: memory regions and windows by key index
 * @mr_next: where the next key index is looked for; guarded by @mrs' lock
 * @ahs: where user address handles lead, by number
 * @ah_next: likewise for @ahs
 * @srqs: numbers of SRQs
 * @gsi: QP 1's; NULL while there is none. Written by who creates and destroys it,
 *	 one at a time
 * @attached: QPs in multicast groups, each as often as it is; guarded by RTNL
 * @counters: per CPU, summed on reading
 * @wq: the workers of this link, for what has no process behind it
 * @policy: enum urxe_policy for regions registered from now on
 * @port_state: enum ib_port_state, as last told to the core; guarded by
 *		urxe_links_lock
 */
struct urxe_dev {
	struct ib_device		ibdev;
	struct net_device __rcu		*ndev;
	struct net_device		*nic;
	netdevice_tracker		tracker;
	struct urxe_ns			*ns;
	struct list_head		entry;
	struct work_struct		reap;
	struct work_struct		readdress;
	unsigned long			address_lost;
	struct xarray			mrs;
	u32				mr_next;
	struct xarray			ahs;
	u32				ah_next;
	struct ida			srqs;
	struct urxe_handle __rcu	*gsi;
	u32				attached;
	struct urxe_counters __percpu	*counters;
	struct workqueue_struct		*wq;
	enum urxe_policy		policy;
	enum ib_port_state		port_state;
};

static inline struct urxe_dev *to_urxe(struct ib_device *ibdev)
{
	return container_of(ibdev, struct urxe_dev, ibdev);
}

/**
 * struct urxe_ucontext - a process that has a link open
 * @ibuc: the core's part
 * @wq: its workers: what may sleep in a page fault of its QPs sleeps here. Their
 *	number is limited, so that one process's slow pages would hold up all others
 *	if they shared them
 * @prefetches: in the background; of a limited number for the same reason
 */
struct urxe_ucontext {
	struct ib_ucontext	ibuc;
	struct workqueue_struct	*wq;
	atomic_t		prefetches;
};

static inline struct urxe_ucontext *to_uuc(struct ib_ucontext *ibuc)
{
	return container_of(ibuc, struct urxe_ucontext, ibuc);
}

struct urxe_pd {
	struct ib_pd		ibpd;
};

/**
 * urxe_wq_create - workers that may sleep in page faults
 * @name: to be seen in the names of kernel threads
 * @flags: WQ_MEM_RECLAIM when memory may have to be freed through them, or 0
 * Return: NULL when there is no memory. May sleep.
 */
struct workqueue_struct *urxe_wq_create(const char *name,
					unsigned int flags);

/* Which process makes the call with this @udata; NULL: it is the kernel's own. */
static inline struct urxe_ucontext *urxe_ucontext_of(struct ib_udata *udata)
{
	return rdma_udata_to_drv_context(udata, struct urxe_ucontext, ibuc);
}

/* A process' own workers; those of the link for the kernel's consumers: @uuc is NULL. */
static inline struct workqueue_struct *urxe_wq_of(struct urxe_dev *dev,
						  struct urxe_ucontext *uuc)
{
	return uuc ? uuc->wq : dev->wq;
}

/**
 * urxe_dev_get_netdev - the NIC of a link
 * @dev: the link
 * Return: with a reference; NULL when it is going away. Any context.
 */
struct net_device *urxe_dev_get_netdev(struct urxe_dev *dev);

/**
 * urxe_dev_create - make a link
 * @name: of the RDMA device
 * @ndev: the NIC, held by the caller
 * Return: 0; -EEXIST for a name in use, -ENODEV for a NIC that is going away, and
 * what the core or netfilter says. May sleep; takes RTNL.
 */
int urxe_dev_create(const char *name, struct net_device *ndev);

/* dev.c: hooks for the core */
int urxe_query_device(struct ib_device *ibdev, struct ib_device_attr *attr,
		      struct ib_udata *udata);
void urxe_get_dev_fw_str(struct ib_device *ibdev, char *str);
struct net_device *urxe_get_netdev(struct ib_device *ibdev, u32 port);
int urxe_enable_driver(struct ib_device *ibdev);
void urxe_dealloc_driver(struct ib_device *ibdev);

/* netdev.c: what happens to the NICs, told to the links */
int urxe_netdev_init(void);
void urxe_netdev_exit(void);

/* verbs.c: what the core calls, put together in one table */
extern const struct ib_device_ops urxe_ops;

#endif /* URXE_H */
