// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Taking received packets apart, and moving their payload.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <net/ipv6.h>

#include "access.h"
#include "pkt.h"
#include "psn.h"
#include "ref.h"
#include "runner.h"
#include "sg.h"

/* As urxe_skb_piece(), of an skb without those chained to it; moves @off on. */
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

void urxe_skb_dgid(const struct sk_buff *skb, union ib_gid *gid)
{
	if (skb->protocol == htons(ETH_P_IP))
		ipv6_addr_set_v4mapped(ip_hdr(skb)->daddr,
				       (struct in6_addr *)gid->raw);
	else
		memcpy(gid->raw, &ipv6_hdr(skb)->daddr, sizeof(gid->raw));
}

bool urxe_skb_bth(const struct sk_buff *skb, u32 off, struct urxe_bth *bth)
{
	u32 there;
	const void *at = urxe_skb_piece(skb, off, &there);

	if (there < sizeof(*bth))
		return !skb_copy_bits(skb, off, bth, sizeof(*bth));
	memcpy(bth, at, sizeof(*bth));
	return true;
}

bool urxe_bth_fits(const struct urxe_bth *bth, u32 len)
{
	u32 hdr_len = urxe_hdr_len(bth->opcode);
	u32 least = hdr_len + bth_pad(bth) + URXE_ICRC_LEN;

	if (!hdr_len || (bth->flags & BTH_TVER_MASK) || (len & 3) || len < least)
		return false;
	/* A request with more than it can carry is one that the responder refuses. */
	return len == least ||
	       (urxe_traits(bth->opcode) & (OP_PAYLOAD | OP_REQUEST));
}

/* The headers, and what stands behind them; all of it in one go where possible. */
static bool copy_headers(struct urxe_pkt *pkt, struct sk_buff *skb, u32 off,
			 u32 len)
{
	u32 there, n = min_t(u32, len, sizeof(pkt->hdr));
	const void *at = urxe_skb_piece(skb, off, &there);

	pkt->bytes = there < len ? NULL : at;
	if (there < n)
		return !skb_copy_bits(skb, off, pkt->hdr, n);
	memcpy(pkt->hdr, at, n);
	return true;
}

bool urxe_pkt_parse(struct urxe_pkt *pkt, struct sk_buff *skb, u32 off,
		    u32 len)
{
	u32 hdr_len;

	if (len < sizeof(pkt->bth) || !copy_headers(pkt, skb, off, len) ||
	    !urxe_bth_fits(&pkt->bth, len))
		return false;
	hdr_len = urxe_hdr_len(pkt->bth.opcode);
	pkt->skb = skb;
	pkt->packets = 1;
	pkt->ref = NULL;
	pkt->skip = 0;
	pkt->payload = off + hdr_len;
	pkt->len = len - hdr_len - bth_pad(&pkt->bth) - URXE_ICRC_LEN;
	pkt->traits = urxe_traits(pkt->bth.opcode);
	pkt->psn = ntohl(pkt->bth.apsn) & BTH_24BITS;
	return true;
}

void urxe_pkt_parse_ref(struct urxe_pkt *pkt, struct sk_buff *skb,
			struct urxe_ref *ref)
{
	const struct urxe_bth *bth = (const void *)skb->data;
	u32 hdr_len = urxe_hdr_len(bth->opcode);

	memcpy(pkt->hdr, bth, hdr_len);
	pkt->bytes = NULL;
	pkt->skb = skb;
	pkt->payload = hdr_len;
	pkt->len = ref->len;
	pkt->traits = urxe_traits(bth->opcode);
	pkt->psn = ntohl(bth->apsn) & BTH_24BITS;
	pkt->packets = ref->packets;
	pkt->ref = ref;
	pkt->skip = 0;
}

void urxe_pkt_trim(struct urxe_pkt *pkt, u32 n, u32 mtu)
{
	pkt->psn = psn_add(pkt->psn, n);
	pkt->packets -= n;
	pkt->skip = n * mtu;
	pkt->payload += pkt->skip;
	pkt->len -= pkt->skip;
	pkt->traits &= ~(OP_FIRST | OP_RETH);
}

static int sink_write(const struct urxe_sink *sink, u32 done, const void *src,
		      u32 len, struct urxe_ctx *ctx)
{
	if (sink->mr)
		return urxe_mr_write(sink->mr, sink->va + done, src, len, ctx);
	return urxe_sg_write(sink->ibpd, sink->sge, sink->num,
			     sink->off + done, src, len, ctx);
}

static int bytes_to_sink(const struct urxe_pkt *pkt,
			 const struct urxe_sink *sink, struct urxe_ctx *ctx)
{
	u32 done, len;
	int err = 0;

	if (pkt->bytes)
		return sink_write(sink, 0, pkt->bytes +
				  urxe_hdr_len(pkt->bth.opcode), pkt->len, ctx);
	for (done = 0; !err && done < pkt->len; done += len) {
		const void *src = urxe_skb_piece(pkt->skb, pkt->payload + done,
						 &len);

		len = min(len, pkt->len - done);
		err = src ? sink_write(sink, done, src, len, ctx) : -EFAULT;
	}
	return err;
}

/* What has to wait for the receiver's memory is fetched first. */
static int ref_to_sink(const struct urxe_pkt *pkt,
		       const struct urxe_sink *sink, struct urxe_ctx *ctx)
{
	int err = urxe_ref_move(pkt, sink, ctx);

	if (err != -EAGAIN)
		return err;
	err = urxe_ref_fetch(pkt, ctx);
	if (err || !ctx->may_sleep)
		return err ?: -EAGAIN;
	return bytes_to_sink(pkt, sink, ctx);
}

static int to_sink(const struct urxe_pkt *pkt, const struct urxe_sink *sink,
		   struct urxe_ctx *ctx)
{
	if (pkt->ref && !pkt->ref->fetched)
		return ref_to_sink(pkt, sink, ctx);
	return bytes_to_sink(pkt, sink, ctx);
}

int urxe_pkt_to_sg(const struct urxe_pkt *pkt, struct ib_pd *ibpd,
		   const struct rxe_sge *sge, u32 num, u32 off,
		   struct urxe_ctx *ctx)
{
	const struct urxe_sink sink = {
		.ibpd = ibpd, .sge = sge, .num = num, .off = off,
	};

	return to_sink(pkt, &sink, ctx);
}

int urxe_pkt_to_mr(const struct urxe_pkt *pkt, struct urxe_mr *mr, u64 va,
		   struct urxe_ctx *ctx)
{
	const struct urxe_sink sink = { .mr = mr, .va = va };

	return to_sink(pkt, &sink, ctx);
}
