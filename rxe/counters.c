// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Counters of a link, for `rdma statistic show link`.
 */
#include "counters.h"

static const struct rdma_stat_desc descs[] = {
	[URXE_CNT_TX_PKTS].name			= "tx_packets",
	[URXE_CNT_TX_BYTES].name		= "tx_bytes",
	[URXE_CNT_RX_PKTS].name			= "rx_packets",
	[URXE_CNT_RX_BYTES].name		= "rx_bytes",
	[URXE_CNT_TX_MCAST].name		= "tx_multicast_packets",
	[URXE_CNT_RX_MCAST].name		= "rx_multicast_packets",
	[URXE_CNT_TX_BATCHES].name		= "tx_batches",
	[URXE_CNT_RX_BATCHES].name		= "rx_batches",
	[URXE_CNT_RETRY_TIMEOUT].name		= "retry_timeout",
	[URXE_CNT_RETRY_NAK].name		= "retry_nak",
	[URXE_CNT_RETRY_IMPLIED].name		= "retry_implied_nak",
	[URXE_CNT_RETRY_RNR].name		= "retry_rnr",
	[URXE_CNT_RETRY_BURST].name		= "retry_lost_again",
	[URXE_CNT_RETRY_EXCEEDED].name		= "retry_exceeded",
	[URXE_CNT_RNR_EXCEEDED].name		= "rnr_retry_exceeded",
	[URXE_CNT_TX_ACK].name			= "tx_ack",
	[URXE_CNT_TX_RNR_NAK].name		= "tx_rnr_nak",
	[URXE_CNT_TX_SEQ_NAK].name		= "tx_seq_nak",
	[URXE_CNT_TX_ERR_NAK].name		= "tx_error_nak",
	[URXE_CNT_RX_ACK].name			= "rx_ack",
	[URXE_CNT_RX_RNR_NAK].name		= "rx_rnr_nak",
	[URXE_CNT_RX_SEQ_NAK].name		= "rx_seq_nak",
	[URXE_CNT_RX_ERR_NAK].name		= "rx_error_nak",
	[URXE_CNT_TX_CNP].name			= "tx_cnp",
	[URXE_CNT_RX_CNP].name			= "rx_cnp",
	[URXE_CNT_RX_DUPLICATE].name		= "rx_duplicate",
	[URXE_CNT_RX_EARLY].name		= "rx_early",
	[URXE_CNT_WORKER].name			= "worker_handover",
	[URXE_CNT_STREAM].name			= "stream_handover",
	[URXE_CNT_INPLACE].name			= "in_place",
	[URXE_CNT_BY_WORKER].name		= "by_worker",
	[URXE_CNT_REFUSED].name			= "reference_refused",
	[URXE_CNT_CQE].name			= "completions",
	[URXE_CNT_CQ_EVENT].name		= "completion_events",
	[URXE_CNT_SEND_ERR].name		= "tx_stack_error",
	[URXE_CNT_DROP_ICRC].name		= "drop_icrc",
	[URXE_CNT_DROP_MALFORMED].name		= "drop_malformed",
	[URXE_CNT_DROP_NO_QP].name		= "drop_no_qp",
	[URXE_CNT_DROP_WRONG_PEER].name		= "drop_wrong_peer",
	[URXE_CNT_DROP_STATE].name		= "drop_qp_state",
	[URXE_CNT_DROP_PKEY].name		= "drop_pkey",
	[URXE_CNT_DROP_QKEY].name		= "drop_qkey",
	[URXE_CNT_DROP_NO_RQE].name		= "drop_no_rqe",
	[URXE_CNT_DROP_SEQUENCE].name		= "drop_sequence",
	[URXE_CNT_DROP_REFUSED].name		= "drop_refused",
	[URXE_CNT_DROP_BACKLOG].name		= "drop_backlog",
	[URXE_CNT_DROP_NOMEM].name		= "drop_no_memory",
	[URXE_CNT_LINK_DOWNED].name		= "link_downed",
};

struct rdma_hw_stats *urxe_alloc_hw_port_stats(struct ib_device *ibdev,
					       u32 port)
{
	BUILD_BUG_ON(ARRAY_SIZE(descs) != URXE_NUM_COUNTERS);
	return rdma_alloc_hw_stats_struct(descs, URXE_NUM_COUNTERS,
					  RDMA_HW_STATS_DEFAULT_LIFESPAN);
}

u64 urxe_counter_sum(const struct urxe_dev *dev, enum urxe_counter c)
{
	u64 total = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		total += READ_ONCE(per_cpu_ptr(dev->counters, cpu)->v[c]);
	return total;
}

int urxe_get_hw_stats(struct ib_device *ibdev, struct rdma_hw_stats *stats,
		      u32 port, int index)
{
	int c;

	if (!port || !stats)
		return -EINVAL;
	for (c = 0; c < URXE_NUM_COUNTERS; c++)
		stats->value[c] = urxe_counter_sum(to_urxe(ibdev), c);
	return URXE_NUM_COUNTERS;
}
