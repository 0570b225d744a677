// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The responder of a connected QP: does what requests ask for, and, unless the
 * service is unreliable (UC), answers.
 *
 * A request packet goes through: order (is it the one expected?), sequence (may
 * it follow the last one?), resources (receive WQE, memory), execution,
 * acknowledgment. A step either leaves the packet as it was (-EAGAIN: the worker
 * does it again) or is done with it.
 */
#include "batch.h"
#include "counters.h"
#include "mr.h"
#include "opcode.h"
#include "ref.h"
#include "resp.h"
#include "srq.h"
#include "ud.h"

/* Packets taken in before an acknowledgment that is owed is sent. */
#define ACK_COALESCE	128

/* How long a QP in error waits before it looks for receive requests again. */
#define FLUSH_WAIT_MIN	1UL
#define FLUSH_WAIT_MAX	((unsigned long)HZ)

/* --- answers ------------------------------------------------------------ */

static u32 aeth_word(const struct urxe_qp *qp, u8 syndrome)
{
	return (u32)syndrome << 24 | qp->resp.msn;
}

static void put_aeth(void *at, const struct urxe_qp *qp, u8 syndrome)
{
	struct urxe_aeth *aeth = at;

	aeth->smsn = htonl(aeth_word(qp, syndrome));
}

static void send_aeth(struct urxe_qp *qp, struct urxe_ctx *ctx, u8 syndrome,
		      u32 psn)
{
	struct urxe_batch batch;
	struct urxe_bth *bth;

	urxe_batch_init(&batch, qp, ctx);
	bth = urxe_batch_packet(&batch, OPC_RC | OPC_ACK, 0, psn);
	if (bth) {
		put_aeth(urxe_bth_ext(bth), qp, syndrome);
		urxe_batch_commit(&batch);
	}
	urxe_batch_send(&batch);
}

/* Everything before the expected PSN has been done. */
static void send_ack(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct urxe_resp *resp = &qp->resp;

	if (!resp->ack_due)
		return;
	resp->ack_due = false;
	resp->unacked = 0;
	urxe_count(qp->dev, URXE_CNT_TX_ACK);
	send_aeth(qp, ctx, AETH_ACK | AETH_ACK_UNLIMITED,
		  psn_add(resp->psn, -1));
}

static void send_nak(struct urxe_qp *qp, struct urxe_ctx *ctx, u8 syndrome)
{
	const struct urxe_resp *resp = &qp->resp;

	/* A NAK acknowledges what is before it. */
	qp->resp.ack_due = false;
	/* A READ that breaks off does so at the response that was next. */
	send_aeth(qp, ctx, syndrome,
		  resp->read.active ? resp->read.psn : resp->psn);
}

void urxe_resp_send_rnr(struct urxe_qp *qp, u8 code)
{
	const struct urxe_read *read = &qp->resp.read;
	struct urxe_ctx ctx = {};

	urxe_count(qp->dev, URXE_CNT_TX_RNR_NAK);
	send_aeth(qp, &ctx, AETH_RNR_NAK | code,
		  read->active ? psn_add(read->psn, -read->unsent) :
				 qp->resp.psn);
}

static void send_atomic_ack(struct urxe_qp *qp, struct urxe_ctx *ctx, u32 psn,
			    u64 orig)
{
	struct urxe_batch batch;
	struct urxe_bth *bth;
	__be64 value = cpu_to_be64(orig);

	urxe_batch_init(&batch, qp, ctx);
	bth = urxe_batch_packet(&batch, OPC_RC | OPC_ATOMIC_ACK, 0, psn);
	if (bth) {
		put_aeth(urxe_bth_ext(bth), qp, AETH_ACK | AETH_ACK_UNLIMITED);
		memcpy(urxe_bth_ext(bth) + sizeof(struct urxe_aeth), &value,
		       sizeof(value));
		urxe_batch_commit(&batch);
	}
	urxe_batch_send(&batch);
}

/* --- READ responses ----------------------------------------------------- */

/* Of packets that carry the next @len bytes. */
static u8 read_opcode(const struct urxe_read *read, u32 len)
{
	bool last = read->resid == len;

	if (read->first)
		return OPC_RC | (last ? OPC_READ_RESP_ONLY :
					OPC_READ_RESP_FIRST);
	return OPC_RC | (last ? OPC_READ_RESP_LAST : OPC_READ_RESP_MIDDLE);
}

static int read_payload(struct urxe_qp *qp, void *at, u32 len,
			struct urxe_ctx *ctx)
{
	struct urxe_read *read = &qp->resp.read;
	struct urxe_mr *mr;
	int err;

	if (!len)
		return 0;
	mr = urxe_mr_get_remote(qp, read->rkey, IB_ACCESS_REMOTE_READ,
			 read->va, len);
	if (!mr)
		return -EFAULT;
	err = urxe_mr_read(mr, read->va, at, len, ctx);
	urxe_mr_put(mr);
	return err;
}

/* @packets, which carry the next @len bytes, are on their way. */
static void read_sent(struct urxe_resp *resp, u32 len, u32 packets)
{
	struct urxe_read *read = &resp->read;

	read->psn = psn_add(read->psn, packets);
	read->first = false;
	read->va += len;
	read->resid -= len;
	read->active = read->resid;
	if (!read->active)
		clear_bit(0, &resp->refused);
}

static void put_read_aeth(struct urxe_qp *qp, struct urxe_bth *bth)
{
	if (urxe_traits(bth->opcode) & OP_AETH)
		put_aeth(urxe_bth_ext(bth), qp, AETH_ACK | AETH_ACK_UNLIMITED);
}

/* Return: 0; -EAGAIN; FAIL_ACCESS; -ENOMEM. */
static int read_packet(struct urxe_qp *qp, struct urxe_batch *batch,
		       struct urxe_ctx *ctx)
{
	struct urxe_read *read = &qp->resp.read;
	u32 len = min(read->resid, qp->mtu);
	u8 opcode = read_opcode(read, len);
	struct urxe_bth *bth;
	int err;

	bth = urxe_batch_packet(batch, opcode, len, read->psn);
	if (!bth)
		return -ENOMEM;
	read->unsent = batch->count;
	err = read_payload(qp, (u8 *)bth + urxe_hdr_len(opcode), len, ctx);
	if (err)
		return err == -EAGAIN ? err : FAIL_ACCESS;
	put_read_aeth(qp, bth);
	urxe_batch_commit(batch);
	read_sent(&qp->resp, len, 1);
	return 0;
}

/* Can what is left be referred to instead? To a peer on this host. */
static bool may_refer(struct urxe_qp *qp, struct urxe_batch *batch,
		      const struct rxe_sge *sge)
{
	return sge->length >= URXE_REF_MIN && !qp->resp.refused &&
	       urxe_batch_is_local(batch) &&
	       urxe_sg_at_hand(qp->ibqp.pd, sge, 1, 0, sge->length,
			       IB_ACCESS_REMOTE_READ);
}

static int read_reference(struct urxe_qp *qp, struct urxe_batch *batch,
			  const struct rxe_sge *sge, struct urxe_ctx *ctx)
{
	struct urxe_read *read = &qp->resp.read;
	u32 packets = qp_packets(qp, sge->length);
	struct urxe_bth *bth;

	bth = urxe_batch_ref(batch, read_opcode(read, sge->length), read->psn,
			     1);
	if (!bth)
		return -ENOMEM;
	put_read_aeth(qp, bth);
	*batch->ref = (struct urxe_ref){
		.len = sge->length,
		.packets = packets,
		.access = IB_ACCESS_REMOTE_READ,
		.num_sge = 1,
	};
	batch->ref->sge[0] = *sge;
	urxe_batch_commit_ref(batch);
	ctx->budget -= sge->length >> PAGE_SHIFT;
	read_sent(&qp->resp, sge->length, packets);
	return 0;
}

static int read_next(struct urxe_qp *qp, struct urxe_batch *batch,
		     struct urxe_ctx *ctx)
{
	const struct urxe_read *read = &qp->resp.read;
	const struct rxe_sge sge = {
		.addr = read->va,
		.length = min_t(u32, read->resid, URXE_REF_MAX),
		.lkey = read->rkey,
	};

	if (may_refer(qp, batch, &sge))
		return read_reference(qp, batch, &sge, ctx);
	return read_packet(qp, batch, ctx);
}

static void fail(struct urxe_qp *qp, struct urxe_ctx *ctx, int why);

/* Go on with the READ under way. Return: as a step; DONE also when held up. */
static enum urxe_step send_responses(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct urxe_read *read = &qp->resp.read;
	struct urxe_batch batch;
	int err = 0;

	urxe_batch_init(&batch, qp, ctx);
	while (read->active && !err && ctx->budget > 0 &&
	       !urxe_handle_full(qp->handle)) {
		ctx->budget--;
		err = read_next(qp, &batch, ctx);
	}
	urxe_batch_send(&batch);
	if (err == -EAGAIN)
		return URXE_STEP_SLEEP;
	if (err == -ENOMEM || (read->active && ctx->budget <= 0))
		return URXE_STEP_AGAIN;
	if (err) {
		fail(qp, ctx, err);
		read->active = false;
	}
	return URXE_STEP_DONE;
}

static void start_read(struct urxe_qp *qp, u32 psn, u32 rkey, u64 va, u32 len)
{
	qp->resp.read = (struct urxe_read){
		.active = true,
		.first = true,
		.psn = psn,
		.rkey = rkey,
		.va = va,
		.resid = len,
	};
}

/* --- resources to answer again from ------------------------------------- */

static void remember(struct urxe_qp *qp, const struct urxe_rd_res *res)
{
	struct urxe_resp *resp = &qp->resp;

	resp->res[resp->next_res] = *res;
	resp->next_res = (resp->next_res + 1) % resp->num_res;
}

static struct urxe_rd_res *recall(struct urxe_qp *qp, u32 psn)
{
	struct urxe_resp *resp = &qp->resp;
	u32 i;

	for (i = 0; i < resp->num_res; i++)
		if (resp->res[i].traits &&
		    psn_within(psn, resp->res[i].first_psn,
			       resp->res[i].packets))
			return &resp->res[i];
	return NULL;
}

/* --- completions on the receive queue ----------------------------------- */

void urxe_resp_complete(struct urxe_qp *qp, struct ib_wc *wc,
			const struct urxe_pkt *pkt)
{
	wc->wr_id = qp->resp.rqe.wr_id;
	wc->qp = &qp->ibqp;
	wc->port_num = 1;
	qp->resp.have_rqe = false;
	if (pkt && (pkt->traits & OP_IMM)) {
		wc->wc_flags |= IB_WC_WITH_IMM;
		wc->ex.imm_data = pkt_last_word(pkt);
	}
	urxe_cq_post(to_ucq(qp->ibqp.recv_cq), wc,
		     pkt && (pkt->bth.flags & BTH_SE));
}

static void post_recv_cqe(struct urxe_qp *qp, enum ib_wc_status status,
			  const struct urxe_pkt *pkt)
{
	struct ib_wc wc = {
		.status = status,
		.opcode = IB_WC_RECV,
		.src_qp = qp->attr.dest_qp_num,
		.byte_len = qp->resp.length,
	};

	if (pkt && (pkt->traits & OP_IETH)) {
		wc.wc_flags |= IB_WC_WITH_INVALIDATE;
		wc.ex.invalidate_rkey = be32_to_cpu(pkt_last_word(pkt));
	}
	if (pkt && (pkt->traits & OP_WRITE))
		wc.opcode = IB_WC_RECV_RDMA_WITH_IMM;
	urxe_resp_complete(qp, &wc, pkt);
}

/* --- failing ------------------------------------------------------------ */

/*
 * The requester comes again from the expected PSN on. What it sent before it
 * knew is out of order, and not worth another NAK.
 */
static void fail_soft(struct urxe_qp *qp, struct urxe_ctx *ctx, int why)
{
	bool told = qp->resp.nak_sent;

	qp->resp.nak_sent = true;
	if (why == FAIL_RNR) {
		urxe_count(qp->dev, URXE_CNT_TX_RNR_NAK);
		send_nak(qp, ctx, AETH_RNR_NAK | qp->attr.min_rnr_timer);
	} else if (!told) {
		urxe_count(qp->dev, URXE_CNT_TX_SEQ_NAK);
		send_nak(qp, ctx, AETH_NAK_SEQ_ERR);
	}
}

static void fail(struct urxe_qp *qp, struct urxe_ctx *ctx, int why)
{
	if (why == FAIL_TOLD)
		return;
	if (why == FAIL_RNR || why == FAIL_SEQ) {
		fail_soft(qp, ctx, why);
		return;
	}
	urxe_count(qp->dev, URXE_CNT_TX_ERR_NAK);
	send_nak(qp, ctx, -(why + MAX_ERRNO));
	urxe_qp_error(qp, why == FAIL_ACCESS ? IB_EVENT_QP_ACCESS_ERR :
			  why == FAIL_INV_REQ ? IB_EVENT_QP_REQ_ERR : -1);
}

int urxe_resp_fail_rqe(struct urxe_qp *qp, struct urxe_ctx *ctx,
		       enum ib_wc_status status, u8 syndrome)
{
	if (qp->service & OP_RC) {
		urxe_count(qp->dev, URXE_CNT_TX_ERR_NAK);
		send_nak(qp, ctx, syndrome);
	}
	post_recv_cqe(qp, status, NULL);
	urxe_qp_error(qp, -1);
	return FAIL_TOLD;
}

/* --- sequence ----------------------------------------------------------- */

/*
 * IBTA 9.7.4.1.3: lengths that a packet's place in its message allows; likewise
 * those of one that stands for many.
 */
static bool length_ok(const struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	u32 full = pkt->packets * qp->mtu;

	if (!(pkt->traits & (OP_SEND | OP_WRITE)))
		return true;
	if (!(pkt->traits & OP_LAST))
		return pkt->len == full;
	return pkt->len <= full &&
	       (pkt->len > full - qp->mtu || (pkt->traits & OP_FIRST));
}

static bool sequence_ok(const struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	u32 kind = pkt->traits & (OP_SEND | OP_WRITE);

	if (pkt->traits & OP_FIRST)
		return !qp->resp.in_msg;
	return kind && qp->resp.in_msg == kind;
}

static bool permitted(const struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	int flags = qp->attr.qp_access_flags;

	if (pkt->traits & (OP_WRITE | OP_ATOMIC_WRITE))
		return flags & IB_ACCESS_REMOTE_WRITE;
	if (pkt->traits & OP_READ)
		return (flags & IB_ACCESS_REMOTE_READ) && qp->resp.num_res;
	if (pkt->traits & OP_ATOMIC)
		return (flags & IB_ACCESS_REMOTE_ATOMIC) && qp->resp.num_res;
	return !(pkt->traits & OP_FLUSH) || (flags & IB_ACCESS_FLUSH_GLOBAL);
}

/* --- execution ---------------------------------------------------------- */

/* Does this packet use up a receive WQE? */
static bool needs_rqe(const struct urxe_pkt *pkt)
{
	return (pkt->traits & OP_SEND) ||
	       ((pkt->traits & OP_WRITE) && (pkt->traits & OP_IMM));
}

int urxe_resp_get_rqe(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct urxe_resp *resp = &qp->resp;

	if (resp->have_rqe)
		return 0;
	if (!urxe_recv_pull(qp, &resp->rqe))
		return FAIL_RNR;
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

static int open_write(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	const struct urxe_reth *reth = pkt_ext(pkt);
	struct urxe_resp *resp = &qp->resp;
	struct urxe_mr *mr;

	resp->va = be64_to_cpu(reth->va);
	resp->rkey = be32_to_cpu(reth->rkey);
	resp->resid = be32_to_cpu(reth->len);
	if (resp->resid > URXE_MAX_MSG)
		return FAIL_INV_REQ;
	if (!resp->resid)
		return 0;
	mr = urxe_mr_get_remote(qp, resp->rkey, IB_ACCESS_REMOTE_WRITE,
				resp->va, resp->resid);
	if (!mr)
		return FAIL_ACCESS;
	urxe_mr_put(mr);
	return 0;
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
	struct urxe_mr *mr;

	if (res.len > URXE_MAX_MSG)
		return FAIL_INV_REQ;
	if (res.len) {
		mr = urxe_mr_get_remote(qp, res.rkey, IB_ACCESS_REMOTE_READ,
					res.va, res.len);
		if (!mr)
			return FAIL_ACCESS;
		urxe_mr_put(mr);
	}
	res.packets = qp_packets(qp, res.len);
	remember(qp, &res);
	start_read(qp, res.first_psn, res.rkey, res.va, res.len);
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
	remember(qp, &res);
	return 0;
}

/* An answer without content, which can be given again. */
static void answer_empty(struct urxe_qp *qp, const struct urxe_pkt *pkt,
			 u32 traits)
{
	struct urxe_rd_res res = {
		.traits = traits,
		.first_psn = pkt->psn,
		.packets = 1,
	};

	if (qp->resp.num_res)
		remember(qp, &res);
	start_read(qp, pkt->psn, 0, 0, 0);
}

static int do_atomic_write(struct urxe_qp *qp, const struct urxe_pkt *pkt,
			   struct urxe_ctx *ctx)
{
	u64 value, orig;
	int err;

	if (pkt->len != sizeof(value) ||
	    skb_copy_bits(pkt->skb, pkt->payload, &value, sizeof(value)))
		return FAIL_INV_REQ;
	err = run_atomic(qp, pkt, UMEM_ATOMIC_WRITE, value, 0, &orig, ctx);
	if (err)
		return err;
	answer_empty(qp, pkt, OP_ATOMIC_WRITE);
	return 0;
}

/*
 * What came before is in memory, and every processor and device sees it there: to
 * flush it is to have got here. No region has the right to be made persistent.
 */
static int do_flush(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	const struct urxe_feth *feth = pkt_ext(pkt);
	const struct urxe_reth *reth = (const void *)(feth + 1);
	u32 bits = be32_to_cpu(feth->bits), rkey = be32_to_cpu(reth->rkey);
	struct urxe_mr *mr;

	if (!urxe_feth_ok(feth->bits))
		return FAIL_INV_REQ;
	if (bits & IB_FLUSH_PERSISTENT)
		return FAIL_ACCESS;
	if (bits & FETH_LEVEL_MASK)
		mr = urxe_mr_get_whole(qp, rkey, IB_ACCESS_FLUSH_GLOBAL);
	else
		mr = urxe_mr_get_remote(qp, rkey, IB_ACCESS_FLUSH_GLOBAL,
					be64_to_cpu(reth->va),
					be32_to_cpu(reth->len));
	if (!mr)
		return FAIL_ACCESS;
	urxe_mr_put(mr);
	answer_empty(qp, pkt, OP_FLUSH);
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

static int execute(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		   struct urxe_ctx *ctx)
{
	int err = needs_rqe(pkt) && (pkt->traits & (OP_SEND | OP_LAST)) ?
		  urxe_resp_get_rqe(qp, ctx) : 0;

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
		return do_flush(qp, pkt);
	return do_read(qp, pkt);
}

/* --- acknowledgment ----------------------------------------------------- */

static void end_message(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	struct urxe_resp *resp = &qp->resp;

	resp->msn = psn_add(resp->msn, 1);
	if (needs_rqe(pkt))
		post_recv_cqe(qp, IB_WC_SUCCESS, pkt);
	resp->length = 0;
	resp->in_msg = 0;
}

/* The packet has been executed: the state moves on behind it. */
static void take_in(struct urxe_qp *qp, const struct urxe_pkt *pkt)
{
	struct urxe_resp *resp = &qp->resp;
	u32 packets = pkt->packets;

	if (pkt->traits & OP_READ)
		packets = recall(qp, pkt->psn)->packets;
	resp->length += pkt->len;
	resp->in_msg = pkt->traits & (OP_SEND | OP_WRITE);
	if (pkt->traits & OP_LAST)
		end_message(qp, pkt);
	resp->psn = psn_add(resp->psn, packets);
	resp->nak_sent = false;
	resp->unacked += pkt->packets;
}

static void acknowledge(struct urxe_qp *qp, const struct urxe_pkt *pkt,
			struct urxe_ctx *ctx)
{
	struct urxe_resp *resp = &qp->resp;

	if (pkt->traits & OP_ATOMIC)
		send_atomic_ack(qp, ctx, pkt->psn,
				recall(qp, pkt->psn)->orig);
	/* A response acknowledges what is before it as well. */
	if (pkt->traits & OP_RD_ATOMIC)
		resp->ack_due = false;
	else if (pkt_ack_requested(pkt))
		resp->ack_due = true;
	if (resp->unacked >= ACK_COALESCE)
		send_ack(qp, ctx);
}

/* --- duplicates --------------------------------------------------------- */

/* A READ again, all of it or from somewhere in it on. */
static void replay_read(struct urxe_qp *qp, const struct urxe_pkt *pkt,
			const struct urxe_rd_res *res)
{
	const struct urxe_reth *reth = pkt_ext(pkt);
	u64 va = be64_to_cpu(reth->va);
	u32 len = be32_to_cpu(reth->len);
	u32 off = ((pkt->psn - res->first_psn) & URXE_PSN_MASK) * qp->mtu;

	if (be32_to_cpu(reth->rkey) == res->rkey && off <= res->len &&
	    va == res->va + off && len == res->len - off)
		start_read(qp, pkt->psn, res->rkey, va, len);
}

static void duplicate(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		      struct urxe_ctx *ctx)
{
	struct urxe_rd_res *res;

	urxe_count(qp->dev, URXE_CNT_RX_DUPLICATE);
	if (!(pkt->traits & OP_RD_ATOMIC)) {
		qp->resp.ack_due = true;
		return;
	}
	res = recall(qp, pkt->psn);
	if (!res || !(res->traits & pkt->traits))
		return;
	if (pkt->traits & OP_READ)
		replay_read(qp, pkt, res);
	else if (pkt->traits & OP_ATOMIC)
		send_atomic_ack(qp, ctx, res->first_psn, res->orig);
	else
		start_read(qp, res->first_psn, 0, 0, 0);
}

/* --- one packet --------------------------------------------------------- */

static int rc_request(struct urxe_qp *qp, struct urxe_pkt *pkt,
		      struct urxe_ctx *ctx)
{
	s32 order = psn_diff(pkt->psn, qp->resp.psn);
	int err;

	if (order > 0)
		return FAIL_SEQ;
	if (order < 0 && -order < pkt->packets) {
		urxe_pkt_trim(pkt, -order, qp->mtu);
	} else if (order < 0) {
		duplicate(qp, pkt, ctx);
		return 0;
	}
	if (!sequence_ok(qp, pkt) || !length_ok(qp, pkt) ||
	    !permitted(qp, pkt))
		return FAIL_INV_REQ;
	err = execute(qp, pkt, ctx);
	if (err)
		return err;
	take_in(qp, pkt);
	acknowledge(qp, pkt, ctx);
	return 0;
}

/*
 * The bytes that a packet refers to can't be had here: have it sent again with them.
 * What follows it until then is out of order, and not worth a NAK.
 */
static void refuse(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		   struct urxe_ctx *ctx)
{
	struct urxe_qp *sender = urxe_ref_sender(pkt->skb);

	urxe_count(qp->dev, URXE_CNT_REFUSED);
	qp->resp.nak_sent = true;
	qp->resp.ack_due = true;
	if (!sender)
		return;
	set_bit(SQ_EV_REFUSED, &sender->req.events);
	urxe_runner_kick_next(ctx, &sender->sq_runner);
}

/* The rest of a message is of no use; what it had of a receive WQE is free again. */
static void forget_message(struct urxe_qp *qp)
{
	qp->resp.in_msg = 0;
	qp->resp.length = 0;
}

static int uc_execute(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		      struct urxe_ctx *ctx)
{
	int err;

	if (!sequence_ok(qp, pkt))
		return FAIL_SEQ;
	if (!length_ok(qp, pkt) || !permitted(qp, pkt))
		return FAIL_INV_REQ;
	err = execute(qp, pkt, ctx);
	if (!err)
		take_in(qp, pkt);
	return err;
}

/*
 * Nobody is told what is missing or wrong. The message is dropped, and the next
 * begins with a first packet of any number (IBTA 9.8.2.2).
 */
static int uc_request(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		      struct urxe_ctx *ctx)
{
	int err;

	if (pkt->psn != qp->resp.psn || (pkt->traits & OP_FIRST))
		forget_message(qp);
	qp->resp.psn = pkt->psn;
	err = uc_execute(qp, pkt, ctx);
	if (!err || err == -EAGAIN || err == FAIL_TOLD)
		return err;
	urxe_count(qp->dev, err == FAIL_RNR ? URXE_CNT_DROP_NO_RQE :
			    err == FAIL_SEQ ? URXE_CNT_DROP_SEQUENCE :
					      URXE_CNT_DROP_REFUSED);
	forget_message(qp);
	qp->resp.psn = psn_add(pkt->psn, 1);
	return 0;
}

static int request(struct urxe_qp *qp, struct urxe_pkt *pkt,
		   struct urxe_ctx *ctx)
{
	/* Not in this QP's protocol at all: not even worth a NAK. */
	if (!(pkt->traits & qp->service)) {
		urxe_count(qp->dev, URXE_CNT_DROP_MALFORMED);
		return 0;
	}
	if (qp->service & OP_RC)
		return rc_request(qp, pkt, ctx);
	return qp->service & OP_UC ? uc_request(qp, pkt, ctx) :
				     urxe_ud_request(qp, pkt, ctx);
}

/* The first packet tells a QP in RTR that its peer is there. */
static void check_comm_est(struct urxe_qp *qp)
{
	if (qp->resp.comm_est || (qp->service & OP_UD))
		return;
	qp->resp.comm_est = true;
	if (qp_state(qp) == IB_QPS_RTR)
		urxe_qp_event(qp, IB_EVENT_COMM_EST);
}

static enum urxe_step respond_skb(struct urxe_qp *qp, struct sk_buff *skb,
				  struct urxe_ctx *ctx)
{
	enum urxe_step step = URXE_STEP_DONE;
	struct urxe_pkt pkt;
	int err;

	if (!(qp->service & OP_UD) && !urxe_path_matches(&qp->path, skb)) {
		urxe_count(qp->dev, URXE_CNT_DROP_WRONG_PEER);
		urxe_run(skb)->off = urxe_run(skb)->end;
		return URXE_STEP_DONE;
	}
	check_comm_est(qp);
	while (step == URXE_STEP_DONE && !qp->resp.read.active &&
	       qp_state(qp) != IB_QPS_ERR && urxe_run_peek(skb, &pkt)) {
		ctx->budget--;
		err = request(qp, &pkt, ctx);
		if (err == -EAGAIN)
			return URXE_STEP_SLEEP;
		urxe_run_next(skb);
		if (err == URXE_NO_SOURCE)
			refuse(qp, &pkt, ctx);
		else if (err)
			fail(qp, ctx, err);
		step = send_responses(qp, ctx);
	}
	return step;
}

static bool run_left(struct sk_buff *skb)
{
	return urxe_run(skb)->off < urxe_run(skb)->end;
}

static enum urxe_step respond(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct sk_buff_head *pkts = &qp->resp.pkts;
	enum urxe_step step;
	struct sk_buff *skb;

	step = send_responses(qp, ctx);
	while (step == URXE_STEP_DONE && !qp->resp.read.active &&
	       qp_state(qp) != IB_QPS_ERR && (skb = skb_peek(pkts))) {
		step = respond_skb(qp, skb, ctx);
		if (step == URXE_STEP_SLEEP)
			break;
		if (!run_left(skb)) {
			skb_unlink(skb, pkts);
			consume_skb(skb);
		}
		if (ctx->budget <= 0)
			step = URXE_STEP_AGAIN;
	}
	if (step == URXE_STEP_DONE)
		send_ack(qp, ctx);
	return step;
}

/*
 * A program posts receive requests without a system call. So a QP in error looks
 * for them by itself, less and less often while there are none.
 */
static void look_again(struct urxe_qp *qp, bool found)
{
	struct urxe_resp *resp = &qp->resp;

	if (!qp_is_user(qp))
		return;
	resp->flush_wait = found ? FLUSH_WAIT_MIN :
				   clamp(2 * resp->flush_wait, FLUSH_WAIT_MIN,
					 FLUSH_WAIT_MAX);
	mod_timer(&resp->flush_timer, jiffies + resp->flush_wait);
}

static void on_flush_timer(struct timer_list *timer)
{
	struct urxe_qp *qp = container_of(timer, struct urxe_qp,
					  resp.flush_timer);

	urxe_runner_kick(&qp->rq_runner);
}

/* What an SRQ still has is for other QPs; who takes it down waits for this. */
static void report_last_wqe(struct urxe_qp *qp)
{
	if (qp->resp.last_wqe)
		return;
	qp->resp.last_wqe = true;
	urxe_qp_event(qp, IB_EVENT_QP_LAST_WQE_REACHED);
}

/* What is posted while this runs is left for the next time: it is bounded. */
static void flush_rq(struct urxe_qp *qp)
{
	struct urxe_resp *resp = &qp->resp;
	u32 n = urxe_rq_pending(&qp->rq);

	skb_queue_purge(&resp->pkts);
	resp->read.active = false;
	resp->length = 0;
	if (resp->have_rqe)
		post_recv_cqe(qp, IB_WC_WR_FLUSH_ERR, NULL);
	if (qp->ibqp.srq) {
		report_last_wqe(qp);
		return;
	}
	look_again(qp, n);
	while (n-- && urxe_rq_pull(&qp->rq, &resp->rqe))
		post_recv_cqe(qp, IB_WC_WR_FLUSH_ERR, NULL);
}

enum urxe_step urxe_rq_step(struct urxe_runner *runner, struct urxe_ctx *ctx)
{
	struct urxe_qp *qp = container_of(runner, struct urxe_qp, rq_runner);
	enum urxe_step step;

	switch (qp_state(qp)) {
	case IB_QPS_RTR:
	case IB_QPS_RTS:
	case IB_QPS_SQD:
	case IB_QPS_SQE:
		step = respond(qp, ctx);
		if (qp_state(qp) != IB_QPS_ERR)
			return step;
		break;
	case IB_QPS_ERR:
		break;
	default:
		urxe_qp_drop(qp, &qp->resp.pkts);
		return URXE_STEP_DONE;
	}
	flush_rq(qp);
	return URXE_STEP_DONE;
}

/* --- beginning and end -------------------------------------------------- */

void urxe_resp_init(struct urxe_qp *qp)
{
	skb_queue_head_init(&qp->resp.pkts);
	timer_setup(&qp->resp.flush_timer, on_flush_timer, 0);
}

void urxe_resp_reset(struct urxe_qp *qp)
{
	struct urxe_resp *resp = &qp->resp;

	timer_delete_sync(&resp->flush_timer);
	resp->flush_wait = 0;
	skb_queue_purge(&resp->pkts);
	resp->msn = 0;
	resp->in_msg = 0;
	resp->nak_sent = false;
	resp->comm_est = false;
	resp->ack_due = false;
	resp->unacked = 0;
	resp->length = 0;
	resp->have_rqe = false;
	resp->last_wqe = false;
	resp->read.active = false;
	resp->next_res = 0;
	if (resp->res)
		memset(resp->res, 0, resp->num_res * sizeof(*resp->res));
	urxe_rq_reset(&qp->rq);
}
