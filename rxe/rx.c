// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * From the wire, or from a peer on this host, to a QP's queue.
 *
 * An skb carries one packet, or a run of equal ones that GSO or GRO left whole.
 * The run is cut where the QP or the direction changes and where a packet is no
 * good; each part is queued as it is, without a copy. Of a packet no more than the BTH is
 * looked at: the rest is when its turn comes (run.h).
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <net/inet_ecn.h>

#include "counters.h"
#include "link.h"
#include "mcast.h"
#include "pkt.h"
#include "pressure.h"
#include "qp.h"
#include "ref.h"
#include "run.h"
#include "rx.h"
#include "trace.h"

/**
 * struct part - the packets of one skb that go to one queue
 * @qp: whose, with a reference; NULL: none yet; of a multicast part any of those
 *	it is for
 * @qpn: the number that the packets name
 * @request: to the responder, else to the completer
 * @off: of the first
 * @end: behind the last
 */
struct part {
	struct urxe_qp	*qp;
	u32		qpn;
	bool		request;
	u32		off;
	u32		end;
};

/**
 * struct arrival - an skb being taken apart
 * @net: where it arrived
 * @skb: itself
 * @seg: bytes of each of its packets
 * @off: the packet that is looked at
 * @len: its bytes
 * @part: the packets before it that are not delivered yet
 */
struct arrival {
	struct net		*net;
	struct sk_buff		*skb;
	u32			seg;
	u32			off;
	u32			len;
	struct part		part;
};

/* False when the packets of @skb are too many, and dropped. Uses up @skb. */
static bool enqueue(struct urxe_qp *qp, struct sk_buff *skb, bool request,
		    struct urxe_run run)
{
	struct urxe_inbox *inbox = request ? &qp->resp.inbox : &qp->req.inbox;

	*urxe_run(skb) = run;
	if (!urxe_inbox_put(inbox, skb)) {
		urxe_count(qp->dev, URXE_CNT_DROP_BACKLOG);
		kfree_skb(skb);
		return false;
	}
	if (request && (qp->service & OP_UC))
		urxe_pressure_note(qp);
	trace_urxe_rx(qp, request, run.end - run.off);
	return true;
}

static void count_run(const struct urxe_qp *qp, const struct urxe_run *run)
{
	u32 bytes = run->ref ? run->ref->wire_len : run->end - run->off;

	urxe_count(qp->dev, URXE_CNT_RX_BATCHES);
	urxe_count_add(qp->dev, URXE_CNT_RX_PKTS, run->ref ?
		       run->ref->packets : DIV_ROUND_UP(bytes, run->seg));
	urxe_count_add(qp->dev, URXE_CNT_RX_BYTES, bytes);
}

static struct urxe_runner *runner_of(struct urxe_qp *qp, bool request)
{
	return request ? &qp->rq_runner : &qp->sq_runner;
}

/*
 * What arrives is delivered here and now, but for so much that another processor had
 * better do it while this one goes on receiving, or sending. Not for UC and UD: nothing
 * is acknowledged there, and the time that it takes to deliver is all that slows down
 * a sender on this host.
 */
static void wake(struct urxe_qp *qp, bool request, u32 bytes)
{
	if (urxe_is_bulk(bytes) && (qp->service & OP_RC))
		urxe_qp_stream(qp, runner_of(qp, request), true);
	else
		urxe_runner_kick(runner_of(qp, request));
}

/* Queue @skb at @qp, and let the QP have it. Uses up both. */
static void give(struct urxe_qp *qp, struct sk_buff *skb, bool request,
		 struct urxe_run run)
{
	if (enqueue(qp, skb, request, run))
		wake(qp, request, run.end - run.off);
	urxe_qp_put(qp);
}

static void give_copy(struct urxe_qp *qp, struct sk_buff *skb)
{
	struct sk_buff *copy = skb_clone(skb, GFP_ATOMIC);

	if (copy) {
		give(qp, copy, true, *urxe_run(skb));
		return;
	}
	urxe_count(qp->dev, URXE_CNT_DROP_NOMEM);
	urxe_qp_put(qp);
}

static void give_all(struct urxe_qp *qp, struct sk_buff *skb,
		     struct urxe_run run)
{
	urxe_count_add(qp->dev, URXE_CNT_RX_MCAST,
		       DIV_ROUND_UP(run.end - run.off, run.seg));
	*urxe_run(skb) = run;
	urxe_mcast_each(skb, give_copy);
	urxe_qp_put(qp);
	consume_skb(skb);
}

static bool is_marked(const struct sk_buff *skb)
{
	return INET_ECN_is_ce(skb->protocol == htons(ETH_P_IP) ?
			      ipv4_get_dsfield(ip_hdr(skb)) :
			      ipv6_get_dsfield(ipv6_hdr(skb)));
}

/* The part is complete. Uses up @skb, and @part. */
static void deliver(struct part *part, struct sk_buff *skb, u32 seg)
{
	struct urxe_qp *qp = part->qp;
	struct urxe_run run = {
		.off = part->off, .end = part->end, .seg = seg,
		.good = part->off, .iif = skb->dev->ifindex,
		.marked = is_marked(skb),
	};

	part->qp = NULL;
	count_run(qp, &run);
	if (part->qpn == IB_MULTICAST_QPN)
		give_all(qp, skb, run);
	else
		give(qp, skb, part->request, run);
}

void urxe_rx_local(struct urxe_qp *qp, struct sk_buff *skb, bool request,
		   struct urxe_run run, struct urxe_ctx *ctx)
{
	__skb_pull(skb, skb_transport_offset(skb) + sizeof(struct udphdr));
	run.end = skb->len;
	run.good = skb->len;
	count_run(qp, &run);
	if (enqueue(qp, skb, request, run))
		urxe_runner_kick_next(ctx, runner_of(qp, request));
	else
		urxe_qp_put(qp);
}

/* The part ends here, but the skb goes on: it is shared from now on. */
static void deliver_shared(struct arrival *at)
{
	struct part *part = &at->part;
	struct sk_buff *clone;

	if (!part->qp)
		return;
	clone = skb_clone(at->skb, GFP_ATOMIC);
	if (clone) {
		deliver(part, clone, at->seg);
		return;
	}
	urxe_count(part->qp->dev, URXE_CNT_DROP_NOMEM);
	urxe_qp_put(part->qp);
	part->qp = NULL;
}

/* QP 1 of the link that the packet is addressed to. */
static struct urxe_qp *find_gsi(const struct arrival *at)
{
	struct urxe_dev *dev;
	struct urxe_qp *qp;
	union ib_gid gid;

	urxe_skb_dgid(at->skb, &gid);
	dev = urxe_link_of_address(at->net, &gid);
	if (!dev)
		return NULL;
	qp = urxe_qp_get_gsi(dev);
	ib_device_put(&dev->ibdev);
	return qp;
}

static struct urxe_qp *find_qp(const struct arrival *at, u32 qpn)
{
	if (qpn == IB_MULTICAST_QPN)
		return urxe_mcast_any(at->skb);
	return qpn == URXE_GSI_QPN ? find_gsi(at) : urxe_qp_get(at->net, qpn);
}

/* Whose packet is it? Continues the part if it can. */
static void find_part(struct arrival *at, const struct urxe_bth *bth)
{
	bool request = urxe_traits(bth->opcode) & OP_REQUEST;
	struct part *part = &at->part;

	if (part->qp && (part->qpn != bth_qpn(bth) ||
			 part->request != request))
		deliver_shared(at);
	if (part->qp)
		return;
	part->qpn = bth_qpn(bth);
	part->qp = find_qp(at, part->qpn);
	part->request = request;
	part->off = at->off;
}

/* A drop that no QP is known for is the link's that has the address. */
static void count_stray(const struct arrival *at, enum urxe_counter c)
{
	struct urxe_dev *dev;
	union ib_gid gid;

	urxe_skb_dgid(at->skb, &gid);
	dev = urxe_link_of_address(at->net, &gid);
	if (!dev)
		return;
	urxe_count(dev, c);
	ib_device_put(&dev->ibdev);
}

/*
 * IBTA 10.9.3: keys match in all but the membership bit, and one side at least
 * is a full member, which our only key makes us.
 */
static bool pkey_ok(const struct urxe_bth *bth)
{
	return !((ntohs(bth->pkey) ^ URXE_PKEY) & 0x7fff);
}

/* The packet at @at->off. False when it is dropped. */
static bool take_pkt(struct arrival *at)
{
	struct part *part = &at->part;
	struct urxe_bth bth;

	if (at->len < sizeof(bth) || !urxe_skb_bth(at->skb, at->off, &bth) ||
	    !urxe_bth_fits(&bth, at->len)) {
		count_stray(at, URXE_CNT_DROP_MALFORMED);
		return false;
	}
	find_part(at, &bth);
	if (!part->qp) {
		count_stray(at, URXE_CNT_DROP_NO_QP);
		return false;
	}
	if (!pkey_ok(&bth)) {
		urxe_count(part->qp->dev, URXE_CNT_DROP_PKEY);
		return false;
	}
	part->end = at->off + at->len;
	return true;
}

/* A dropped packet ends the part; what was good of it is delivered. */
static void drop_pkt(struct arrival *at)
{
	struct part *part = &at->part;

	if (part->qp && part->off == at->off) {
		urxe_qp_put(part->qp);
		part->qp = NULL;
	}
	deliver_shared(at);
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
	struct arrival at = { .net = net, .skb = skb };

	if (!pskb_may_pull(skb, sizeof(struct udphdr)) || !trim(skb)) {
		kfree_skb(skb);
		return;
	}
	__skb_pull(skb, sizeof(struct udphdr));
	at.seg = skb_is_gso(skb) ? skb_shinfo(skb)->gso_size : skb->len;
	for (; at.off < skb->len; at.off += at.len) {
		at.len = min(at.seg, skb->len - at.off);
		if (!take_pkt(&at))
			drop_pkt(&at);
	}
	if (at.part.qp)
		deliver(&at.part, skb, at.seg);
	else
		kfree_skb(skb);
}
