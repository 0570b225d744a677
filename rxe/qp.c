// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Queue pairs: making, posting to, and destroying them.
 *
 * Destroying goes in phases: cut (no packet or skb leads here any more), stop
 * (nobody runs either side, nor will), wait (for packets that were on their way
 * to a queue), flush, free. After the wait nothing outside knows the QP.
 */
#include <linux/mm.h>

#include "counters.h"
#include "opcode.h"
#include "qp.h"
#include "retry.h"
#include "slow.h"
#include "trace.h"

/* What a QP of each type speaks on the wire. */
static const struct {
	u32	service;
	u8	opcodes;
} services[] = {
	[IB_QPT_GSI]	= { OP_UD, OPC_UD },
	[IB_QPT_RC]	= { OP_RC, OPC_RC },
	[IB_QPT_UC]	= { OP_UC, OPC_UC },
	[IB_QPT_UD]	= { OP_UD, OPC_UD },
};

static bool type_ok(enum ib_qp_type type)
{
	return type < ARRAY_SIZE(services) && services[type].service;
}

void urxe_qp_put(struct urxe_qp *qp)
{
	if (refcount_dec_and_test(&qp->ref))
		complete(&qp->gone);
}

static void sq_runner_put(struct urxe_runner *runner)
{
	urxe_qp_put(container_of(runner, struct urxe_qp, sq_runner));
}

static void rq_runner_put(struct urxe_runner *runner)
{
	urxe_qp_put(container_of(runner, struct urxe_qp, rq_runner));
}

/* What is said of a receive queue is not for a QP that uses an SRQ. */
static bool caps_ok(const struct ib_qp_init_attr *init)
{
	const struct ib_qp_cap *cap = &init->cap;

	return cap->max_send_wr <= URXE_MAX_QP_WR &&
	       cap->max_send_sge <= URXE_MAX_SGE &&
	       cap->max_inline_data <= URXE_MAX_INLINE &&
	       (init->srq || (cap->max_recv_wr <= URXE_MAX_QP_WR &&
			      cap->max_recv_sge <= URXE_MAX_SGE));
}

static int check_init_attr(const struct ib_qp_init_attr *init)
{
	if (init->create_flags)
		return -EOPNOTSUPP;
	if (!type_ok(init->qp_type))
		return -EOPNOTSUPP;
	if (!init->send_cq || !init->recv_cq || !caps_ok(init))
		return -EINVAL;
	return 0;
}

static void init_fields(struct urxe_qp *qp, const struct ib_qp_init_attr *init,
			struct workqueue_struct *wq)
{
	qp->dev = to_urxe(qp->ibqp.device);
	qp->service = services[init->qp_type].service;
	qp->opcodes = services[init->qp_type].opcodes;
	qp->mtu = URXE_MAX_MTU;
	qp->sq_sig_all = init->sq_sig_type == IB_SIGNAL_ALL_WR;
	qp->state = IB_QPS_RESET;
	refcount_set(&qp->ref, 1);
	init_completion(&qp->gone);
	mutex_init(&qp->mutex);
	spin_lock_init(&qp->state_lock);
	urxe_runner_init(&qp->sq_runner, URXE_SIDE_SQ, wq, urxe_sq_step,
			 sq_runner_put, NULL);
	urxe_runner_init(&qp->rq_runner, URXE_SIDE_RQ, wq, urxe_rq_step,
			 rq_runner_put,
			 qp->service & OP_RC ? urxe_resp_slow : NULL);
	urxe_req_init(qp);
	urxe_resp_init(qp);
}

/* With an SRQ there is no queue of its own, nor a ring to map. */
static int init_rq(struct urxe_qp *qp, struct ib_qp_cap *cap)
{
	int err;

	if (qp->ibqp.srq) {
		cap->max_recv_wr = 0;
		cap->max_recv_sge = 0;
		return 0;
	}
	err = urxe_rq_init(&qp->rq, cap->max_recv_wr, cap->max_recv_sge);
	if (!err)
		cap->max_recv_wr = qp->rq.max_wr;
	return err;
}

static int init_queues(struct urxe_qp *qp, struct ib_qp_cap *cap)
{
	int err;

	err = urxe_sq_init(&qp->sq, cap, qp_is_user(qp));
	if (err)
		return err;
	err = init_rq(qp, cap);
	if (err)
		urxe_sq_exit(&qp->sq);
	else
		qp->cap = *cap;
	return err;
}

static int publish(struct urxe_qp *qp, struct ib_udata *udata)
{
	struct urxe_ucontext *uuc = urxe_ucontext_of(udata);
	struct rxe_create_qp_resp resp = {};
	int err = 0;

	if (udata->outlen < sizeof(resp))
		return -EINVAL;
	if (qp->rq.ring.buf)
		err = urxe_ring_publish(&qp->rq.ring, &uuc->ibuc,
					&resp.rq_mi);
	if (!err && qp->sq.ring.buf)
		err = urxe_ring_publish(&qp->sq.ring, &uuc->ibuc,
					&resp.sq_mi);
	return err ?: ib_copy_to_udata(udata, &resp, sizeof(resp));
}

int urxe_create_qp(struct ib_qp *ibqp, struct ib_qp_init_attr *init,
		   struct ib_udata *udata)
{
	struct urxe_qp *qp = to_uqp(ibqp);
	int err;

	err = check_init_attr(init);
	if (err)
		return err;
	init_fields(qp, init, urxe_wq_of(to_urxe(ibqp->device),
					 urxe_ucontext_of(udata)));
	err = urxe_path_init(&qp->path);
	if (err)
		return err;
	err = init_queues(qp, &init->cap);
	if (err)
		goto err_path;
	if (udata) {
		err = publish(qp, udata);
		if (err)
			goto err_queues;
	}
	qp->handle = urxe_handle_create(qp, init->qp_type == IB_QPT_GSI);
	if (IS_ERR(qp->handle)) {
		err = PTR_ERR(qp->handle);
		goto err_queues;
	}
	ibqp->qp_num = qp->handle->qpn;
	return 0;

err_queues:
	urxe_rq_exit(&qp->rq);
	urxe_sq_exit(&qp->sq);
err_path:
	urxe_path_exit(&qp->path);
	return err;
}

int urxe_destroy_qp(struct ib_qp *ibqp, struct ib_udata *udata)
{
	struct urxe_qp *qp = to_uqp(ibqp);

	urxe_handle_cut(qp->handle);
	urxe_runner_stop(&qp->sq_runner);
	urxe_runner_stop(&qp->rq_runner);
	urxe_req_stop_timers(qp);
	urxe_qp_put(qp);
	wait_for_completion(&qp->gone);
	urxe_handle_put(qp->handle);
	urxe_req_reset(qp);
	urxe_resp_reset(qp);
	kfree(qp->resp.res);
	urxe_rq_exit(&qp->rq);
	urxe_sq_exit(&qp->sq);
	urxe_path_exit(&qp->path);
	return 0;
}

void urxe_qp_event(struct urxe_qp *qp, enum ib_event_type type)
{
	struct ib_event event = {
		.device = qp->ibqp.device,
		.element.qp = &qp->ibqp,
		.event = type,
	};

	if (qp->ibqp.event_handler)
		qp->ibqp.event_handler(&event, qp->ibqp.qp_context);
}

/* False when the QP is not in one of the states from @first to @last. */
static bool change_state(struct urxe_qp *qp, enum ib_qp_state first,
			 enum ib_qp_state last, enum ib_qp_state to)
{
	unsigned long flags;
	bool changed;

	spin_lock_irqsave(&qp->state_lock, flags);
	changed = qp->state >= first && qp->state <= last;
	if (changed) {
		trace_urxe_qp_state(qp, to);
		WRITE_ONCE(qp->state, to);
	}
	spin_unlock_irqrestore(&qp->state_lock, flags);
	return changed;
}

void urxe_qp_error(struct urxe_qp *qp, int event)
{
	if (!change_state(qp, IB_QPS_RTR, IB_QPS_SQE, IB_QPS_ERR))
		return;
	if (event >= 0)
		urxe_qp_event(qp, event);
	/* Deferred: the caller may hold one of the tokens. */
	urxe_runner_defer(&qp->sq_runner);
	urxe_runner_defer(&qp->rq_runner);
}

void urxe_qp_sq_error(struct urxe_qp *qp)
{
	if (qp->service & OP_RC)
		urxe_qp_error(qp, -1);
	else if (change_state(qp, IB_QPS_RTS, IB_QPS_SQD, IB_QPS_SQE))
		urxe_runner_defer(&qp->sq_runner);
}

void urxe_qp_drop(struct urxe_qp *qp, struct urxe_inbox *inbox)
{
	urxe_count_add(qp->dev, URXE_CNT_DROP_STATE, urxe_inbox_empty(inbox));
}

void urxe_qp_stream(struct urxe_qp *qp, struct urxe_runner *runner, bool away)
{
	if (urxe_runner_stream(runner, away))
		urxe_count(qp->dev, URXE_CNT_STREAM);
}

static bool may_post_send(const struct urxe_qp *qp)
{
	return qp_state(qp) >= IB_QPS_RTS;
}

/*
 * A user QP's requests are in its ring already, and a call without any is the
 * doorbell. Those that are refused are forgotten by the SQ side.
 */
int urxe_post_send(struct ib_qp *ibqp, const struct ib_send_wr *wr,
		   const struct ib_send_wr **bad_wr)
{
	struct urxe_qp *qp = to_uqp(ibqp);
	int err = 0;

	if ((qp_is_user(qp) && wr) || !may_post_send(qp)) {
		*bad_wr = wr;
		if (qp_is_user(qp))
			urxe_runner_kick(&qp->sq_runner);
		return -EINVAL;
	}
	for (; wr && !err; wr = wr->next) {
		err = urxe_sq_push(&qp->sq, wr, qp->service);
		if (err)
			*bad_wr = wr;
	}
	urxe_doorbell_ring(qp);
	return err;
}

int urxe_post_recv(struct ib_qp *ibqp, const struct ib_recv_wr *wr,
		   const struct ib_recv_wr **bad_wr)
{
	struct urxe_qp *qp = to_uqp(ibqp);
	int err;

	if (qp_is_user(qp) || qp_state(qp) == IB_QPS_RESET || ibqp->srq) {
		*bad_wr = wr;
		return -EINVAL;
	}
	err = urxe_rq_push_list(&qp->rq, wr, bad_wr);
	if (qp_state(qp) == IB_QPS_ERR)
		urxe_runner_defer(&qp->rq_runner);
	return err;
}
