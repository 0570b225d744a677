// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Filling and sending batches.
 *
 * Headers of IP and UDP stand in the skb's linear part, packets in page
 * fragments, one packet never in two. The fragments come from a pool per CPU.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/local_lock.h>
#include <linux/udp.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/ip6_route.h>
#include <net/sock.h>
#include <net/udp.h>

#include "batch.h"
#include "counters.h"
#include "icrc.h"
#include "ns.h"
#include "opcode.h"
#include "path.h"
#include "qp.h"
#include "trace.h"

/* Where packets are written; used with bottom halves off. */
static DEFINE_PER_CPU(struct page_frag, frags);

void urxe_batch_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct page_frag *frag = per_cpu_ptr(&frags, cpu);

		if (frag->page)
			put_page(frag->page);
		frag->page = NULL;
	}
}

void urxe_batch_init(struct urxe_batch *batch, struct urxe_qp *qp,
		     const struct urxe_ctx *ctx)
{
	*batch = (struct urxe_batch){
		.qp = qp,
		.gfp = ctx->may_sleep ? GFP_KERNEL : GFP_ATOMIC | __GFP_NOWARN,
	};
}

/* Take @batch->len bytes of memory, with a reference to its page. */
static bool frag_take(struct urxe_batch *batch)
{
	struct page_frag *frag;
	bool ok;

	local_bh_disable();
	frag = this_cpu_ptr(&frags);
	ok = skb_page_frag_refill(batch->len, frag, GFP_ATOMIC | __GFP_NOWARN);
	if (ok) {
		batch->page = frag->page;
		batch->off = frag->offset;
		frag->offset += batch->len;
		get_page(frag->page);
	}
	local_bh_enable();
	return ok;
}

static unsigned int headroom(const struct urxe_path *path)
{
	return MAX_HEADER + urxe_path_ip_len(path) + sizeof(struct udphdr);
}

static bool batch_open(struct urxe_batch *batch)
{
	struct urxe_path *path = &batch->qp->path;

	batch->skb = alloc_skb(headroom(path), batch->gfp);
	if (!batch->skb)
		return false;
	skb_reserve(batch->skb, headroom(path));
	batch->ip_id = atomic_fetch_add(URXE_BATCH_PKTS, &path->ip_id);
	batch->pkt_len = batch->len;
	batch->count = 0;
	batch->closed = false;
	urxe_path_push_headers(path, batch->skb, batch->ip_id);
	return true;
}

/* May a packet of @batch->len bytes go into the skb as it is? */
static bool may_join(const struct urxe_batch *batch)
{
	return !batch->closed && batch->len <= batch->pkt_len &&
	       batch->count < URXE_BATCH_PKTS &&
	       batch->skb->data_len + batch->len <= URXE_BATCH_BYTES &&
	       skb_shinfo(batch->skb)->nr_frags < MAX_SKB_FRAGS;
}

static struct urxe_bth *write_bth(const struct urxe_batch *batch, u8 opcode,
				  u8 pad, u32 psn)
{
	struct urxe_bth *bth = page_address(batch->page) + batch->off;

	bth->opcode = opcode;
	bth->flags = BTH_MIG | pad << BTH_PAD_SHIFT;
	bth->pkey = htons(URXE_PKEY);
	bth->qpn = htonl(batch->qp->attr.dest_qp_num);
	bth->apsn = htonl(psn);
	memset((u8 *)bth + batch->len - URXE_ICRC_LEN - pad, 0, pad);
	return bth;
}

struct urxe_bth *urxe_batch_packet(struct urxe_batch *batch, u8 opcode,
				   u32 payload, u32 psn)
{
	u8 pad = -payload & 3;

	batch->len = urxe_hdr_len(opcode) + payload + pad + URXE_ICRC_LEN;
	if (batch->skb && !may_join(batch))
		urxe_batch_send(batch);
	if (!batch->skb && !batch_open(batch))
		goto nomem;
	if (!frag_take(batch))
		goto nomem;
	return write_bth(batch, opcode, pad, psn);

nomem:
	urxe_count(batch->qp->dev, URXE_CNT_DROP_NOMEM);
	return NULL;
}

static u32 icrc_start(const struct urxe_batch *batch,
		      const struct urxe_bth *bth)
{
	u16 udp_len = batch->len + sizeof(struct udphdr);

	if (batch->skb->protocol == htons(ETH_P_IP))
		return urxe_icrc_start4(ip_hdr(batch->skb),
					batch->ip_id + batch->count, udp_len,
					bth);
	return urxe_icrc_start6(ipv6_hdr(batch->skb), udp_len, bth);
}

static void write_icrc(const struct urxe_batch *batch)
{
	void *pkt = page_address(batch->page) + batch->off;
	u32 len = batch->len - URXE_ICRC_LEN;
	u32 crc = icrc_start(batch, pkt);
	__le32 icrc;

	crc = urxe_icrc_update(crc, pkt + sizeof(struct urxe_bth),
			       len - sizeof(struct urxe_bth));
	icrc = urxe_icrc_final(crc);
	memcpy(pkt + len, &icrc, sizeof(icrc));
}

/* Append the packet's memory, as part of the last fragment where they touch. */
static void add_frag(struct urxe_batch *batch)
{
	struct sk_buff *skb = batch->skb;
	int n = skb_shinfo(skb)->nr_frags;

	if (skb_can_coalesce(skb, n, batch->page, batch->off)) {
		skb_frag_size_add(&skb_shinfo(skb)->frags[n - 1], batch->len);
		put_page(batch->page);
	} else {
		skb_fill_page_desc(skb, n, batch->page, batch->off, batch->len);
	}
	skb->len += batch->len;
	skb->data_len += batch->len;
	skb->truesize += batch->len;
	batch->page = NULL;
}

void urxe_batch_commit(struct urxe_batch *batch)
{
	write_icrc(batch);
	add_frag(batch);
	batch->count++;
	batch->closed = batch->len < batch->pkt_len;
}

void urxe_batch_cancel(struct urxe_batch *batch)
{
	put_page(batch->page);
	batch->page = NULL;
}

/* A UDP checksum is what segmentation goes by; a single packet needs none. */
static void set_gso(const struct urxe_batch *batch, struct sk_buff *skb)
{
	struct udphdr *udp = udp_hdr(skb);
	unsigned int len = ntohs(udp->len);

	skb_shinfo(skb)->gso_size = batch->pkt_len;
	skb_shinfo(skb)->gso_segs = batch->count;
	skb_shinfo(skb)->gso_type = SKB_GSO_UDP_L4;
	if (skb->protocol == htons(ETH_P_IP))
		udp->check = ~udp_v4_check(len, ip_hdr(skb)->saddr,
					   ip_hdr(skb)->daddr, 0);
	else
		udp->check = ~udp_v6_check(len, &ipv6_hdr(skb)->saddr,
					   &ipv6_hdr(skb)->daddr, 0);
	skb->csum_start = skb_transport_header(skb) - skb->head;
	skb->csum_offset = offsetof(struct udphdr, check);
	skb->ip_summed = CHECKSUM_PARTIAL;
}

static int xmit(struct net *net, struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_IPV6)
	if (skb->protocol == htons(ETH_P_IPV6))
		return ip6_local_out(net, NULL, skb);
#endif
	return ip_local_out(net, NULL, skb);
}

void urxe_batch_send(struct urxe_batch *batch)
{
	struct urxe_dev *dev = batch->qp->dev;
	struct sk_buff *skb = batch->skb;
	struct dst_entry *dst;
	int err;

	batch->skb = NULL;
	if (!skb)
		return;
	dst = batch->count ? urxe_path_route(dev, &batch->qp->path) : NULL;
	if (!dst) {
		urxe_count_add(dev, URXE_CNT_SEND_ERR, batch->count);
		kfree_skb(skb);
		return;
	}
	urxe_count_add(dev, URXE_CNT_TX_PKTS, batch->count);
	urxe_count_add(dev, URXE_CNT_TX_BYTES, skb->data_len);
	urxe_count(dev, URXE_CNT_TX_BATCHES);
	trace_urxe_tx(batch->qp, batch->count, skb->data_len);
	urxe_path_set_length(skb);
	if (batch->count > 1)
		set_gso(batch, skb);
	skb_dst_set(skb, dst);
	skb->dev = dst->dev;
	skb->priority = rt_tos2priority(batch->qp->path.av.tclass);
	urxe_handle_charge(batch->qp->handle, skb);
	err = xmit(dev->ns->net, skb);
	if (net_xmit_eval(err))
		urxe_count(dev, URXE_CNT_SEND_ERR);
}
