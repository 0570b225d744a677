// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * READ responses, and what it takes to answer a READ or an atomic again.
 */
#include "access.h"
#include "batch.h"
#include "mr.h"
#include "opcode.h"
#include "qp.h"
#include "ref.h"
#include "resp.h"

void urxe_res_remember(struct urxe_qp *qp, const struct urxe_rd_res *res)
{
	struct urxe_resp *resp = &qp->resp;

	resp->res[resp->next_res] = *res;
	resp->next_res = (resp->next_res + 1) % resp->num_res;
}

/* PSNs come round, and what is remembered may be as old as that: newest first. */
struct urxe_rd_res *urxe_res_recall(struct urxe_qp *qp, u32 psn)
{
	struct urxe_resp *resp = &qp->resp;
	struct urxe_rd_res *res;
	u32 age;

	for (age = 1; age <= resp->num_res; age++) {
		res = &resp->res[(resp->next_res + resp->num_res - age) %
				 resp->num_res];
		if (res->traits && psn_within(psn, res->first_psn, res->packets))
			return res;
	}
	return NULL;
}

/* --- responses ---------------------------------------------------------- */

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
}

static void put_read_aeth(struct urxe_qp *qp, struct urxe_bth *bth)
{
	if (urxe_traits(bth->opcode) & OP_AETH)
		urxe_put_aeth(urxe_bth_ext(bth), qp, AETH_ACK | AETH_ACK_UNLIMITED);
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
	return !qp->resp.read.by_value &&
	       urxe_ref_possible(batch, sge, 1, 0, sge->length,
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

/*
 * A request that comes twice may do so late, when its sender has had the answer, and has
 * the key invalidated. What is wrong then is no error of his, and no news to him.
 */
static void give_up(struct urxe_qp *qp, struct urxe_ctx *ctx, int why)
{
	if (!qp->resp.read.again)
		urxe_resp_fail(qp, ctx, why);
	qp->resp.read.active = false;
}

enum urxe_step urxe_read_respond(struct urxe_qp *qp, struct urxe_ctx *ctx)
{
	struct urxe_read *read = &qp->resp.read;
	struct urxe_batch batch;
	int err = 0;

	if (!read->active)
		return URXE_STEP_DONE;
	if (urxe_send_away(read->resid))
		return URXE_STEP_AWAY;
	urxe_batch_init(&batch, qp, ctx);
	while (read->active && !err && !urxe_ctx_over(ctx) &&
	       !urxe_handle_full(qp->handle, URXE_SIDE_RQ)) {
		ctx->budget--;
		err = read_next(qp, &batch, ctx);
	}
	urxe_batch_send(&batch);
	if (err == -EAGAIN)
		return URXE_STEP_SLEEP;
	if (err == -ENOMEM)
		return URXE_STEP_AGAIN;
	/* Before the clock is asked: the next turn would fail as late as this one. */
	if (err)
		give_up(qp, ctx, err);
	return read->active && urxe_ctx_over(ctx) ? URXE_STEP_AGAIN :
						    URXE_STEP_DONE;
}

void urxe_read_start(struct urxe_qp *qp, u32 psn, u32 rkey, u64 va, u32 len)
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

void urxe_read_replay(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		      const struct urxe_rd_res *res)
{
	const struct urxe_reth *reth = pkt_ext(pkt);
	u64 va = be64_to_cpu(reth->va);
	u32 len = be32_to_cpu(reth->len);
	u32 off = psn_dist(pkt->psn, res->first_psn) * qp->mtu;

	if (be32_to_cpu(reth->rkey) == res->rkey && off <= res->len &&
	    va == res->va + off && len <= res->len - off) {
		urxe_read_start(qp, pkt->psn, res->rkey, va, len);
		/* Who has refused a reference has not had the answer. */
		qp->resp.read.by_value = test_and_clear_bit(0, &qp->resp.refused);
		qp->resp.read.again = !qp->resp.read.by_value;
	}
}
