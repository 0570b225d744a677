// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The one port of a link.
 *
 * About the GID table, which the core fills from the NIC's addresses: its first
 * entry is always the link-local address that the NIC's MAC would make, whether
 * the NIC has that address or not (IPv6 off, stable-privacy addresses, loopback).
 * No hook of ours keeps it out: if add_gid refuses, the core logs an error at
 * each `ip link set up`, and the entry would be missing too where the address is
 * added only after the NIC is up, as it always is. So it stays.
 */
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <rdma/ib_addr.h>
#include <rdma/ib_cache.h>
#include <rdma/ib_mad.h>

#include "counters.h"
#include "port.h"

#define URXE_DEFAULT_SPEED	SPEED_10000

/* Mb/s up to which a width and a lane speed are what we call it. */
static const struct {
	u32	mbps;
	u8	width;
	u16	speed;
} speeds[] = {
	{ SPEED_2500,	IB_WIDTH_1X, IB_SPEED_SDR },
	{ SPEED_5000,	IB_WIDTH_1X, IB_SPEED_DDR },
	{ SPEED_10000,	IB_WIDTH_4X, IB_SPEED_SDR },
	{ SPEED_20000,	IB_WIDTH_4X, IB_SPEED_DDR },
	{ SPEED_25000,	IB_WIDTH_1X, IB_SPEED_EDR },
	{ SPEED_40000,	IB_WIDTH_4X, IB_SPEED_QDR },
	{ SPEED_50000,	IB_WIDTH_1X, IB_SPEED_HDR },
	{ SPEED_56000,	IB_WIDTH_4X, IB_SPEED_FDR },
	{ SPEED_100000,	IB_WIDTH_4X, IB_SPEED_EDR },
	{ SPEED_200000,	IB_WIDTH_4X, IB_SPEED_HDR },
	{ SPEED_400000,	IB_WIDTH_4X, IB_SPEED_NDR },
	{ U32_MAX,	IB_WIDTH_8X, IB_SPEED_NDR },
};

enum ib_port_state urxe_port_state(const struct net_device *ndev)
{
	if (netif_running(ndev) && netif_carrier_ok(ndev) &&
	    iboe_get_mtu(READ_ONCE(ndev->mtu)))
		return IB_PORT_ACTIVE;
	return IB_PORT_DOWN;
}

void urxe_port_update(struct urxe_dev *dev)
{
	enum ib_port_state state = urxe_port_state(dev->nic);
	struct ib_event event = {
		.device = &dev->ibdev,
		.element.port_num = 1,
		.event = state == IB_PORT_ACTIVE ? IB_EVENT_PORT_ACTIVE :
						   IB_EVENT_PORT_ERR,
	};

	/* Before there is anybody to tell, nothing has changed. */
	if (state == dev->port_state || !ib_device_try_get(&dev->ibdev))
		return;
	if (dev->port_state == IB_PORT_ACTIVE)
		urxe_count(dev, URXE_CNT_LINK_DOWNED);
	dev->port_state = state;
	ib_dispatch_event(&event);
	ib_device_put(&dev->ibdev);
}

/*
 * The core follows the addresses of Ethernet devices. Loopback and tunnels it
 * reads once, so we make it read them again. An address that is gone is found by
 * dropping all, which 6.1 has no way to: there it stays until the link is deleted.
 */
void urxe_port_readdress_work(struct work_struct *work)
{
	struct urxe_dev *dev = container_of(work, struct urxe_dev, readdress);

	if (test_and_clear_bit(0, &dev->address_lost))
		compat_del_gids(&dev->ibdev, 1, dev->nic);
	rdma_roce_rescan_device(&dev->ibdev);
	ib_device_put(&dev->ibdev);
}

void urxe_port_readdress(struct urxe_dev *dev)
{
	if (!ib_device_try_get(&dev->ibdev))
		return;
	if (!queue_work(dev->wq, &dev->readdress))
		ib_device_put(&dev->ibdev);
}

void urxe_port_address_lost(struct urxe_dev *dev)
{
	set_bit(0, &dev->address_lost);
	urxe_port_readdress(dev);
}

/* Bridges, tunnels and the like have no speed: say something usual. */
static u32 ndev_mbps(struct net_device *ndev)
{
	struct ethtool_link_ksettings settings = {};
	u32 mbps = SPEED_UNKNOWN;

	rtnl_lock();
	if (ndev->reg_state == NETREG_REGISTERED &&
	    !__ethtool_get_link_ksettings(ndev, &settings))
		mbps = settings.base.speed;
	rtnl_unlock();
	return mbps && mbps != SPEED_UNKNOWN ? mbps : URXE_DEFAULT_SPEED;
}

static void fill_speed(struct ib_port_attr *attr, struct net_device *ndev)
{
	u32 mbps = ndev_mbps(ndev);
	unsigned int i = 0;

	while (mbps > speeds[i].mbps)
		i++;
	attr->active_width = speeds[i].width;
	attr->active_speed = speeds[i].speed;
}

/*
 * The active MTU is what rdma_cm uses as path MTU on such a NIC: the largest
 * whose packets fit with an IPv6 header, UDP, BTH, the longest extended headers
 * and the ICRC, so 1024 on an Ethernet MTU of 1500.
 */
static void fill_netdev(struct ib_port_attr *attr, struct net_device *ndev)
{
	enum ib_mtu mtu = iboe_get_mtu(READ_ONCE(ndev->mtu));

	attr->state = urxe_port_state(ndev);
	attr->active_mtu = mtu ?: IB_MTU_256;
	attr->phys_state = attr->state == IB_PORT_ACTIVE ?
			   IB_PORT_PHYS_STATE_LINK_UP :
			   netif_running(ndev) ?
			   IB_PORT_PHYS_STATE_POLLING :
			   IB_PORT_PHYS_STATE_DISABLED;
	fill_speed(attr, ndev);
}

/* Where the specification has a counter of 16 bits, which stays at its end. */
static u32 violations(const struct urxe_dev *dev, enum urxe_counter c)
{
	return min_t(u64, urxe_counter_sum(dev, c), U16_MAX);
}

int urxe_query_port(struct ib_device *ibdev, u32 port,
		    struct ib_port_attr *attr)
{
	struct urxe_dev *dev = to_urxe(ibdev);
	struct net_device *ndev = urxe_dev_get_netdev(dev);

	attr->max_mtu = IB_MTU_4096;
	attr->gid_tbl_len = URXE_GID_TBL_LEN;
	attr->ip_gids = true;
	attr->port_cap_flags = IB_PORT_CM_SUP;
	attr->max_msg_sz = URXE_MAX_MSG;
	attr->pkey_tbl_len = URXE_PKEY_TBL_LEN;
	attr->max_vl_num = 1;
	attr->bad_pkey_cntr = violations(dev, URXE_CNT_DROP_PKEY);
	attr->qkey_viol_cntr = violations(dev, URXE_CNT_DROP_QKEY);
	attr->state = IB_PORT_DOWN;
	attr->active_mtu = IB_MTU_256;
	attr->active_width = IB_WIDTH_1X;
	attr->active_speed = IB_SPEED_SDR;
	attr->phys_state = IB_PORT_PHYS_STATE_DISABLED;
	if (!ndev)
		return 0;
	fill_netdev(attr, ndev);
	dev_put(ndev);
	return 0;
}

/* In units of 100 Mb/s: the NIC's own number, of which the lanes' is a rounding. */
int urxe_query_port_speed(struct ib_device *ibdev, u32 port, u64 *speed)
{
	struct net_device *ndev = urxe_dev_get_netdev(to_urxe(ibdev));

	if (!ndev)
		return -ENODEV;
	*speed = DIV_ROUND_UP(ndev_mbps(ndev), 100);
	dev_put(ndev);
	return 0;
}

int urxe_query_pkey(struct ib_device *ibdev, u32 port, u16 index, u16 *pkey)
{
	if (index >= URXE_PKEY_TBL_LEN)
		return -EINVAL;
	*pkey = URXE_PKEY;
	return 0;
}

int urxe_get_port_immutable(struct ib_device *ibdev, u32 port,
			    struct ib_port_immutable *immutable)
{
	immutable->gid_tbl_len = URXE_GID_TBL_LEN;
	immutable->pkey_tbl_len = URXE_PKEY_TBL_LEN;
	immutable->core_cap_flags = RDMA_CORE_PORT_IBA_ROCE_UDP_ENCAP;
	immutable->max_mad_size = IB_MGMT_MAD_SIZE;
	return 0;
}

enum rdma_link_layer urxe_get_link_layer(struct ib_device *ibdev, u32 port)
{
	return IB_LINK_LAYER_ETHERNET;
}
