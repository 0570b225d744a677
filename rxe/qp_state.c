// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Modify and query: the states of a QP and its attributes.
 *
 * A change stops both sides first. So neither ever sees half of one, and the
 * attributes need no lock on the data path.
 */
#include <linux/log2.h>

#include "comp.h"
#include "hdr.h"
#include "qp.h"
#include "retry.h"
#include "trace.h"

static bool mtu_ok(enum ib_mtu mtu)
{
	return mtu >= IB_MTU_256 && mtu <= IB_MTU_4096;
}

static bool numbers_ok(const struct ib_qp_attr *attr, int mask)
{
	if ((mask & IB_QP_TIMEOUT) && attr->timeout > 31)
		return false;
	if ((mask & IB_QP_RETRY_CNT) && attr->retry_cnt > 7)
		return false;
	if ((mask & IB_QP_RNR_RETRY) && attr->rnr_retry > 7)
		return false;
	if ((mask & IB_QP_MIN_RNR_TIMER) && attr->min_rnr_timer > 31)
		return false;
	if ((mask & IB_QP_MAX_QP_RD_ATOMIC) &&
	    attr->max_rd_atomic > URXE_MAX_RD_ATOMIC)
		return false;
	return !(mask & IB_QP_MAX_DEST_RD_ATOMIC) ||
	       attr->max_dest_rd_atomic <= URXE_MAX_RD_ATOMIC;
}

static int check_attr(const struct urxe_qp *qp, const struct ib_qp_attr *attr,
		      int mask, struct urxe_av *av)
{
	if (mask & ~IB_QP_ATTR_STANDARD_BITS)
		return -EOPNOTSUPP;
	if ((mask & IB_QP_CUR_STATE) && attr->cur_qp_state != qp->state)
		return -EINVAL;
	if ((mask & IB_QP_PORT) && attr->port_num != 1)
		return -EINVAL;
	if ((mask & IB_QP_PKEY_INDEX) &&
	    attr->pkey_index >= URXE_PKEY_TBL_LEN)
		return -EINVAL;
	if (mask & (IB_QP_ALT_PATH | IB_QP_CAP))
		return -EOPNOTSUPP;
	/* There is one path, and so nothing to migrate to. */
	if ((mask & IB_QP_PATH_MIG_STATE) &&
	    attr->path_mig_state != IB_MIG_MIGRATED)
		return -EINVAL;
	if ((mask & IB_QP_PATH_MTU) && !mtu_ok(attr->path_mtu))
		return -EINVAL;
	if (!numbers_ok(attr, mask))
		return -EINVAL;
	return mask & IB_QP_AV ? urxe_av_init(av, &attr->ah_attr) : 0;
}

/* The last @num of what there is to answer again, the oldest first. */
static void copy_resources(struct urxe_rd_res *to, const struct urxe_resp *from,
			   u32 num)
{
	u32 i, at = from->next_res + from->num_res - num;

	for (i = 0; i < num; i++)
		to[i] = from->res[(at + i) % from->num_res];
}

/*
 * Room to answer so many READs and atomics again; or a power of two, which is what
 * some NICs take as a requester's limit. May sleep.
 */
static int set_resources(struct urxe_qp *qp, u32 num)
{
	struct urxe_rd_res *res = NULL;
	u32 kept;

	if (num) {
		num = roundup_pow_of_two(num);
		res = kcalloc(num, sizeof(*res), GFP_KERNEL_ACCOUNT);
		if (!res)
			return -ENOMEM;
	}
	kept = min(num, qp->resp.num_res);
	copy_resources(res, &qp->resp, kept);
	kfree(qp->resp.res);
	qp->resp.res = res;
	qp->resp.num_res = num;
	qp->resp.next_res = num ? kept % num : 0;
	return 0;
}

static void set_sq_psn(struct urxe_qp *qp, u32 psn)
{
	struct urxe_req *req = &qp->req;

	psn &= URXE_PSN_MASK;
	req->psn = psn;
	req->send_psn = psn;
	req->max_psn = psn;
	req->una_psn = psn;
}

/* What the bits say, taken over; the caller has checked it. */
static void set_connection(struct urxe_qp *qp, const struct ib_qp_attr *attr,
			   int mask)
{
	if (mask & IB_QP_DEST_QPN)
		qp->attr.dest_qp_num = attr->dest_qp_num & BTH_24BITS;
	if (mask & IB_QP_PATH_MTU) {
		qp->attr.path_mtu = attr->path_mtu;
		qp->mtu = ib_mtu_enum_to_int(attr->path_mtu);
	}
	if (mask & IB_QP_SQ_PSN) {
		qp->attr.sq_psn = attr->sq_psn & URXE_PSN_MASK;
		set_sq_psn(qp, attr->sq_psn);
	}
	if (mask & IB_QP_RQ_PSN) {
		qp->resp.psn = attr->rq_psn & URXE_PSN_MASK;
		qp->resp.ack_psn = qp->resp.psn;
	}
	if (mask & IB_QP_MAX_QP_RD_ATOMIC)
		qp->attr.max_rd_atomic = attr->max_rd_atomic;
	if (mask & IB_QP_MAX_DEST_RD_ATOMIC)
		qp->attr.max_dest_rd_atomic = attr->max_dest_rd_atomic;
}

static void set_behaviour(struct urxe_qp *qp, const struct ib_qp_attr *attr,
			  int mask)
{
	if (mask & IB_QP_ACCESS_FLAGS)
		qp->attr.qp_access_flags = attr->qp_access_flags;
	if (mask & IB_QP_QKEY)
		qp->attr.qkey = attr->qkey;
	if (mask & IB_QP_PKEY_INDEX)
		qp->attr.pkey_index = attr->pkey_index;
	if (mask & IB_QP_PORT)
		qp->attr.port_num = attr->port_num;
	/* Is of one change to SQD, and not of the next. */
	if ((mask & IB_QP_STATE) && attr->qp_state != qp->state)
		qp->attr.en_sqd_async_notify = false;
	if (mask & IB_QP_EN_SQD_ASYNC_NOTIFY)
		qp->attr.en_sqd_async_notify = attr->en_sqd_async_notify;
	if (mask & IB_QP_TIMEOUT) {
		qp->attr.timeout = attr->timeout;
		urxe_req_restart_timer(qp);
	}
	if (mask & IB_QP_RETRY_CNT)
		qp->attr.retry_cnt = attr->retry_cnt;
	if (mask & IB_QP_RNR_RETRY)
		qp->attr.rnr_retry = attr->rnr_retry;
	if (mask & IB_QP_MIN_RNR_TIMER)
		qp->attr.min_rnr_timer = attr->min_rnr_timer;
}

static void set_av(struct urxe_qp *qp, const struct ib_qp_attr *attr,
		   const struct urxe_av *av)
{
	qp->attr.ah_attr = attr->ah_attr;
	/* The core holds the GID for as long as we use it. */
	qp->attr.ah_attr.grh.sgid_attr = NULL;
	urxe_path_set(&qp->path, av, qp->ibqp.qp_num, qp->attr.dest_qp_num);
}

static void reset(struct urxe_qp *qp)
{
	WRITE_ONCE(qp->life, qp->life + 1);
	urxe_req_reset(qp);
	urxe_resp_reset(qp);
	memset(&qp->attr, 0, sizeof(qp->attr));
}

static void set_state(struct urxe_qp *qp, enum ib_qp_state state)
{
	unsigned long flags;

	/* What failed had PSNs, of which not all were used. */
	if (qp->state == IB_QPS_SQE && state == IB_QPS_RTS)
		set_sq_psn(qp, qp->req.psn);
	/* What has been posted already was too early, and refused. */
	if (qp->state < IB_QPS_RTS)
		urxe_sq_reset(&qp->sq);
	if (state == IB_QPS_SQD && qp->state != state)
		qp->req.drained = false;
	spin_lock_irqsave(&qp->state_lock, flags);
	trace_urxe_qp_state(qp, state);
	WRITE_ONCE(qp->state, state);
	spin_unlock_irqrestore(&qp->state_lock, flags);
	if (state == IB_QPS_RESET)
		reset(qp);
	if (state == IB_QPS_RTS) {
		qp->req.retries = qp->attr.retry_cnt;
		qp->req.rnr_retries = qp->attr.rnr_retry;
	}
}

/* Both sides are stopped: nobody looks. */
static int apply(struct urxe_qp *qp, const struct ib_qp_attr *attr, int mask)
{
	struct urxe_av av;
	int err;

	/* The step that does this may have been kept from it by our stop. */
	if (qp->state == IB_QPS_SQE)
		urxe_flush_sq(qp);
	if (!ib_modify_qp_is_ok(qp->state,
				mask & IB_QP_STATE ? attr->qp_state : qp->state,
				qp->ibqp.qp_type, mask))
		return -EINVAL;
	err = check_attr(qp, attr, mask, &av);
	if (err)
		return err;
	if (mask & IB_QP_MAX_DEST_RD_ATOMIC) {
		err = set_resources(qp, attr->max_dest_rd_atomic);
		if (err)
			return err;
	}
	set_connection(qp, attr, mask);
	set_behaviour(qp, attr, mask);
	if (mask & IB_QP_AV)
		set_av(qp, attr, &av);
	if (mask & IB_QP_STATE)
		set_state(qp, attr->qp_state);
	return 0;
}

int urxe_modify_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		   struct ib_udata *udata)
{
	struct urxe_qp *qp = to_uqp(ibqp);
	int err;

	mutex_lock(&qp->mutex);
	urxe_runner_stop(&qp->sq_runner);
	urxe_runner_stop(&qp->rq_runner);
	err = apply(qp, attr, mask);
	urxe_runner_start(&qp->rq_runner);
	urxe_runner_start(&qp->sq_runner);
	mutex_unlock(&qp->mutex);
	return err;
}

int urxe_query_qp(struct ib_qp *ibqp, struct ib_qp_attr *attr, int mask,
		  struct ib_qp_init_attr *init_attr)
{
	struct urxe_qp *qp = to_uqp(ibqp);

	mutex_lock(&qp->mutex);
	*attr = qp->attr;
	attr->qp_state = qp_state(qp);
	attr->cur_qp_state = attr->qp_state;
	attr->sq_psn = READ_ONCE(qp->req.psn);
	attr->rq_psn = READ_ONCE(qp->resp.psn);
	attr->cap = qp->cap;
	attr->sq_draining = attr->qp_state == IB_QPS_SQD &&
			    !READ_ONCE(qp->req.drained);
	mutex_unlock(&qp->mutex);
	*init_attr = (struct ib_qp_init_attr){
		.event_handler = ibqp->event_handler,
		.qp_context = ibqp->qp_context,
		.send_cq = ibqp->send_cq,
		.recv_cq = ibqp->recv_cq,
		.srq = ibqp->srq,
		.cap = qp->cap,
		.sq_sig_type = qp->sq_sig_all ? IB_SIGNAL_ALL_WR :
						IB_SIGNAL_REQ_WR,
		.qp_type = ibqp->qp_type,
		.port_num = attr->port_num,
	};
	return 0;
}
