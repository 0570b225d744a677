/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Counters of a link, per CPU: `rdma statistic show link` sums them up.
 * A new counter is one line here, in enum order, with its name in counters.c.
 */
#ifndef URXE_COUNTERS_H
#define URXE_COUNTERS_H

#include <linux/percpu.h>

#include "urxe.h"

enum urxe_counter {
	URXE_CNT_TX_PKTS,
	URXE_CNT_TX_BYTES,
	URXE_CNT_RX_PKTS,
	URXE_CNT_RX_BYTES,
	URXE_CNT_TX_MCAST,		/* packets, which are counted above too */
	URXE_CNT_RX_MCAST,
	URXE_CNT_TX_BATCHES,		/* skbs given to the stack */
	URXE_CNT_RX_BATCHES,
	URXE_CNT_RETRY_TIMEOUT,		/* retransmissions by cause */
	URXE_CNT_RETRY_NAK,
	URXE_CNT_RETRY_IMPLIED,		/* a response went missing */
	URXE_CNT_RETRY_RNR,
	URXE_CNT_RETRY_BURST,		/* what was sent again was lost again */
	URXE_CNT_RETRY_EXCEEDED,
	URXE_CNT_RNR_EXCEEDED,
	URXE_CNT_TX_ACK,
	URXE_CNT_TX_RNR_NAK,
	URXE_CNT_TX_SEQ_NAK,
	URXE_CNT_TX_ERR_NAK,
	URXE_CNT_RX_ACK,
	URXE_CNT_RX_RNR_NAK,
	URXE_CNT_RX_SEQ_NAK,
	URXE_CNT_RX_ERR_NAK,
	URXE_CNT_TX_CNP,		/* congestion notifications */
	URXE_CNT_RX_CNP,
	URXE_CNT_RX_DUPLICATE,
	URXE_CNT_RX_EARLY,		/* kept until what is before it came */
	URXE_CNT_WORKER,		/* -EAGAIN: handed to the worker */
	URXE_CNT_STREAM,		/* much at once: left to a stream worker */
	URXE_CNT_INPLACE,		/* payload moved where it was met */
	URXE_CNT_BY_WORKER,		/* by a worker, ready to wait for a page */
	URXE_CNT_REFUSED,		/* same host: sent again with its bytes */
	URXE_CNT_CQE,
	URXE_CNT_CQ_EVENT,
	URXE_CNT_SEND_ERR,		/* packets that the stack would not take */
	URXE_CNT_DROP_ICRC,		/* drops, by reason */
	URXE_CNT_DROP_MALFORMED,
	URXE_CNT_DROP_NO_QP,
	URXE_CNT_DROP_WRONG_PEER,
	URXE_CNT_DROP_STATE,
	URXE_CNT_DROP_PKEY,
	URXE_CNT_DROP_QKEY,
	URXE_CNT_DROP_NO_RQE,
	URXE_CNT_DROP_SEQUENCE,		/* UC: of a message that lost another */
	URXE_CNT_DROP_REFUSED,		/* UC, UD: not allowed, or too long */
	URXE_CNT_DROP_BACKLOG,
	URXE_CNT_DROP_NOMEM,
	URXE_CNT_LINK_DOWNED,		/* the port was active, and is not */
	URXE_NUM_COUNTERS
};

struct urxe_counters {
	u64	v[URXE_NUM_COUNTERS];
};

/* Any context; a torn update is impossible on the 64-bit machines we support. */
static inline void urxe_count_add(struct urxe_dev *dev, enum urxe_counter c,
				  u64 n)
{
	this_cpu_add(dev->counters->v[c], n);
}

static inline void urxe_count(struct urxe_dev *dev, enum urxe_counter c)
{
	urxe_count_add(dev, c, 1);
}

/* A counter's value now. Any context. */
u64 urxe_counter_sum(const struct urxe_dev *dev, enum urxe_counter c);

/* counters.c: hooks for the core */
struct rdma_hw_stats *urxe_alloc_hw_port_stats(struct ib_device *ibdev,
					       u32 port);
int urxe_get_hw_stats(struct ib_device *ibdev, struct rdma_hw_stats *stats,
		      u32 port, int index);

#endif /* URXE_COUNTERS_H */
