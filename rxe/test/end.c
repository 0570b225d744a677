// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
#include <linux/delay.h>
#include <linux/mm.h>
#include <rdma/ib_cache.h>

#include "end.h"

/* --- making ------------------------------------------------------------- */

static void on_event(struct ib_event *event, void *context)
{
	struct end *end = context;

	set_bit(event->event, &end->events);
}

static void on_send(struct ib_cq *cq, struct ib_wc *wc)
{
	struct end *end = container_of(wc->wr_cqe, struct end, send_cqe);

	end->send_wc = *wc;
	end->send = wc->status;
}

static void on_recv(struct ib_cq *cq, struct ib_wc *wc)
{
	struct end *end = container_of(wc->wr_cqe, struct end, recv_cqe);

	end->recv_wc = *wc;
	end->recv = wc->status;
}

static int make_srq(struct end *end)
{
	struct ib_srq_init_attr init = {
		.event_handler = on_event,
		.srq_context = end,
		.attr = { .max_wr = DEPTH, .max_sge = 1 },
		.srq_type = IB_SRQT_BASIC,
	};

	end->srq = ib_create_srq(end->pd, &init);
	return PTR_ERR_OR_ZERO(end->srq);
}

static int make_qp(struct end *end, enum ib_qp_type type)
{
	struct ib_qp_init_attr init = {
		.event_handler = on_event,
		.qp_context = end,
		.send_cq = end->cq,
		.recv_cq = end->cq,
		.srq = end->srq,
		.cap = { .max_send_wr = DEPTH, .max_recv_wr = DEPTH,
			 .max_send_sge = 2, .max_recv_sge = 1 },
		.qp_type = type,
	};

	end->qp = ib_create_qp(end->pd, &init);
	return PTR_ERR_OR_ZERO(end->qp);
}

static int make_memory(struct end *end)
{
	struct ib_device *ibdev = end->pd->device;

	end->buf = (u8 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, BUF_ORDER);
	if (!end->buf)
		return -ENOMEM;
	end->dma = ib_dma_map_single(ibdev, end->buf, BUF_SIZE,
				     DMA_BIDIRECTIONAL);
	if (ib_dma_mapping_error(ibdev, end->dma))
		return -EIO;
	end->mr = ib_alloc_mr(end->pd, IB_MR_TYPE_MEM_REG,
			      max(BUF_SIZE / 512, 1UL));
	return PTR_ERR_OR_ZERO(end->mr);
}

static int end_open(struct link *link, struct end *end, enum ib_qp_type type,
		    bool srq)
{
	int err;

	memset(end, 0, sizeof(*end));
	end->send_cqe.done = on_send;
	end->recv_cqe.done = on_recv;
	end->pd = ib_alloc_pd(link->ibdev, 0);
	if (IS_ERR(end->pd))
		return PTR_ERR(end->pd);
	end->cq = ib_alloc_cq(link->ibdev, end, 4 * DEPTH, 0, IB_POLL_DIRECT);
	if (IS_ERR(end->cq))
		return PTR_ERR(end->cq);
	err = srq ? make_srq(end) : 0;
	return err ?: make_qp(end, type) ?: make_memory(end);
}

static void end_close(struct end *end)
{
	if (!IS_ERR_OR_NULL(end->qp))
		ib_destroy_qp(end->qp);
	if (!IS_ERR_OR_NULL(end->srq))
		ib_destroy_srq(end->srq);
	if (!IS_ERR_OR_NULL(end->mr))
		ib_dereg_mr(end->mr);
	if (!IS_ERR_OR_NULL(end->cq))
		ib_free_cq(end->cq);
	free_pages((unsigned long)end->buf, BUF_ORDER);
	if (!IS_ERR_OR_NULL(end->pd))
		ib_dealloc_pd(end->pd);
}

/* --- connecting --------------------------------------------------------- */

static int set_way(struct link *link, struct ib_qp_attr *attr)
{
	const struct ib_gid_attr *gid;

	gid = rdma_get_gid_attr(link->ibdev, 1, link->gid_index);
	if (IS_ERR(gid))
		return PTR_ERR(gid);
	attr->ah_attr.type = RDMA_AH_ATTR_TYPE_ROCE;
	rdma_ah_set_port_num(&attr->ah_attr, 1);
	rdma_ah_set_grh(&attr->ah_attr, (union ib_gid *)&gid->gid, 0,
			link->gid_index, 64, 0);
	rdma_put_gid_attr(gid);
	return 0;
}

/* What a reliable connection is told, on its way to RTR and to RTS. */
#define RC_RTR	(IB_QP_MAX_DEST_RD_ATOMIC | IB_QP_MIN_RNR_TIMER)
#define RC_RTS	(IB_QP_TIMEOUT | IB_QP_RETRY_CNT | IB_QP_RNR_RETRY | \
		 IB_QP_MAX_QP_RD_ATOMIC)

static int connect(struct link *link, struct end *end, struct end *peer)
{
	bool rc = end->qp->qp_type == IB_QPT_RC;
	struct ib_qp_attr attr = {
		.qp_state = IB_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IB_ACCESS_REMOTE_WRITE |
				   (rc ? IB_ACCESS_REMOTE_READ : 0),
		.path_mtu = IB_MTU_1024,
		.dest_qp_num = peer->qp->qp_num,
		.max_dest_rd_atomic = 4,
		.max_rd_atomic = 4,
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.min_rnr_timer = 12,
	};
	int err;

	err = ib_modify_qp(end->qp, &attr, IB_QP_STATE | IB_QP_PORT |
			   IB_QP_PKEY_INDEX | IB_QP_ACCESS_FLAGS);
	if (err)
		return err;
	attr.qp_state = IB_QPS_RTR;
	err = set_way(link, &attr) ?:
	      ib_modify_qp(end->qp, &attr, IB_QP_STATE | IB_QP_AV |
			   IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN |
			   (rc ? RC_RTR : 0));
	if (err)
		return err;
	attr.qp_state = IB_QPS_RTS;
	return ib_modify_qp(end->qp, &attr, IB_QP_STATE | IB_QP_SQ_PSN |
			    (rc ? RC_RTS : 0));
}

int ends_open(struct link *link, struct end *a, struct end *b,
	      enum ib_qp_type type, bool srq)
{
	int err;

	memset(b, 0, sizeof(*b));
	err = end_open(link, a, type, false) ?: end_open(link, b, type, srq) ?:
	      connect(link, a, b) ?: connect(link, b, a);
	if (err)
		ends_close(a, b);
	return err;
}

void ends_close(struct end *a, struct end *b)
{
	end_close(a);
	end_close(b);
}

/* --- doing -------------------------------------------------------------- */

static int wait_for(struct end *end, int *status)
{
	int i;

	for (i = 0; *status == NONE && i < 5000; i++) {
		ib_process_cq_direct(end->cq, -1);
		if (*status == NONE)
			usleep_range(500, 1000);
	}
	return *status;
}

int end_do(struct end *end, const struct ib_send_wr *wr)
{
	int err;

	end->send = NONE;
	err = ib_post_send(end->qp, wr, NULL);
	return err ?: wait_for(end, &end->send);
}

int end_receive(struct end *end)
{
	return wait_for(end, &end->recv);
}

int end_post_receive(struct end *end, u32 off, u32 len)
{
	struct ib_sge sge = {
		.addr = end->dma + off,
		.length = len,
		.lkey = end->pd->local_dma_lkey,
	};
	struct ib_recv_wr wr = {
		.wr_cqe = &end->recv_cqe,
		.sg_list = &sge,
		.num_sge = 1,
	};

	end->recv = NONE;
	return end->srq ? ib_post_srq_recv(end->srq, &wr, NULL) :
			  ib_post_recv(end->qp, &wr, NULL);
}

int end_rdma(struct end *end, enum ib_wr_opcode opcode, u32 off, u32 len,
	     u32 rkey, u64 va)
{
	struct ib_sge sge = {
		.addr = end->dma + off,
		.length = len,
		.lkey = end->pd->local_dma_lkey,
	};
	struct ib_rdma_wr wr = {
		.wr = {
			.wr_cqe = &end->send_cqe,
			.opcode = opcode,
			.send_flags = IB_SEND_SIGNALED,
			.sg_list = &sge,
			.num_sge = 1,
		},
		.remote_addr = va,
		.rkey = rkey,
	};

	return end_do(end, &wr.wr);
}

int end_send(struct end *end, u32 len, u32 inv)
{
	struct ib_sge sge = {
		.addr = end->dma,
		.length = len,
		.lkey = end->pd->local_dma_lkey,
	};
	struct ib_send_wr wr = {
		.wr_cqe = &end->send_cqe,
		.opcode = inv ? IB_WR_SEND_WITH_INV : IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
		.ex.invalidate_rkey = inv,
		.sg_list = &sge,
		.num_sge = 1,
	};

	return end_do(end, &wr);
}

/* --- fast registration -------------------------------------------------- */

int end_map(struct end *end, struct scatterlist *sg, int nents, u32 page_size)
{
	ib_update_fast_reg_key(end->mr, ib_inc_rkey(end->mr->rkey));
	return ib_map_mr_sg(end->mr, sg, nents, NULL, page_size);
}

int end_map_buf(struct end *end, u32 off, u32 len, u32 page_size)
{
	struct scatterlist sg;

	sg_init_one(&sg, end->buf + off, len);
	if (ib_dma_map_sg(end->pd->device, &sg, 1, DMA_BIDIRECTIONAL) != 1)
		return -EIO;
	return end_map(end, &sg, 1, page_size);
}

int end_reg(struct end *end, u32 key, int access)
{
	struct ib_reg_wr wr = {
		.wr = {
			.wr_cqe = &end->send_cqe,
			.opcode = IB_WR_REG_MR,
			.send_flags = IB_SEND_SIGNALED,
		},
		.mr = end->mr,
		.key = key,
		.access = access,
	};

	return end_do(end, &wr.wr);
}

int end_inv(struct end *end, u32 key)
{
	struct ib_send_wr wr = {
		.wr_cqe = &end->send_cqe,
		.opcode = IB_WR_LOCAL_INV,
		.send_flags = IB_SEND_SIGNALED,
		.ex.invalidate_rkey = key,
	};

	return end_do(end, &wr);
}
