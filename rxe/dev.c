// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The RDMA device: its making and end, and what it says of itself.
 *
 * The NIC is told to the core by the get_netdev hook, not by
 * ib_device_set_netdev(). The latter puts the device where
 * ib_device_get_by_netdev() finds it by driver id, and rdma_rxe, whose id is ours
 * too, takes what it finds there for its own.
 */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/jhash.h>

#include "counters.h"
#include "link.h"
#include "ns.h"
#include "port.h"

struct net_device *urxe_dev_get_netdev(struct urxe_dev *dev)
{
	struct net_device *ndev;

	rcu_read_lock();
	ndev = rcu_dereference(dev->ndev);
	dev_hold(ndev);
	rcu_read_unlock();
	return ndev;
}

/*
 * Who asks for a link's NIC to fill the GID table? The core does so from its work
 * queue, and before the device is registered.
 */
static bool gid_table_asks(const struct ib_device *ibdev)
{
	return (current->flags & PF_WQ_WORKER) ||
	       !refcount_read(&ibdev->refcount);
}

/*
 * The core takes for a NIC's GIDs its own addresses and those of the VLANs above
 * it, but none of a NIC that is itself a VLAN. So the GID table of a link on a VLAN
 * is made of all the addresses of what is below.
 */
struct net_device *urxe_get_netdev(struct ib_device *ibdev, u32 port)
{
	struct net_device *ndev = urxe_dev_get_netdev(to_urxe(ibdev));
	struct net_device *real;

	if (!ndev || !is_vlan_dev(ndev) || !gid_table_asks(ibdev))
		return ndev;
	real = vlan_dev_real_dev(ndev);
	dev_hold(real);
	dev_put(ndev);
	return real;
}

int urxe_enable_driver(struct ib_device *ibdev)
{
	return urxe_link_enable(to_urxe(ibdev)) ? 0 : -ENODEV;
}

void urxe_get_dev_fw_str(struct ib_device *ibdev, char *str)
{
	snprintf(str, IB_FW_VERSION_NAME_MAX, "%s", URXE_VERSION);
}

static void fill_limits(struct ib_device_attr *attr)
{
	attr->max_mr_size = U64_MAX;
	attr->page_size_cap = 0xfffff000;
	attr->max_qp = URXE_MAX_QP;
	attr->max_qp_wr = URXE_MAX_QP_WR;
	attr->max_send_sge = URXE_MAX_SGE;
	attr->max_recv_sge = URXE_MAX_SGE;
	attr->max_sge_rd = URXE_MAX_SGE;
	attr->max_cq = URXE_MAX_CQ;
	attr->max_cqe = URXE_MAX_CQE;
	attr->max_mr = URXE_MAX_MR;
	attr->max_pd = URXE_MAX_PD;
	attr->max_ah = URXE_MAX_AH;
	attr->max_qp_rd_atom = URXE_MAX_RD_ATOMIC;
	attr->max_qp_init_rd_atom = URXE_MAX_RD_ATOMIC;
	attr->max_res_rd_atom = URXE_MAX_RES_RD_ATOMIC;
	attr->max_fast_reg_page_list_len = URXE_MAX_FRMR_PAGES;
	attr->max_pkeys = URXE_PKEY_TBL_LEN;
	attr->max_srq = URXE_MAX_SRQ;
	attr->max_srq_wr = URXE_MAX_SRQ_WR;
	attr->max_srq_sge = URXE_MAX_SGE;
	attr->max_mw = URXE_MAX_MW;
	attr->max_mcast_grp = URXE_MAX_MCAST_ATTACH;
	attr->max_mcast_qp_attach = URXE_MAX_MCAST_ATTACH;
	attr->max_total_mcast_qp_attach = URXE_MAX_MCAST_ATTACH;
}

/* Every operation of every transport pages on demand: what we do, we do so. */
static void fill_odp(struct ib_odp_caps *caps)
{
	const u32 ud = IB_ODP_SUPPORT_SEND | IB_ODP_SUPPORT_RECV |
		       IB_ODP_SUPPORT_SRQ_RECV;
	const u32 uc = ud | IB_ODP_SUPPORT_WRITE;
	const u32 rc = uc | IB_ODP_SUPPORT_READ | IB_ODP_SUPPORT_ATOMIC |
		       COMPAT_ODP_EXTENDED;

	caps->general_caps = IB_ODP_SUPPORT | IB_ODP_SUPPORT_IMPLICIT;
	caps->per_transport_caps.rc_odp_caps = rc;
	caps->per_transport_caps.uc_odp_caps = uc;
	caps->per_transport_caps.ud_odp_caps = ud;
}

int urxe_query_device(struct ib_device *ibdev, struct ib_device_attr *attr,
		      struct ib_udata *udata)
{
	if (udata && (udata->inlen || udata->outlen))
		return -EINVAL;
	attr->fw_ver = URXE_FW_VER;
	attr->sys_image_guid = ibdev->node_guid;
	attr->vendor_id = URXE_VENDOR_ID;
	attr->vendor_part_id = URXE_VENDOR_PART_ID;
	attr->device_cap_flags = IB_DEVICE_CURR_QP_STATE_MOD |
				 IB_DEVICE_BAD_PKEY_CNTR |
				 IB_DEVICE_BAD_QKEY_CNTR |
				 IB_DEVICE_PORT_ACTIVE_EVENT |
				 IB_DEVICE_SYS_IMAGE_GUID |
				 IB_DEVICE_RC_RNR_NAK_GEN |
				 IB_DEVICE_SRQ_RESIZE |
				 IB_DEVICE_MEM_WINDOW |
				 IB_DEVICE_MEM_WINDOW_TYPE_2B |
				 IB_DEVICE_MEM_MGT_EXTENSIONS |
				 IB_DEVICE_ATOMIC_WRITE |
				 IB_DEVICE_FLUSH_GLOBAL |
				 IB_DEVICE_FLUSH_PERSISTENT;
	attr->kernel_cap_flags = IBK_ALLOW_USER_UNREG | IBK_ON_DEMAND_PAGING;
	attr->atomic_cap = IB_ATOMIC_GLOB;
	attr->local_ca_ack_delay = URXE_ACK_DELAY;
	fill_limits(attr);
	fill_odp(&attr->odp_caps);
	return 0;
}

/*
 * The NIC's MAC, and where an EUI-64 has ff:fe a hash of the link's name: the
 * connection managers tell devices apart by GUID, and several links may share one
 * MAC. Without a MAC, a number that no other host has either.
 */
static __be64 make_guid(const char *name, const struct net_device *ndev)
{
	u16 hash = jhash(name, strlen(name), 0);
	u8 guid[8] = {};

	if (ndev->addr_len == ETH_ALEN && !is_zero_ether_addr(ndev->dev_addr))
		ether_addr_copy(guid, ndev->dev_addr);
	else
		eth_random_addr(guid);
	memmove(guid + 5, guid + 3, 3);
	guid[0] ^= 2;
	guid[3] = hash >> 8;
	guid[4] = hash;
	return get_unaligned((__be64 *)guid);
}

static void fill_ibdev(struct urxe_dev *dev, const char *name)
{
	struct ib_device *ibdev = &dev->ibdev;

	ibdev->node_type = RDMA_NODE_IB_CA;
	ibdev->phys_port_cnt = 1;
	ibdev->num_comp_vectors = num_possible_cpus();
	ibdev->node_guid = make_guid(name, dev->nic);
	ibdev->dev.parent = dev->nic->dev.parent;
	strscpy(ibdev->node_desc, "urxe", sizeof(ibdev->node_desc));
	INIT_WORK(&dev->readdress, urxe_port_readdress_work);
	xa_init_flags(&dev->mrs, XA_FLAGS_ALLOC);
	xa_init_flags(&dev->ahs, XA_FLAGS_ALLOC | XA_FLAGS_LOCK_IRQ);
	ida_init(&dev->srqs);
}

/*
 * WQ_HIGHPRI: programs that poll for completions leave no CPU idle, and a worker
 * at their own priority then waits milliseconds for its turn, with a message in
 * its hands: 4000 us for an 8-byte WRITE on two busy CPUs, against 13 us.
 * Turns are bounded (runner.c). Many workers may sleep at once in page faults.
 */
struct workqueue_struct *urxe_wq_create(const char *name, unsigned int flags)
{
	return alloc_workqueue("urxe-%s", WQ_UNBOUND | WQ_HIGHPRI | flags,
			       WQ_UNBOUND_MAX_ACTIVE, name);
}

/* Give back what urxe_dev_alloc() got, and let the link's list know. */
void urxe_dealloc_driver(struct ib_device *ibdev)
{
	struct urxe_dev *dev = to_urxe(ibdev);

	urxe_link_down(dev);
	urxe_ns_put(dev->ns);
	destroy_workqueue(dev->wq);
	free_percpu(dev->counters);
	xa_destroy(&dev->mrs);
	xa_destroy(&dev->ahs);
	ida_destroy(&dev->srqs);
	netdev_put(dev->nic, &dev->tracker);
	urxe_link_reap(dev);
}

static struct urxe_dev *urxe_dev_alloc(const char *name,
				       struct net_device *ndev,
				       struct net *net)
{
	struct urxe_dev *dev;
	int err = -ENOMEM;

	dev = ib_alloc_device_with_net(urxe_dev, ibdev, net);
	if (!dev)
		return ERR_PTR(err);
	dev->counters = alloc_percpu(struct urxe_counters);
	if (!dev->counters)
		goto free_dev;
	dev->wq = urxe_wq_create(name, WQ_MEM_RECLAIM);
	if (!dev->wq)
		goto free_counters;
	dev->ns = urxe_ns_get(net);
	if (IS_ERR(dev->ns)) {
		err = PTR_ERR(dev->ns);
		goto free_wq;
	}
	dev->nic = ndev;
	netdev_hold(ndev, &dev->tracker, GFP_KERNEL);
	fill_ibdev(dev, name);
	return dev;

free_wq:
	destroy_workqueue(dev->wq);
free_counters:
	free_percpu(dev->counters);
free_dev:
	ib_dealloc_device(&dev->ibdev);
	return ERR_PTR(err);
}

static int create_in(struct net *net, const char *name,
		     struct net_device *ndev)
{
	struct urxe_dev *dev = urxe_dev_alloc(name, ndev, net);
	int err;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	ib_set_device_ops(&dev->ibdev, &urxe_ops);
	/* The doorbell, and arming a CQ, are system calls here. */
	dev->ibdev.uverbs_cmd_mask |= BIT_ULL(IB_USER_VERBS_CMD_POST_SEND) |
				      BIT_ULL(IB_USER_VERBS_CMD_REQ_NOTIFY_CQ);
	urxe_link_add(dev, ndev);
	err = ib_register_device(&dev->ibdev, name, NULL);
	if (err)
		ib_dealloc_device(&dev->ibdev);
	return err == -ENFILE ? -EEXIST : err;
}

/* Once the link is made its namespace waits for it, and until then for us. */
int urxe_dev_create(const char *name, struct net_device *ndev)
{
	struct net *net;
	int err;

	rcu_read_lock();
	net = maybe_get_net(dev_net(ndev));
	rcu_read_unlock();
	if (!net)
		return -ENODEV;
	err = create_in(net, name, ndev);
	put_net(net);
	return err;
}
