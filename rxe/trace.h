/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Tracepoints, one for each thing that a QP's history is made of. Look at them
 * with `trace-cmd record -e urxe` or below /sys/kernel/tracing/events/urxe.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM urxe

#if !defined(URXE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define URXE_TRACE_H

#include <linux/tracepoint.h>

#include "counters.h"
#include "qp.h"

#define show_qp_state(state)						\
	__print_symbolic(state,						\
			 { IB_QPS_RESET, "RESET" }, { IB_QPS_INIT, "INIT" }, \
			 { IB_QPS_RTR, "RTR" }, { IB_QPS_RTS, "RTS" },	\
			 { IB_QPS_SQD, "SQD" }, { IB_QPS_SQE, "SQE" },	\
			 { IB_QPS_ERR, "ERR" })

#define show_retry(cause)						\
	__print_symbolic(cause,						\
			 { URXE_CNT_RETRY_TIMEOUT, "timeout" },		\
			 { URXE_CNT_RETRY_NAK, "nak" },			\
			 { URXE_CNT_RETRY_IMPLIED, "implied" },		\
			 { URXE_CNT_RETRY_RNR, "rnr" })

/* A QP goes from one state to another. */
TRACE_EVENT(urxe_qp_state,
	TP_PROTO(const struct urxe_qp *qp, enum ib_qp_state to),
	TP_ARGS(qp, to),
	TP_STRUCT__entry(
		__field(u32, qpn)
		__field(int, from)
		__field(int, to)
	),
	TP_fast_assign(
		__entry->qpn = qp->ibqp.qp_num;
		__entry->from = qp->state;
		__entry->to = to;
	),
	TP_printk("qpn=0x%06x %s -> %s", __entry->qpn,
		  show_qp_state(__entry->from), show_qp_state(__entry->to))
);

/* A batch of packets leaves. */
TRACE_EVENT(urxe_tx,
	TP_PROTO(const struct urxe_qp *qp, u32 packets, u32 bytes),
	TP_ARGS(qp, packets, bytes),
	TP_STRUCT__entry(
		__field(u32, qpn)
		__field(u32, packets)
		__field(u32, bytes)
	),
	TP_fast_assign(
		__entry->qpn = qp->ibqp.qp_num;
		__entry->packets = packets;
		__entry->bytes = bytes;
	),
	TP_printk("qpn=0x%06x packets=%u bytes=%u", __entry->qpn,
		  __entry->packets, __entry->bytes)
);

/* Packets have arrived for one side of a QP. */
TRACE_EVENT(urxe_rx,
	TP_PROTO(const struct urxe_qp *qp, bool request, u32 bytes),
	TP_ARGS(qp, request, bytes),
	TP_STRUCT__entry(
		__field(u32, qpn)
		__field(bool, request)
		__field(u32, bytes)
	),
	TP_fast_assign(
		__entry->qpn = qp->ibqp.qp_num;
		__entry->request = request;
		__entry->bytes = bytes;
	),
	TP_printk("qpn=0x%06x %s bytes=%u", __entry->qpn,
		  __entry->request ? "requests" : "responses", __entry->bytes)
);

/* The requester goes back to the oldest PSN that is not acknowledged. */
TRACE_EVENT(urxe_retry,
	TP_PROTO(const struct urxe_qp *qp, int cause),
	TP_ARGS(qp, cause),
	TP_STRUCT__entry(
		__field(u32, qpn)
		__field(int, cause)
		__field(u32, una_psn)
		__field(u32, max_psn)
		__field(u8, retries)
	),
	TP_fast_assign(
		__entry->qpn = qp->ibqp.qp_num;
		__entry->cause = cause;
		__entry->una_psn = qp->req.una_psn;
		__entry->max_psn = qp->req.max_psn;
		__entry->retries = qp->req.retries;
	),
	TP_printk("qpn=0x%06x cause=%s una_psn=%u max_psn=%u retries=%u",
		  __entry->qpn, show_retry(__entry->cause), __entry->una_psn,
		  __entry->max_psn, __entry->retries)
);

/* A completion is put into a queue. */
TRACE_EVENT(urxe_cqe,
	TP_PROTO(const struct ib_wc *wc),
	TP_ARGS(wc),
	TP_STRUCT__entry(
		__field(u64, wr_id)
		__field(u32, qpn)
		__field(int, status)
		__field(int, opcode)
		__field(u32, byte_len)
	),
	TP_fast_assign(
		__entry->wr_id = wc->wr_id;
		__entry->qpn = wc->qp->qp_num;
		__entry->status = wc->status;
		__entry->opcode = wc->opcode;
		__entry->byte_len = wc->byte_len;
	),
	TP_printk("qpn=0x%06x wr_id=%llu status=%d opcode=%d byte_len=%u",
		  __entry->qpn, __entry->wr_id, __entry->status,
		  __entry->opcode, __entry->byte_len)
);

#endif /* URXE_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
