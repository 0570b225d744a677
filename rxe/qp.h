/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Queue pairs.
 *
 * A QP has two sides, each one state machine behind one runner:
 *	SQ side		requester (req.c, send.c, retry.c) and completer (comp.c)
 *	RQ side		responder (resp.c)
 * The fields of a side are guarded by its runner's token. What both sides read
 * (attributes, path, MTU) is changed only while both runners are stopped.
 */
#ifndef URXE_QP_H
#define URXE_QP_H

#include <linux/hrtimer.h>
#include <linux/skbuff.h>
#include <linux/timer.h>

#include "cq.h"
#include "doorbell.h"
#include "handle.h"
#include "path.h"
#include "psn.h"
#include "rate.h"
#include "rq.h"
#include "runner.h"
#include "wqe.h"

/* What a timer, or the other side, has to tell the SQ side. */
enum urxe_sq_event {
	SQ_EV_TIMEOUT,		/* the response is overdue */
	SQ_EV_RNR_OVER,		/* the receiver has had the time it asked for */
	SQ_EV_REFUSED,		/* a receiver on this host wants the bytes */
};

/**
 * struct urxe_req - requester and completer
 * @psn: next PSN to give to a WQE
 * @send_psn: next PSN to put on the wire: less than @psn after a rewind
 * @max_psn: next PSN that never was on the wire
 * @una_psn: oldest PSN that is not acknowledged
 * @rd_atomic: READs and atomics on the wire, and not answered
 * @since_ack: packets since the last that asked for an acknowledgment
 * @rate: how much may be on the wire unacknowledged
 * @retries: time-outs and NAKs left before we give up
 * @rnr_retries: RNR NAKs left before we give up; 7 stays 7
 * @timeouts: time-outs since the peer last got further
 * @rewound: gone back once for the gap at @una_psn; not again until it moves
 * @probe: after a time-out: one packet, and wait; see urxe_req_progress()
 * @probe_end: where its PSNs end
 * @alive_psn: @una_psn when we took what is on the wire for alive
 * @by_value: packets that are to carry their bytes before one refers to them again
 * @rnr_wait: holding still until the RNR timer fires
 * @drained: told the consumer so, in SQD
 * @deadline: when @timer means a time-out; jiffies
 * @timer: retransmission; re-arms itself until @deadline
 * @rnr_timer: see @rnr_wait
 * @events: enum urxe_sq_event bits, set from timers
 * @pkts: responses that arrived
 */
struct urxe_req {
	u32			psn;
	u32			send_psn;
	u32			max_psn;
	u32			una_psn;
	u32			rd_atomic;
	u32			since_ack;
	u32			probe_end;
	u32			alive_psn;
	struct urxe_rate	rate;
	u32			by_value;
	u8			retries;
	u8			rnr_retries;
	u8			timeouts;
	bool			rewound;
	bool			probe;
	bool			rnr_wait;
	bool			drained;
	unsigned long		deadline;
	struct timer_list	timer;
	struct hrtimer		rnr_timer;
	unsigned long		events;
	struct sk_buff_head	pkts;
};

/**
 * struct urxe_rd_res - a READ or atomic that was answered and can be again
 * @traits: OP_READ, OP_ATOMIC ...; 0 when unused
 * @first_psn: of the request, and of its first response
 * @packets: PSNs that the responses take
 * @rkey: READ: what was read
 * @va: likewise
 * @len: likewise
 * @orig: atomic: the answer
 */
struct urxe_rd_res {
	u32	traits;
	u32	first_psn;
	u32	packets;
	u32	rkey;
	u64	va;
	u32	len;
	u64	orig;
};

/**
 * struct urxe_read - READ responses being sent
 * @active: there are some left
 * @first: the next one opens a run of responses
 * @again: they have been sent before
 * @psn: of the next one
 * @rkey: where the bytes come from
 * @va: likewise
 * @resid: bytes left; 0 with @active for a READ of nothing
 * @unsent: responses before that one that are made and not sent yet
 */
struct urxe_read {
	bool	active;
	bool	first;
	bool	again;
	u32	psn;
	u32	rkey;
	u64	va;
	u32	resid;
	u32	unsent;
};

/**
 * struct urxe_resp - responder
 * @psn: expected next
 * @msn: messages completed, 24 bits
 * @in_msg: OP_SEND or OP_WRITE while between first and last packet, else 0
 * @nak_sent: the gap at @psn has been reported
 * @comm_est: told the consumer that the peer is there
 * @ack_due: an acknowledgment is owed
 * @unacked: packets since the last one sent
 * @va: RDMA WRITE: where the next byte goes
 * @rkey: likewise
 * @resid: RDMA WRITE: bytes to come
 * @length: bytes of the message so far
 * @have_rqe: @rqe is in use
 * @last_wqe: in error, with an SRQ: told the consumer that we take no more of it
 * @rqe: the receive work request of the message
 * @read: READ responses under way
 * @res: ring of answered READs and atomics
 * @num_res: entries there
 * @next_res: the oldest, to be used next
 * @refused: the requester, on this host, wants the bytes of the READ under way; bit
 *	     0, set from its side
 * @slow_seen: of @pkts, looked at for repeated requests; see slow.c
 * @flush_timer: in error: when to look for receive requests again
 * @flush_wait: jiffies from the last look to that one
 * @pkts: requests that arrived
 */
struct urxe_resp {
	u32			psn;
	u32			msn;
	u32			in_msg;
	bool			nak_sent;
	bool			comm_est;
	bool			ack_due;
	u32			unacked;
	u64			va;
	u32			rkey;
	u32			resid;
	u32			length;
	bool			have_rqe;
	bool			last_wqe;
	struct urxe_rqe		rqe;
	struct urxe_read	read;
	struct urxe_rd_res	*res;
	u32			num_res;
	u32			next_res;
	unsigned long		refused;
	u32			slow_seen;
	struct timer_list	flush_timer;
	unsigned long		flush_wait;
	struct sk_buff_head	pkts;
};

/**
 * struct urxe_qp - a queue pair
 * @ibqp: the core's part
 * @dev: the link
 * @handle: what packets and skbs hold
 * @ref: the creator's, and one for each packet on its way to a queue
 * @gone: completed when @ref falls to 0
 * @mutex: one modify, query or destroy at a time
 * @service: OP_RC, OP_UC, OP_UD
 * @opcodes: OPC_RC, OPC_UC, OPC_UD: where the service's opcodes begin
 * @sq_sig_all: every send completes with a CQE
 * @state_lock: guards changes of @state; read by READ_ONCE anywhere
 * @state: the only copy of the QP's state
 * @attr: what modify set; see above for who may read it when
 * @cap: what create gave
 * @mtu: payload bytes of a full packet
 * @cnp_time: when the peer was last told of congestion; both sides write it
 * @path: to the peer; of UD: to where the last packet went, SQ side
 * @sq: send queue, SQ side
 * @rq: receive queue; without a ring when there is an SRQ
 * @doorbell: when what is posted is sent
 * @req: SQ side
 * @resp: RQ side
 * @sq_runner: token of the SQ side
 * @rq_runner: token of the RQ side
 */
struct urxe_qp {
	struct ib_qp		ibqp;
	struct urxe_dev		*dev;
	struct urxe_handle	*handle;
	refcount_t		ref;
	struct completion	gone;
	struct mutex		mutex;
	u32			service;
	u8			opcodes;
	bool			sq_sig_all;
	spinlock_t		state_lock;
	enum ib_qp_state	state;
	struct ib_qp_attr	attr;
	struct ib_qp_cap	cap;
	u32			mtu;
	struct urxe_path	path;
	ktime_t			cnp_time;
	struct urxe_sq		sq;
	struct urxe_rq		rq;
	struct urxe_doorbell	doorbell;
	struct urxe_req		req;
	struct urxe_resp	resp;
	struct urxe_runner	sq_runner;
	struct urxe_runner	rq_runner;
};

static inline struct urxe_qp *to_uqp(struct ib_qp *ibqp)
{
	return container_of(ibqp, struct urxe_qp, ibqp);
}

static inline bool qp_is_user(const struct urxe_qp *qp)
{
	return qp->ibqp.uobject;
}

/* Whose keys the receive work requests of @qp use. */
static inline struct ib_pd *qp_recv_pd(const struct urxe_qp *qp)
{
	return qp->ibqp.srq ? qp->ibqp.srq->pd : qp->ibqp.pd;
}

static inline enum ib_qp_state qp_state(const struct urxe_qp *qp)
{
	return READ_ONCE(qp->state);
}

void urxe_qp_put(struct urxe_qp *qp);

/**
 * urxe_qp_error - the QP can't go on
 * @qp: in RTR, RTS, SQD or SQE, else nothing happens
 * @event: what the consumer is told, or -1 for nothing
 *
 * Both sides flush what they have. Any context, either token or none held.
 */
void urxe_qp_error(struct urxe_qp *qp, int event);

/**
 * urxe_qp_sq_error - a send work request has failed
 * @qp: the QP
 *
 * An RC QP is in error as a whole. With the other services nobody waits for what
 * is not sent: the send queue flushes what it has, until it is modified to RTS,
 * and receiving goes on (IBTA 10.3.1.6). SQ side's token held.
 */
void urxe_qp_sq_error(struct urxe_qp *qp);

/* Tell the consumer of an asynchronous event. Any context. */
void urxe_qp_event(struct urxe_qp *qp, enum ib_event_type event);

/* Leave one side of the QP to a stream worker. Context: any. */
void urxe_qp_stream(struct urxe_qp *qp, struct urxe_runner *runner);

/* What came for a QP in a state that takes nothing. */
void urxe_qp_drop(struct urxe_qp *qp, struct sk_buff_head *pkts);

/* Packets that @length bytes take; a message of nothing takes one. */
static inline u32 qp_packets(const struct urxe_qp *qp, u32 length)
{
	return length ? DIV_ROUND_UP(length, qp->mtu) : 1;
}

/* qp_state.c */
int urxe_modify_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		   struct ib_udata *udata);
int urxe_query_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		  struct ib_qp_init_attr *init_attr);

/* qp.c */
int urxe_create_qp(struct ib_qp *ibqp, struct ib_qp_init_attr *init_attr,
		   struct ib_udata *udata);
int urxe_destroy_qp(struct ib_qp *ibqp, struct ib_udata *udata);
int urxe_post_send(struct ib_qp *ibqp, const struct ib_send_wr *wr,
		   const struct ib_send_wr **bad_wr);
int urxe_post_recv(struct ib_qp *ibqp, const struct ib_recv_wr *wr,
		   const struct ib_recv_wr **bad_wr);

/* req.c: the step of the SQ side */
enum urxe_step urxe_sq_step(struct urxe_runner *runner, struct urxe_ctx *ctx);
void urxe_req_init(struct urxe_qp *qp);
void urxe_req_reset(struct urxe_qp *qp);

/* resp.c: the step of the RQ side */
enum urxe_step urxe_rq_step(struct urxe_runner *runner, struct urxe_ctx *ctx);
void urxe_resp_init(struct urxe_qp *qp);

/*
 * Ask the peer to wait with what is being done and all behind it, as long as an RNR
 * timer code says. Timer context, while the worker that has the token waits.
 */
void urxe_resp_send_rnr(struct urxe_qp *qp, u8 code);
void urxe_resp_reset(struct urxe_qp *qp);

#endif /* URXE_QP_H */
