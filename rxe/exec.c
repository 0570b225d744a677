// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The responder does what a request asks for: once its packet is the one expected,
 * and permitted.
 */
#include "access.h"
#include "mr.h"
#include "opcode.h"
#include "qp.h"
#include "resp.h"
#include "srq.h"

int urxe_resp_get_rqe(struct urxe_qp *qp, u32 least, struct urxe_ctx *ctx)
{
	struct urxe_resp *resp = &qp->resp;
	int err;

	if (resp->have_rqe)
		return resp->rqe.length < least ? FAIL_INV_REQ : 0;
	err = urxe_recv_pull(qp, &resp->rqe, least);
	if (err)
		return err == -ENOENT ? FAIL_RNR : FAIL_INV_REQ;
	resp->have_rqe = true;
	if (resp->rqe.status)
		return urxe_resp_fail_rqe(qp, ctx, resp->rqe.status,
					  AETH_NAK_REM_OP);
	return 0;
}

/* Nothing is wrong with the packet but where it was met. */
static bool try_again(int err)
{
	return err == -EAGAIN || err == URXE_NO_SOURCE;
}

static int do_send(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		   struct urxe_ctx *ctx)
{
	struct urxe_resp *resp = &qp->resp;
	int err;

	if (pkt->len > resp->rqe.length - resp->length)
		return qp->service & OP_RC ?
		       urxe_resp_fail_rqe(qp, ctx, IB_WC_LOC_LEN_ERR,
					  AETH_NAK_INV_REQ) : FAIL_INV_REQ;
	err = urxe_pkt_to_sg(pkt, qp_recv_pd(qp), resp->rqe.sge,
			     resp->rqe.num_sge, resp->length, ctx);
	if (err && !try_again(err))
		return urxe_resp_fail_rqe(qp, ctx, IB_WC_LOC_PROT_ERR,
					  AETH_NAK_REM_OP);
	return err;
}

/* Could all of a range be reached by its key? Of a range of nothing none is needed. */
static int check_remote(struct urxe_qp *qp, u32 rkey, int access, u64 va,
			u32 len)
{
	struct urxe_mr *mr;

	if (!len)
		return 0;
	mr = urxe_mr_get_remote(qp, rkey, access, va, len);
	if (!mr)
		return FAIL_ACCESS;
	urxe_mr_put(mr);
	return 0;
}

static int open_write(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	const struct urxe_reth *reth = pkt_ext(pkt);
	struct urxe_resp *resp = &qp->resp;

	resp->va = be64_to_cpu(reth->va);
	resp->rkey = be32_to_cpu(reth->rkey);
	resp->resid = be32_to_cpu(reth->len);
	if (resp->resid > URXE_MAX_MSG)
		return FAIL_INV_REQ;
	/* What is all here, do_write() looks up. */
	return pkt->len == resp->resid ? 0 :
	       check_remote(qp, resp->rkey, IB_ACCESS_REMOTE_WRITE, resp->va,
			    resp->resid);
}

static int do_write(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		    struct urxe_ctx *ctx)
{
	struct urxe_resp *resp = &qp->resp;
	struct urxe_mr *mr;
	int err = 0;

	if (pkt->traits & OP_RETH)
		err = open_write(qp, pkt);
	if (err)
		return err;
	if (pkt->len > resp->resid ||
	    ((pkt->traits & OP_LAST) && pkt->len != resp->resid))
		return FAIL_INV_REQ;
	if (!pkt->len)
		return 0;
	mr = urxe_mr_get_remote(qp, resp->rkey, IB_ACCESS_REMOTE_WRITE,
				resp->va, pkt->len);
	if (!mr)
		return FAIL_ACCESS;
	err = urxe_pkt_to_mr(pkt, mr, resp->va, ctx);
	urxe_mr_put(mr);
	if (err)
		return try_again(err) ? err : FAIL_ACCESS;
	resp->va += pkt->len;
	resp->resid -= pkt->len;
	return 0;
}

static int do_read(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	const struct urxe_reth *reth = pkt_ext(pkt);
	struct urxe_rd_res res = {
		.traits = OP_READ,
		.first_psn = pkt->psn,
		.va = be64_to_cpu(reth->va),
		.rkey = be32_to_cpu(reth->rkey),
		.len = be32_to_cpu(reth->len),
	};
	int err;

	if (res.len > URXE_MAX_MSG)
		return FAIL_INV_REQ;
	err = check_remote(qp, res.rkey, IB_ACCESS_REMOTE_READ, res.va,
			   res.len);
	if (err)
		return err;
	res.packets = qp_packets(qp, res.len);
	urxe_res_remember(qp, &res);
	urxe_read_start(qp, res.first_psn, res.rkey, res.va, res.len);
	return 0;
}

static int run_atomic(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		      enum umem_atomic_op op, u64 a, u64 b, u64 *orig,
		      struct urxe_ctx *ctx)
{
	/* VA and rkey stand alike in the AtomicETH and in the RETH. */
	const struct urxe_atomic_eth *eth = pkt_ext(pkt);
	u64 va = be64_to_cpu(eth->va);
	int access = op == UMEM_ATOMIC_WRITE ? IB_ACCESS_REMOTE_WRITE :
					       IB_ACCESS_REMOTE_ATOMIC;
	struct urxe_mr *mr;
	int err;

	if (va & (sizeof(u64) - 1))
		return FAIL_INV_REQ;
	mr = urxe_mr_get_remote(qp, be32_to_cpu(eth->rkey), access, va,
				sizeof(u64));
	if (!mr)
		return FAIL_ACCESS;
	err = urxe_mr_atomic(mr, va, op, a, b, orig, ctx);
	urxe_mr_put(mr);
	if (err)
		return err == -EAGAIN ? err : FAIL_ACCESS;
	return 0;
}

static int do_atomic(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		     struct urxe_ctx *ctx)
{
	const struct urxe_atomic_eth *eth = pkt_ext(pkt);
	bool cas = pkt->bth.opcode == (OPC_RC | OPC_COMPARE_SWAP);
	struct urxe_rd_res res = {
		.traits = OP_ATOMIC,
		.first_psn = pkt->psn,
		.packets = 1,
	};
	int err;

	err = run_atomic(qp, pkt, cas ? UMEM_ATOMIC_CAS : UMEM_ATOMIC_FAA,
			 be64_to_cpu(eth->swap_add), be64_to_cpu(eth->compare),
			 &res.orig, ctx);
	if (err)
		return err;
	urxe_res_remember(qp, &res);
	return 0;
}

static int do_atomic_write(struct urxe_qp *qp, const struct urxe_pkt *pkt,
			   struct urxe_ctx *ctx)
{
	const struct urxe_reth *reth = pkt_ext(pkt);
	u64 value, orig;
	int err;

	if (be32_to_cpu(reth->len) != sizeof(value) ||
	    pkt->len != sizeof(value) ||
	    skb_copy_bits(pkt->skb, pkt->payload, &value, sizeof(value)))
		return FAIL_INV_REQ;
	err = run_atomic(qp, pkt, UMEM_ATOMIC_WRITE, value, 0, &orig, ctx);
	if (err)
		return err;
	urxe_answer_empty(qp, pkt->psn);
	return 0;
}

/* Storage that fails is not the requester's fault. */
static int flush_failed(int err)
{
	if (err == -EAGAIN)
		return err;
	return err == -EFAULT ? FAIL_ACCESS : FAIL_OP;
}

/*
 * What came before is in memory, and every processor and device sees it there: to
 * flush it for all to see is to have got here.
 */
static int do_flush(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		    struct urxe_ctx *ctx)
{
	const struct urxe_feth *feth = pkt_ext(pkt);
	const struct urxe_reth *reth = (const void *)(feth + 1);
	const u32 bits = be32_to_cpu(feth->bits);
	const u32 rkey = be32_to_cpu(reth->rkey);
	const int access = urxe_feth_access(feth->bits);
	const u64 va = be64_to_cpu(reth->va);
	const u32 len = be32_to_cpu(reth->len);
	const bool whole = bits & FETH_LEVEL_MASK;
	struct urxe_mr *mr;
	int err = 0;

	if (!urxe_feth_ok(feth->bits))
		return FAIL_INV_REQ;
	mr = whole ? urxe_mr_get_whole(qp, rkey, access) :
		     urxe_mr_get_remote(qp, rkey, access, va, len);
	if (!mr)
		return FAIL_ACCESS;
	if (bits & IB_FLUSH_PERSISTENT)
		err = urxe_mr_persist(mr, whole ? mr->first : va,
				      whole ? mr->length : len, ctx);
	urxe_mr_put(mr);
	if (err)
		return flush_failed(err);
	urxe_answer_empty(qp, pkt->psn);
	return 0;
}

/* A message that invalidates a key does so when its bytes are there. */
static int do_invalidate(struct urxe_qp *qp, const struct urxe_pkt *pkt,
			 struct urxe_ctx *ctx)
{
	int err = urxe_mr_invalidate(qp, be32_to_cpu(pkt_last_word(pkt)), true,
				     ctx);

	return err && err != -EAGAIN ? FAIL_ACCESS : err;
}

int urxe_resp_execute(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		      struct urxe_ctx *ctx)
{
	int err = pkt_needs_rqe(pkt) && (pkt->traits & (OP_SEND | OP_LAST)) ?
		  urxe_resp_get_rqe(qp, 0, ctx) : 0;

	if (err)
		return err;
	if (pkt->traits & OP_IETH)
		return do_send(qp, pkt, ctx) ?: do_invalidate(qp, pkt, ctx);
	if (pkt->traits & OP_SEND)
		return do_send(qp, pkt, ctx);
	if (pkt->traits & OP_WRITE)
		return do_write(qp, pkt, ctx);
	if (pkt->traits & OP_ATOMIC)
		return do_atomic(qp, pkt, ctx);
	if (pkt->traits & OP_ATOMIC_WRITE)
		return do_atomic_write(qp, pkt, ctx);
	if (pkt->traits & OP_FLUSH)
		return do_flush(qp, pkt, ctx);
	return do_read(qp, pkt);
}
