// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * What `rdma resource show` and `rdma statistic show mr` tell of our objects.
 */
#include <net/netlink.h>
#include <rdma/restrack.h>
#include <umem.h>

#include "cq.h"
#include "mr.h"
#include "qp.h"
#include "restrack.h"
#include "srq.h"

/* Which way the bytes of a region are reached. */
static const char *mr_memory(const struct urxe_mr *mr)
{
	if (mr->type != URXE_MR_USER)
		return "kernel";
	if (mr->umem->dmabuf)
		return "dma-buf";
	return umem_pinned_pages(mr->umem) ? "pinned" : "unpinned";
}

static bool fill_mr(struct sk_buff *msg, const struct urxe_mr *mr)
{
	unsigned long pages = 0;

	if (mr->type == URXE_MR_USER)
		pages = umem_pinned_pages(mr->umem);
	return !rdma_nl_put_driver_string(msg, "memory", mr_memory(mr)) &&
	       !rdma_nl_put_driver_u64(msg, "pinned_pages", pages);
}

static bool fill_cq(struct sk_buff *msg, const struct urxe_cq *cq)
{
	u32 unread = cq->ring.buf ? urxe_ring_unread(&cq->ring) : 0;

	return !rdma_nl_put_driver_u32(msg, "unread", unread) &&
	       !rdma_nl_put_driver_u32(msg, "armed", cq->armed) &&
	       !rdma_nl_put_driver_u32(msg, "overflow", cq->overflow);
}

/*
 * Where the two sides are, as 24-bit PSNs: to tell a QP that waits from one that
 * works. The sides run meanwhile; each number is a snapshot of its own.
 */
static bool fill_qp(struct sk_buff *msg, const struct urxe_qp *qp)
{
	const struct urxe_req *req = &qp->req;
	const struct urxe_resp *resp = &qp->resp;
	const struct {
		const char	*name;
		u32		value;
	} attrs[] = {
		{ "mtu",		READ_ONCE(qp->mtu) },
		{ "req_psn",		READ_ONCE(req->psn) },
		{ "req_send_psn",	READ_ONCE(req->send_psn) },
		{ "req_una_psn",	READ_ONCE(req->una_psn) },
		{ "req_rd_atomic",	READ_ONCE(req->rd_atomic) },
		{ "resp_psn",		READ_ONCE(resp->psn) },
		{ "resp_msn",		READ_ONCE(resp->msn) },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(attrs); i++)
		if (rdma_nl_put_driver_u32(msg, attrs[i].name, attrs[i].value))
			return false;
	return true;
}

/* Our attributes go in a nest, which must not be left half full. */
static int end_nest(struct sk_buff *msg, struct nlattr *nest, bool filled)
{
	if (!filled) {
		nla_nest_cancel(msg, nest);
		return -EMSGSIZE;
	}
	nla_nest_end(msg, nest);
	return 0;
}

/*
 * A fault is an access that had to wait for the worker, be it that the page was
 * not there or that nobody knew of it; an invalidation is a page that was known
 * and that the kernel took away.
 */
static bool fill_odp(struct sk_buff *msg, struct urxe_mr *mr)
{
	return !rdma_nl_stat_hwcounter_entry(msg, "page_faults",
					     atomic64_read(&mr->faults)) &&
	       !rdma_nl_stat_hwcounter_entry(msg, "page_invalidations",
					     umem_lost_pages(mr->umem)) &&
	       !rdma_nl_stat_hwcounter_entry(msg, "page_prefetch",
					     atomic64_read(&mr->prefetched));
}

int urxe_fill_stat_mr(struct sk_buff *msg, struct ib_mr *ibmr)
{
	struct urxe_mr *mr = to_umr(ibmr);
	struct nlattr *nest;

	if (mr->type != URXE_MR_USER)
		return 0;
	nest = nla_nest_start(msg, RDMA_NLDEV_ATTR_STAT_HWCOUNTERS);
	if (!nest)
		return -EMSGSIZE;
	return end_nest(msg, nest, fill_odp(msg, mr));
}

int urxe_fill_res_mr(struct sk_buff *msg, struct ib_mr *ibmr)
{
	struct nlattr *nest = nla_nest_start(msg, RDMA_NLDEV_ATTR_DRIVER);

	if (!nest)
		return -EMSGSIZE;
	return end_nest(msg, nest, fill_mr(msg, to_umr(ibmr)));
}

int urxe_fill_res_qp(struct sk_buff *msg, struct ib_qp *ibqp)
{
	struct nlattr *nest = nla_nest_start(msg, RDMA_NLDEV_ATTR_DRIVER);

	if (!nest)
		return -EMSGSIZE;
	return end_nest(msg, nest, fill_qp(msg, to_uqp(ibqp)));
}

int urxe_fill_res_cq(struct sk_buff *msg, struct ib_cq *ibcq)
{
	struct nlattr *nest = nla_nest_start(msg, RDMA_NLDEV_ATTR_DRIVER);
	struct urxe_cq *cq = to_ucq(ibcq);
	unsigned long flags;
	bool filled;

	if (!nest)
		return -EMSGSIZE;
	spin_lock_irqsave(&cq->lock, flags);
	filled = fill_cq(msg, cq);
	spin_unlock_irqrestore(&cq->lock, flags);
	return end_nest(msg, nest, filled);
}

int urxe_fill_res_srq(struct sk_buff *msg, struct ib_srq *ibsrq)
{
	struct nlattr *nest = nla_nest_start(msg, RDMA_NLDEV_ATTR_DRIVER);
	struct urxe_srq *srq = to_usrq(ibsrq);
	unsigned long flags;
	bool filled;

	if (!nest)
		return -EMSGSIZE;
	spin_lock_irqsave(&srq->rq.lock, flags);
	filled = !rdma_nl_put_driver_u32(msg, "posted",
					 urxe_rq_pending(&srq->rq)) &&
		 !rdma_nl_put_driver_u32(msg, "limit", srq->limit);
	spin_unlock_irqrestore(&srq->rq.lock, flags);
	return end_nest(msg, nest, filled);
}
