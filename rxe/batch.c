// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Filling and sending batches.
 *
 * Headers of IP and UDP stand in the skb's linear part, packets in page
 * fragments, one packet never in two. A small one that is likely to stay alone stands
 * in the linear part, too: it costs less to make, and to take apart.
 */
#include <linux/delay.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/ip6_route.h>
#include <net/sock.h>
#include <net/udp.h>

#include "batch.h"
#include "counters.h"
#include "frag.h"
#include "icrc.h"
#include "ns.h"
#include "opcode.h"
#include "path.h"
#include "qp.h"
#include "ref.h"
#include "rx.h"
#include "trace.h"

void urxe_batch_init(struct urxe_batch *batch, struct urxe_qp *qp,
		     struct urxe_ctx *ctx)
{
	*batch = (struct urxe_batch){
		.qp = qp,
		.ctx = ctx,
		.dqpn = qp->attr.dest_qp_num,
		.gfp = ctx->may_sleep && qp_is_user(qp) ?
		       GFP_KERNEL : GFP_ATOMIC | __GFP_NOWARN,
	};
}

/*
 * Look up where the batch goes; once, which is a turn's worth of time at most. The
 * number says whether the receiver is one of ours (see intake.c).
 */
static void aim(struct urxe_batch *batch)
{
	struct urxe_qp *qp = batch->qp;

	if (batch->aimed)
		return;
	batch->aimed = true;
	batch->dst = urxe_path_route(qp->dev, &qp->path);
	batch->local = batch->dst && batch->dqpn >= URXE_MIN_QPN &&
		       urxe_path_is_local(&qp->path, batch->dst);
}

bool urxe_batch_is_local(struct urxe_batch *batch)
{
	aim(batch);
	return batch->local;
}

/* Bytes of a small packet: an skb's head has room for them anyway. */
#define LINEAR_MAX	128

/* Before a worker tries again to get memory. */
#define NO_MEMORY_US	1000

static unsigned int headroom(const struct urxe_path *path)
{
	return MAX_HEADER + urxe_path_ip_len(path) + sizeof(struct udphdr);
}

/* @room: for what follows the headers in the linear part */
static bool batch_open(struct urxe_batch *batch, u32 room)
{
	struct urxe_path *path = &batch->qp->path;

	aim(batch);
	batch->skb = alloc_skb(headroom(path) + room, batch->gfp);
	if (!batch->skb)
		return false;
	skb_reserve(batch->skb, headroom(path));
	batch->ip_id = atomic_fetch_add(URXE_BATCH_PKTS, &path->ip_id);
	batch->pkt_len = batch->len;
	batch->count = 0;
	batch->closed = false;
	batch->icrc.len = 0;
	urxe_path_push_headers(path, batch->skb, batch->ip_id);
	return true;
}

/* May a packet of @batch->len bytes go into the skb as it is? */
static bool may_join(const struct urxe_batch *batch)
{
	return !batch->closed && !batch->linear && batch->len <= batch->pkt_len &&
	       batch->count < URXE_BATCH_PKTS &&
	       batch->skb->data_len + batch->len <= URXE_BATCH_BYTES &&
	       skb_shinfo(batch->skb)->nr_frags < MAX_SKB_FRAGS;
}

/*
 * RoCEv2 needs no UDP checksum, but segmentation goes by it, so packets of batches
 * have one. Others then have one, too: GRO holds packets back to merge them with
 * the next ones, but none without a checksum, which would come before them.
 */
static void set_checksum(struct sk_buff *skb)
{
	unsigned int len = ntohs(udp_hdr(skb)->len);

	if (skb->protocol == htons(ETH_P_IP))
		udp_set_csum(false, skb, ip_hdr(skb)->saddr,
			     ip_hdr(skb)->daddr, len);
	else
		udp6_set_csum(false, skb, &ipv6_hdr(skb)->saddr,
			      &ipv6_hdr(skb)->daddr, len);
}

static void set_gso(const struct urxe_batch *batch, struct sk_buff *skb)
{
	skb_shinfo(skb)->gso_size = batch->pkt_len;
	skb_shinfo(skb)->gso_segs = batch->count;
	skb_shinfo(skb)->gso_type = SKB_GSO_UDP_L4;
}

static int xmit(struct net *net, struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_IPV6)
	if (skb->protocol == htons(ETH_P_IPV6))
		return ip6_local_out(net, NULL, skb);
#endif
	return ip_local_out(net, NULL, skb);
}

static void count_batch(const struct urxe_batch *batch, u32 bytes)
{
	struct urxe_dev *dev = batch->qp->dev;

	urxe_count_add(dev, URXE_CNT_TX_PKTS, batch->count);
	urxe_count_add(dev, URXE_CNT_TX_BYTES, bytes);
	urxe_count(dev, URXE_CNT_TX_BATCHES);
	if (urxe_av_is_multicast(&batch->qp->path.av))
		urxe_count_add(dev, URXE_CNT_TX_MCAST, batch->count);
	trace_urxe_tx(batch->qp, batch->count, bytes);
}

static void to_wire(struct urxe_batch *batch, struct sk_buff *skb)
{
	struct urxe_dev *dev = batch->qp->dev;
	int err;

	urxe_path_set_length(skb);
	set_checksum(skb);
	if (batch->count > 1)
		set_gso(batch, skb);
	skb_dst_set(skb, dst_clone(batch->dst));
	skb->dev = batch->dst->dev;
	skb->priority = rt_tos2priority(batch->qp->path.av.tclass);
	err = xmit(dev->ns->net, skb);
	if (net_xmit_eval(err))
		urxe_count_add(dev, URXE_CNT_SEND_ERR, batch->count);
}

static void to_peer(struct urxe_batch *batch, struct sk_buff *skb)
{
	struct urxe_qp *qp = batch->qp;
	struct urxe_qp *peer = urxe_qp_get(qp->dev->ns->net, batch->dqpn);

	if (!peer) {
		urxe_count_add(qp->dev, URXE_CNT_DROP_NO_QP, batch->count);
		kfree_skb(skb);
		return;
	}
	urxe_rx_local(peer, skb, batch->request,
		      (struct urxe_run){ .seg = batch->pkt_len,
					 .ref = batch->ref }, batch->ctx);
}

/* Send what is there; more may follow. */
static void flush(struct urxe_batch *batch)
{
	struct sk_buff *skb = batch->skb;
	u32 headers = skb_transport_offset(skb) + sizeof(struct udphdr);

	batch->skb = NULL;
	if (!batch->count || !batch->dst) {
		urxe_count_add(batch->qp->dev, URXE_CNT_SEND_ERR, batch->count);
		kfree_skb(skb);
		return;
	}
	count_batch(batch, batch->ref ? batch->ref->wire_len :
			   skb->len - headers);
	urxe_handle_charge(batch->qp->handle, batch->request ?
			   URXE_SIDE_SQ : URXE_SIDE_RQ, skb);
	batch->many = true;
	if (batch->local)
		to_peer(batch, skb);
	else
		to_wire(batch, skb);
}

static void *packet(const struct urxe_batch *batch)
{
	if (batch->linear)
		return skb_tail_pointer(batch->skb);
	return page_address(batch->frag.page) + batch->frag.offset;
}

static void write_bth(const struct urxe_batch *batch, struct urxe_bth *bth,
		      u8 opcode, u8 pad, u32 psn)
{
	bth->opcode = opcode;
	bth->flags = BTH_MIG | pad << BTH_PAD_SHIFT;
	bth->pkey = htons(URXE_PKEY);
	bth->qpn = htonl(batch->dqpn);
	bth->apsn = htonl(psn);
}

/* What comes again at once, in a worker, would keep the processor from who frees some. */
static void no_memory(const struct urxe_batch *batch)
{
	urxe_count(batch->qp->dev, URXE_CNT_DROP_NOMEM);
	if (batch->ctx->yields)
		usleep_range(NO_MEMORY_US, 2 * NO_MEMORY_US);
}

/* For a packet of @batch->len bytes, in an skb where it may be. */
static bool make_room(struct urxe_batch *batch)
{
	if (batch->skb && !may_join(batch))
		flush(batch);
	if (!batch->skb) {
		batch->linear = !batch->many && batch->len <= LINEAR_MAX;
		if (!batch_open(batch, batch->linear ? LINEAR_MAX : 0))
			return false;
	}
	return batch->linear ||
	       urxe_frag_need(&batch->frag, batch->len, batch->gfp);
}

struct urxe_bth *urxe_batch_packet(struct urxe_batch *batch, u8 opcode,
				   u32 payload, u32 psn)
{
	u8 pad = -payload & 3;
	struct urxe_bth *bth;

	batch->len = urxe_hdr_len(opcode) + payload + pad + URXE_ICRC_LEN;
	if (!make_room(batch)) {
		no_memory(batch);
		return NULL;
	}
	batch->request = urxe_traits(opcode) & OP_REQUEST;
	bth = packet(batch);
	write_bth(batch, bth, opcode, pad, psn);
	memset((u8 *)bth + batch->len - URXE_ICRC_LEN - pad, 0, pad);
	return bth;
}

/* Requests are the SQ side's, responses the RQ side's, and notifications of either. */
static struct urxe_icrc_memo *memo_for(const struct urxe_batch *batch,
				       const struct urxe_bth *bth)
{
	if (urxe_traits(bth->opcode) & OP_CNP)
		return NULL;
	return &batch->qp->tx_memo[batch->request ? URXE_SIDE_SQ : URXE_SIDE_RQ];
}

static void write_icrc(struct urxe_batch *batch)
{
	struct urxe_bth *bth = packet(batch);
	u32 len = batch->len - URXE_ICRC_LEN;
	__le32 icrc;
	u32 crc;

	crc = urxe_icrc(&batch->icrc, memo_for(batch, bth), batch->skb,
			batch->ip_id + batch->count, bth, batch->len);
	crc = urxe_icrc_update(crc, bth + 1, len - sizeof(*bth));
	icrc = urxe_icrc_final(crc);
	memcpy((u8 *)bth + len, &icrc, sizeof(icrc));
}

/* Append the packet's memory, as part of the last fragment where they touch. */
static void add_frag(struct urxe_batch *batch)
{
	struct page_frag *frag = &batch->frag;
	struct sk_buff *skb = batch->skb;
	int n = skb_shinfo(skb)->nr_frags;

	if (skb_can_coalesce(skb, n, frag->page, frag->offset)) {
		skb_frag_size_add(&skb_shinfo(skb)->frags[n - 1], batch->len);
	} else {
		get_page(frag->page);
		skb_fill_page_desc(skb, n, frag->page, frag->offset,
				   batch->len);
	}
	frag->offset += batch->len;
	skb->len += batch->len;
	skb->data_len += batch->len;
	skb->truesize += batch->len;
}

void urxe_batch_commit(struct urxe_batch *batch)
{
	if (!batch->local)
		write_icrc(batch);
	if (batch->linear)
		skb_put(batch->skb, batch->len);
	else
		add_frag(batch);
	batch->count++;
	batch->closed = batch->len < batch->pkt_len;
}

struct urxe_bth *urxe_batch_ref(struct urxe_batch *batch, u8 opcode, u32 psn,
				u32 num_sge)
{
	struct urxe_bth *bth;

	batch->len = urxe_hdr_len(opcode);
	if (batch->skb)
		flush(batch);
	batch->linear = false;
	if (!batch_open(batch, batch->len + urxe_ref_room(num_sge))) {
		no_memory(batch);
		return NULL;
	}
	batch->request = urxe_traits(opcode) & OP_REQUEST;
	bth = skb_put(batch->skb, batch->len);
	write_bth(batch, bth, opcode, 0, psn);
	batch->ref = urxe_ref_of(batch->skb);
	return bth;
}

/* Every packet has a BTH and an ICRC, and the last one is padded. */
void urxe_batch_commit_ref(struct urxe_batch *batch)
{
	const u32 each = sizeof(struct urxe_bth) + URXE_ICRC_LEN;
	struct urxe_ref *ref = batch->ref;

	ref->life = batch->qp->life;
	ref->wire_len = batch->len + URXE_ICRC_LEN + ALIGN(ref->len, 4) +
			(ref->packets - 1) * each;
	batch->count = ref->packets;
	flush(batch);
	batch->ref = NULL;
}

void urxe_batch_turn(struct urxe_batch *batch, u32 dqpn)
{
	if (batch->skb)
		flush(batch);
	dst_release(batch->dst);
	batch->dst = NULL;
	batch->aimed = false;
	batch->dqpn = dqpn;
}

void urxe_batch_send(struct urxe_batch *batch)
{
	if (batch->skb)
		flush(batch);
	urxe_frag_return(&batch->frag);
	dst_release(batch->dst);
}
