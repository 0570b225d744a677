// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Taking received packets apart, and moving their payload.
 */
#include "mr.h"
#include "pkt.h"

/* Likewise of a single skb, without those chained to it; moves @off on. */
static const void *own_piece(const struct sk_buff *skb, u32 *off, u32 *len)
{
	u32 size = skb_headlen(skb);
	int i;

	if (*off < size) {
		*len = size - *off;
		return skb->data + *off;
	}
	*off -= size;
	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];

		size = skb_frag_size(frag);
		if (*off < size) {
			*len = size - *off;
			return skb_frag_address(frag) + *off;
		}
		*off -= size;
	}
	return NULL;
}

const void *urxe_skb_piece(const struct sk_buff *skb, u32 off, u32 *len)
{
	const void *piece = own_piece(skb, &off, len);
	const struct sk_buff *chained;

	if (piece)
		return piece;
	skb_walk_frags(skb, chained) {
		piece = own_piece(chained, &off, len);
		if (piece)
			return piece;
	}
	*len = 0;
	return NULL;
}

bool urxe_pkt_parse(struct urxe_pkt *pkt, struct sk_buff *skb, u32 off,
		    u32 len)
{
	u32 hdr_len, pad;

	if (len < sizeof(pkt->bth) + URXE_ICRC_LEN ||
	    skb_copy_bits(skb, off, pkt->hdr, sizeof(pkt->bth)))
		return false;
	hdr_len = urxe_hdr_len(pkt->bth.opcode);
	pad = (pkt->bth.flags & BTH_PAD_MASK) >> BTH_PAD_SHIFT;
	if (!hdr_len || (pkt->bth.flags & BTH_TVER_MASK) || (len & 3) ||
	    len < hdr_len + pad + URXE_ICRC_LEN ||
	    skb_copy_bits(skb, off, pkt->hdr, hdr_len))
		return false;
	pkt->skb = skb;
	pkt->payload = off + hdr_len;
	pkt->len = len - hdr_len - pad - URXE_ICRC_LEN;
	pkt->traits = urxe_traits(pkt->bth.opcode);
	pkt->psn = ntohl(pkt->bth.apsn) & BTH_24BITS;
	return !pkt->len || (pkt->traits & OP_PAYLOAD);
}

bool urxe_run_peek(struct sk_buff *skb, struct urxe_pkt *pkt)
{
	struct urxe_run *run = urxe_run(skb);

	return run->off < run->end &&
	       urxe_pkt_parse(pkt, skb, run->off,
			      min(run->seg, run->end - run->off));
}

/* Where the payload goes: exactly one of @mr and @sge. */
struct sink {
	struct urxe_mr		*mr;
	u64			va;
	struct ib_pd		*ibpd;
	const struct rxe_sge	*sge;
	u32			num;
	u32			off;
	struct urxe_ctx		*ctx;
};

static int sink_write(const struct sink *sink, u32 done, const void *src,
		      u32 len)
{
	if (sink->mr)
		return urxe_mr_write(sink->mr, sink->va + done, src, len,
				     sink->ctx);
	return urxe_sg_write(sink->ibpd, sink->sge, sink->num,
			     sink->off + done, src, len, sink->ctx);
}

static int to_sink(const struct urxe_pkt *pkt, const struct sink *sink)
{
	u32 done, len;
	int err = 0;

	for (done = 0; !err && done < pkt->len; done += len) {
		const void *src = urxe_skb_piece(pkt->skb, pkt->payload + done,
						 &len);

		len = min(len, pkt->len - done);
		err = src ? sink_write(sink, done, src, len) : -EFAULT;
	}
	return err;
}

int urxe_pkt_to_sg(const struct urxe_pkt *pkt, struct ib_pd *ibpd,
		   const struct rxe_sge *sge, u32 num, u32 off,
		   struct urxe_ctx *ctx)
{
	struct sink sink = {
		.ibpd = ibpd, .sge = sge, .num = num, .off = off, .ctx = ctx,
	};

	return to_sink(pkt, &sink);
}

int urxe_pkt_to_mr(const struct urxe_pkt *pkt, struct urxe_mr *mr, u64 va,
		   struct urxe_ctx *ctx)
{
	struct sink sink = { .mr = mr, .va = va, .ctx = ctx };

	return to_sink(pkt, &sink);
}
