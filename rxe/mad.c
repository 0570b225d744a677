// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Management datagrams that the port answers itself: reading the counters of the
 * performance management class (IBTA 16.1). The core turns to this for
 * ports/1/counters in sysfs too. Writing, which would reset them, is refused:
 * they are the link's own, which others read as well.
 */
#include <rdma/ib_pma.h>

#include "counters.h"
#include "mad.h"

/* Of the performance management class (IBTA 16.1.1). */
#define PMA_VERSION	1
/* How long we may take: 4.096 us * 2^this. */
#define RESPONSE_TIME	18
#define ALL_PORTS	0xff

static __be16 get_class_info(struct ib_class_port_info *info)
{
	info->base_version = IB_MGMT_BASE_VERSION;
	info->class_version = PMA_VERSION;
	info->capability_mask = IB_PMA_CLASS_CAP_ALLPORTSELECT |
				IB_PMA_CLASS_CAP_EXT_WIDTH;
	ib_set_cpi_resp_time(info, RESPONSE_TIME);
	return 0;
}

/* The narrow counters stay at their end when they get there. */
static __be32 narrow32(u64 value)
{
	return cpu_to_be32(min_t(u64, value, U32_MAX));
}

static __be16 narrow16(u64 value)
{
	return cpu_to_be16(min_t(u64, value, U16_MAX));
}

/* What the class calls data is counted in words of 32 bits. */
static u64 words(const struct urxe_dev *dev, enum urxe_counter bytes)
{
	return urxe_counter_sum(dev, bytes) / 4;
}

static __be16 get_counters(const struct urxe_dev *dev,
			   struct ib_pma_portcounters *to)
{
	u64 broken = urxe_counter_sum(dev, URXE_CNT_DROP_ICRC) +
		     urxe_counter_sum(dev, URXE_CNT_DROP_MALFORMED);
	u64 refused = urxe_counter_sum(dev, URXE_CNT_DROP_PKEY) +
		      urxe_counter_sum(dev, URXE_CNT_DROP_QKEY);

	to->port_select = 1;
	to->port_rcv_errors = narrow16(broken);
	to->port_rcv_constraint_errors = min_t(u64, refused, U8_MAX);
	to->link_downed_counter =
		min_t(u64, urxe_counter_sum(dev, URXE_CNT_LINK_DOWNED), U8_MAX);
	to->port_xmit_discards =
		narrow16(urxe_counter_sum(dev, URXE_CNT_SEND_ERR));
	to->port_xmit_data = narrow32(words(dev, URXE_CNT_TX_BYTES));
	to->port_rcv_data = narrow32(words(dev, URXE_CNT_RX_BYTES));
	to->port_xmit_packets =
		narrow32(urxe_counter_sum(dev, URXE_CNT_TX_PKTS));
	to->port_rcv_packets =
		narrow32(urxe_counter_sum(dev, URXE_CNT_RX_PKTS));
	return 0;
}

static __be16 get_counters_ext(const struct urxe_dev *dev,
			       struct ib_pma_portcounters_ext *to)
{
	/* In this order: a multicast packet is counted as a packet first. */
	u64 tx_mcast = urxe_counter_sum(dev, URXE_CNT_TX_MCAST);
	u64 rx_mcast = urxe_counter_sum(dev, URXE_CNT_RX_MCAST);
	u64 tx = urxe_counter_sum(dev, URXE_CNT_TX_PKTS);
	u64 rx = urxe_counter_sum(dev, URXE_CNT_RX_PKTS);

	to->port_select = 1;
	to->port_xmit_data = cpu_to_be64(words(dev, URXE_CNT_TX_BYTES));
	to->port_rcv_data = cpu_to_be64(words(dev, URXE_CNT_RX_BYTES));
	to->port_xmit_packets = cpu_to_be64(tx);
	to->port_rcv_packets = cpu_to_be64(rx);
	to->port_unicast_xmit_packets = cpu_to_be64(tx - tx_mcast);
	to->port_unicast_rcv_packets = cpu_to_be64(rx - rx_mcast);
	to->port_multicast_xmit_packets = cpu_to_be64(tx_mcast);
	to->port_multicast_rcv_packets = cpu_to_be64(rx_mcast);
	return 0;
}

/* Return: the status of the answer. */
static __be16 answer(const struct urxe_dev *dev, const struct ib_pma_mad *in,
		     struct ib_pma_mad *out)
{
	const struct ib_pma_portcounters *asked = (const void *)in->data;

	if (in->mad_hdr.class_version != PMA_VERSION)
		return cpu_to_be16(IB_MGMT_MAD_STATUS_BAD_VERSION);
	if (in->mad_hdr.method != IB_MGMT_METHOD_GET)
		return cpu_to_be16(IB_MGMT_MAD_STATUS_UNSUPPORTED_METHOD_ATTRIB);
	if (in->mad_hdr.attr_id == IB_PMA_CLASS_PORT_INFO)
		return get_class_info((void *)out->data);
	/* Both kinds of counters name the port in the same place. */
	if (asked->port_select != 1 && asked->port_select != ALL_PORTS)
		return cpu_to_be16(IB_MGMT_MAD_STATUS_INVALID_ATTRIB_VALUE);
	if (in->mad_hdr.attr_id == IB_PMA_PORT_COUNTERS)
		return get_counters(dev, (void *)out->data);
	if (in->mad_hdr.attr_id == IB_PMA_PORT_COUNTERS_EXT)
		return get_counters_ext(dev, (void *)out->data);
	return cpu_to_be16(IB_MGMT_MAD_STATUS_UNSUPPORTED_METHOD_ATTRIB);
}

/* What is not for us is for the agents of ib_mad. */
int urxe_process_mad(struct ib_device *ibdev, int flags, u32 port,
		     const struct ib_wc *wc, const struct ib_grh *grh,
		     const struct ib_mad *in, struct ib_mad *out,
		     size_t *out_size, u16 *out_pkey_index)
{
	const struct ib_mad_hdr *hdr = &in->mad_hdr;

	if (hdr->mgmt_class != IB_MGMT_CLASS_PERF_MGMT ||
	    (hdr->method != IB_MGMT_METHOD_GET &&
	     hdr->method != IB_MGMT_METHOD_SET))
		return IB_MAD_RESULT_SUCCESS;
	out->mad_hdr = *hdr;
	memset(out->data, 0, sizeof(out->data));
	out->mad_hdr.method = IB_MGMT_METHOD_GET_RESP;
	out->mad_hdr.status = answer(to_urxe(ibdev), (const void *)in,
				     (void *)out);
	return IB_MAD_RESULT_SUCCESS | IB_MAD_RESULT_REPLY;
}
