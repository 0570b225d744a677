// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * From the UDP socket to a QP's queue.
 *
 * An skb carries one packet, or a run of equal ones that GSO or GRO left whole.
 * The run is cut where the QP or the direction changes and where a packet is no
 * good; each part is queued as it is, without a copy.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <net/ipv6.h>

#include "counters.h"
#include "icrc.h"
#include "link.h"
#include "ns.h"
#include "pkt.h"
#include "qp.h"
#include "rx.h"
#include "trace.h"

/* Bytes that wait at a QP for one of its sides; a window's worth and more. */
#define BACKLOG_LIMIT	(8 << 20)

/**
 * struct part - the packets of one skb that go to one queue
 * @qp: whose, with a reference; NULL: none yet
 * @request: to the responder, else to the completer
 * @off: of the first
 * @end: behind the last
 */
struct part {
	struct urxe_qp	*qp;
	bool		request;
	u32		off;
	u32		end;
};

static u32 crc_rest(const struct sk_buff *skb, u32 crc, u32 off, u32 len)
{
	u32 piece;

	for (; len; len -= piece, off += piece) {
		const void *at = urxe_skb_piece(skb, off, &piece);

		if (!at)
			return ~crc;
		piece = min(piece, len);
		crc = urxe_icrc_update(crc, at, piece);
	}
	return crc;
}

/* Of @len bytes at @off, for the IP identification that its sender gave it. */
static bool icrc_ok_id(const struct urxe_pkt *pkt, u32 off, u32 len, u16 id)
{
	u16 udp_len = len + sizeof(struct udphdr);
	const u32 bth_len = sizeof(struct urxe_bth);
	struct sk_buff *skb = pkt->skb;
	__le32 icrc;
	u32 crc;

	if (skb->protocol == htons(ETH_P_IP))
		crc = urxe_icrc_start4(ip_hdr(skb), id, udp_len, &pkt->bth);
	else
		crc = urxe_icrc_start6(ipv6_hdr(skb), udp_len, &pkt->bth);
	crc = crc_rest(skb, crc, off + bth_len, len - bth_len - URXE_ICRC_LEN);
	if (skb_copy_bits(skb, off + len - URXE_ICRC_LEN, &icrc, sizeof(icrc)))
		return false;
	return icrc == urxe_icrc_final(crc);
}

/*
 * Segmentation counts the identification up from packet to packet. A sender
 * that sets "don't fragment" may as well leave it as it is.
 */
static bool icrc_ok(const struct urxe_pkt *pkt, u32 off, u32 len, u32 nth)
{
	u16 id;

	if (pkt->skb->protocol != htons(ETH_P_IP))
		return icrc_ok_id(pkt, off, len, 0);
	id = ntohs(ip_hdr(pkt->skb)->id);
	return icrc_ok_id(pkt, off, len, id + nth) ||
	       (nth && icrc_ok_id(pkt, off, len, id));
}

/* Queue the part at its QP, and let the QP have it. Uses up @skb, and @part. */
static void deliver(struct part *part, struct sk_buff *skb, u32 seg)
{
	struct urxe_qp *qp = part->qp;
	struct sk_buff_head *queue = part->request ? &qp->resp.pkts :
						     &qp->req.pkts;
	struct urxe_runner *runner = part->request ? &qp->rq_runner :
						     &qp->sq_runner;

	part->qp = NULL;
	trace_urxe_rx(qp, part->request, part->end - part->off);
	*urxe_run(skb) = (struct urxe_run){
		.off = part->off, .end = part->end, .seg = seg,
	};
	if (skb_queue_len_lockless(queue) * (u64)skb->truesize >
	    BACKLOG_LIMIT) {
		urxe_count(qp->dev, URXE_CNT_DROP_BACKLOG);
		kfree_skb(skb);
	} else {
		skb_queue_tail(queue, skb);
		urxe_runner_kick(runner);
	}
	urxe_qp_put(qp);
}

/* The part ends here, but the skb goes on: it is shared from now on. */
static void deliver_shared(struct part *part, struct sk_buff *skb, u32 seg)
{
	struct sk_buff *clone;

	if (!part->qp)
		return;
	clone = skb_clone(skb, GFP_ATOMIC);
	if (clone) {
		deliver(part, clone, seg);
		return;
	}
	urxe_count(part->qp->dev, URXE_CNT_DROP_NOMEM);
	urxe_qp_put(part->qp);
	part->qp = NULL;
}

/* Whose packet is it? Continues @part if it can. */
static void find_part(struct net *net, struct part *part,
		      const struct urxe_pkt *pkt, u32 off, u32 seg)
{
	bool request = pkt->traits & OP_REQUEST;

	if (part->qp && (part->qp->ibqp.qp_num != pkt_qpn(pkt) ||
			 part->request != request))
		deliver_shared(part, pkt->skb, seg);
	if (part->qp)
		return;
	part->qp = urxe_qp_get(net, pkt_qpn(pkt));
	part->request = request;
	part->off = off;
}

/* A drop that no QP is known for is the link's that has the address. */
static void count_stray(struct net *net, const struct sk_buff *skb,
			enum urxe_counter c)
{
	struct urxe_dev *dev;
	union ib_gid gid;

	if (skb->protocol == htons(ETH_P_IP))
		ipv6_addr_set_v4mapped(ip_hdr(skb)->daddr,
				       (struct in6_addr *)&gid);
	else
		memcpy(&gid, &ipv6_hdr(skb)->daddr, sizeof(gid));
	dev = urxe_link_of_address(net, &gid);
	if (!dev)
		return;
	urxe_count(dev, c);
	ib_device_put(&dev->ibdev);
}

/*
 * IBTA 10.9.3: keys match in all but the membership bit, and one side at least
 * is a full member, which our only key makes us.
 */
static bool pkey_ok(const struct urxe_pkt *pkt)
{
	return !((ntohs(pkt->bth.pkey) ^ URXE_PKEY) & 0x7fff);
}

/* One packet of @len bytes at @off. False when it is dropped. */
static bool take_pkt(struct net *net, struct part *part, struct sk_buff *skb,
		     u32 off, u32 len, u32 nth, u32 seg)
{
	struct urxe_pkt pkt;

	if (!urxe_pkt_parse(&pkt, skb, off, len)) {
		count_stray(net, skb, URXE_CNT_DROP_MALFORMED);
		return false;
	}
	find_part(net, part, &pkt, off, seg);
	if (!part->qp) {
		count_stray(net, skb, URXE_CNT_DROP_NO_QP);
		return false;
	}
	if (!icrc_ok(&pkt, off, len, nth)) {
		urxe_count(part->qp->dev, URXE_CNT_DROP_ICRC);
		return false;
	}
	if (!pkey_ok(&pkt)) {
		urxe_count(part->qp->dev, URXE_CNT_DROP_PKEY);
		return false;
	}
	if (part->off == off)
		urxe_count(part->qp->dev, URXE_CNT_RX_BATCHES);
	urxe_count(part->qp->dev, URXE_CNT_RX_PKTS);
	urxe_count_add(part->qp->dev, URXE_CNT_RX_BYTES, len);
	part->end = off + len;
	return true;
}

/* A dropped packet ends the part; what was good of it is delivered. */
static void drop_pkt(struct part *part, struct sk_buff *skb, u32 off, u32 seg)
{
	if (part->qp && part->off == off) {
		urxe_qp_put(part->qp);
		part->qp = NULL;
	}
	deliver_shared(part, skb, seg);
}

/* What is behind UDP's length is no payload; what it says must be there. */
static bool trim(struct sk_buff *skb)
{
	unsigned int len = ntohs(udp_hdr(skb)->len);

	if (skb_is_gso(skb))
		return true;
	return len >= sizeof(struct udphdr) && len <= skb->len &&
	       !pskb_trim(skb, len);
}

void urxe_rx(struct net *net, struct sk_buff *skb)
{
	struct part part = {};
	u32 off, len, seg, nth = 0;

	if (!pskb_may_pull(skb, sizeof(struct udphdr)) || !trim(skb)) {
		kfree_skb(skb);
		return;
	}
	__skb_pull(skb, sizeof(struct udphdr));
	seg = skb_is_gso(skb) ? skb_shinfo(skb)->gso_size : skb->len;
	for (off = 0; off < skb->len; off += len) {
		len = min(seg, skb->len - off);
		if (!take_pkt(net, &part, skb, off, len, nth++, seg))
			drop_pkt(&part, skb, off, seg);
	}
	if (part.qp)
		deliver(&part, skb, seg);
	else
		kfree_skb(skb);
}
