/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Queue pairs.
 *
 * A QP has two sides, each one state machine behind one runner:
 *	SQ side		requester and completer (req.h)
 *	RQ side		responder (resp.h)
 * The fields of a side are guarded by its runner's token. What both sides read
 * (attributes, path, MTU) is changed only while both runners are stopped.
 */
#ifndef URXE_QP_H
#define URXE_QP_H

#include <linux/skbuff.h>

#include "cq.h"
#include "doorbell.h"
#include "handle.h"
#include "icrc.h"
#include "path.h"
#include "req.h"
#include "resp.h"
#include "rq.h"
#include "runner.h"
#include "wqe.h"

/**
 * struct urxe_qp - a queue pair
 * @ibqp: the core's part
 * @dev: the link
 * @handle: what packets and skbs hold
 * @ref: the creator's, and one for each packet on its way to a queue
 * @gone: completed when @ref falls to 0
 * @mutex: one modify or query at a time; the core keeps destroy apart
 * @service: OP_RC, OP_UC, OP_UD
 * @opcodes: OPC_RC, OPC_UC, OPC_UD: where the service's opcodes begin
 * @sq_sig_all: every send completes with a CQE
 * @state_lock: guards changes of @state; read by READ_ONCE anywhere
 * @state: the only copy of the QP's state
 * @life: times that it has been reset
 * @attr: what modify set; see above for who may read it when
 * @cap: what create gave
 * @mtu: payload bytes of a full packet
 * @cnp_time: when the peer was last told of congestion; both sides write it
 * @path: to the peer; of UD: to where the last packet went, SQ side
 * @tx_memo: of what each side has sent last; its own
 * @rx_memo: likewise of what it has got
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
	u32			life;
	struct ib_qp_attr	attr;
	struct ib_qp_cap	cap;
	u32			mtu;
	struct urxe_path	path;
	struct urxe_icrc_memo	tx_memo[URXE_SIDES];
	struct urxe_icrc_memo	rx_memo[URXE_SIDES];
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

/* Leave one side of the QP to a stream worker, @away from here. Context: any. */
void urxe_qp_stream(struct urxe_qp *qp, struct urxe_runner *runner, bool away);

/* What came for a QP in a state that takes nothing. */
void urxe_qp_drop(struct urxe_qp *qp, struct urxe_inbox *inbox);

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

#endif /* URXE_QP_H */
