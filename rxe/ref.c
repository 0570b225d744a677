// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Payload by reference. The sender is held only for copies that do not sleep, so
 * its destruction never waits for the receiver's page faults.
 */
#include "access.h"
#include "batch.h"
#include "frag.h"
#include "handle.h"
#include "mr.h"
#include "qp.h"
#include "ref.h"
#include "sg.h"

/*
 * A kernel consumer's memory may be gone as soon as its QP has flushed, whatever the
 * receiver is about to do with a reference.
 */
bool urxe_ref_possible(struct urxe_batch *batch, const struct rxe_sge *sge, u32 num,
		       u32 off, u32 len, int access)
{
	return qp_is_user(batch->qp) && len >= URXE_REF_MIN &&
	       urxe_batch_is_local(batch) &&
	       urxe_sg_at_hand(batch->qp->ibqp.pd, sge, num, off, len, access);
}

/*
 * Do the bytes still stand for what was sent? Not those of a work request that has been
 * flushed, or forgotten in a reset: they are the consumer's again. The answer to a READ
 * was given, and stands in error too; not after a reset.
 */
static bool stands(const struct urxe_qp *sender, const struct urxe_ref *ref)
{
	enum ib_qp_state state = qp_state(sender);

	return READ_ONCE(sender->life) == ref->life && state >= IB_QPS_RTR &&
	       (ref->access || state != IB_QPS_ERR);
}

struct urxe_qp *urxe_ref_sender(const struct urxe_pkt *pkt)
{
	struct urxe_qp *qp = urxe_handle_qp(urxe_handle_of(pkt->skb));

	if (qp && !stands(qp, pkt->ref)) {
		urxe_qp_put(qp);
		return NULL;
	}
	return qp;
}

/* The bytes have been read, as they were until now. Uses up the reference on @sender. */
static int read_from(struct urxe_qp *sender, const struct urxe_ref *ref, int err)
{
	/* Who may write to them has changed the state before. */
	smp_rmb();
	if (!err && !stands(sender, ref))
		err = URXE_NO_SOURCE;
	urxe_qp_put(sender);
	return err;
}

/* Part of a packet's payload, in one entry of its reference. */
static int move_part(struct ib_pd *from, const struct urxe_ref *ref,
		     const struct urxe_sg_place *at, u32 len,
		     const struct urxe_sink *sink, u32 done,
		     struct urxe_ctx *ctx)
{
	u64 sva = at->sge->addr + at->off;
	struct urxe_mr *src;
	int err;

	src = urxe_mr_get(from, at->sge->lkey, ref->access, sva, len);
	if (!src)
		return URXE_NO_SOURCE;
	if (sink->mr)
		err = urxe_mr_move(sink->mr, sink->va + done, src, sva, len,
				   ctx);
	else
		err = urxe_sg_move(sink->ibpd, sink->sge, sink->num,
				   sink->off + done, src, sva, len, ctx);
	urxe_mr_put(src);
	return err;
}

static int move_all(struct ib_pd *from, const struct urxe_pkt *pkt,
		    const struct urxe_sink *sink, struct urxe_ctx *ctx)
{
	const struct urxe_ref *ref = pkt->ref;
	struct urxe_sg_place at = { ref->sge, ref->num_sge,
				    ref->off + pkt->skip };
	u32 part, done;
	int err = 0;

	for (done = 0; !err && done < pkt->len; done += part, at.off += part) {
		part = urxe_sg_part(&at, pkt->len - done);
		if (!part)
			return URXE_NO_SOURCE;
		err = move_part(from, ref, &at, part, sink, done, ctx);
	}
	return err;
}

int urxe_ref_move(const struct urxe_pkt *pkt, const struct urxe_sink *sink,
		  struct urxe_ctx *ctx)
{
	struct urxe_qp *sender = urxe_ref_sender(pkt);
	int err;

	if (!sender)
		return URXE_NO_SOURCE;
	err = move_all(sender->ibqp.pd, pkt, sink, ctx);
	return read_from(sender, pkt->ref, err);
}

/*
 * @skb's truesize stays: the inbox takes off what it has put on. How many bytes these
 * can be is bounded by the sender's window.
 */
static void add_frag(struct sk_buff *skb, struct page_frag *frag, u32 len)
{
	get_page(frag->page);
	skb_fill_page_desc(skb, skb_shinfo(skb)->nr_frags, frag->page,
			   frag->offset, len);
	frag->offset += len;
	skb->len += len;
	skb->data_len += len;
}

static bool may_read(struct ib_pd *from, const struct urxe_ref *ref)
{
	struct urxe_mr *mr;

	if (!ref->access)
		return true;
	mr = urxe_mr_get(from, ref->sge->lkey, ref->access,
			 ref->sge->addr + ref->off, ref->len);
	if (mr)
		urxe_mr_put(mr);
	return mr;
}

static int fetch(struct ib_pd *from, struct sk_buff *skb, struct urxe_ref *ref,
		 struct urxe_ctx *ctx)
{
	struct urxe_ctx nowait = { .runner = ctx->runner };
	struct page_frag frag = {};
	u32 n, done;
	int err = may_read(from, ref) ? 0 : -EFAULT;

	for (done = 0; !err && done < ref->len; done += n) {
		n = min_t(u32, ref->len - done, PAGE_SIZE);
		if (skb_shinfo(skb)->nr_frags == MAX_SKB_FRAGS ||
		    !urxe_frag_need(&frag, n, GFP_ATOMIC)) {
			err = URXE_NO_SOURCE;
			break;
		}
		n = min(ref->len - done, frag.size - frag.offset);
		err = urxe_sg_read(from, ref->sge, ref->num_sge,
				   ref->off + done,
				   page_address(frag.page) + frag.offset, n,
				   &nowait);
		if (!err)
			add_frag(skb, &frag, n);
	}
	urxe_frag_return(&frag);
	urxe_ctx_want(&nowait, NULL);
	return err ? URXE_NO_SOURCE : 0;
}

int urxe_ref_fetch(const struct urxe_pkt *pkt, struct urxe_ctx *ctx)
{
	struct urxe_qp *sender = urxe_ref_sender(pkt);
	int err;

	if (!sender)
		return URXE_NO_SOURCE;
	err = fetch(sender->ibqp.pd, pkt->skb, pkt->ref, ctx);
	err = read_from(sender, pkt->ref, err);
	if (!err)
		pkt->ref->fetched = true;
	return err;
}
