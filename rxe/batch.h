/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Outgoing packets, in batches: a run of packets that differ in nothing that the
 * network stack looks at, sent as one UDP-GSO skb. On the wire each is a RoCEv2
 * packet of its own. One packet is the special case.
 *
 * A peer on this same host gets the batch as it is, and without an ICRC: there is
 * no wire in between.
 */
#ifndef URXE_BATCH_H
#define URXE_BATCH_H

#include <linux/mm_types_task.h>
#include <linux/skbuff.h>

#include "hdr.h"
#include "icrc.h"
#include "runner.h"

struct urxe_qp;
struct urxe_ref;

/* Packets in a batch: what any receiver's GRO and any NIC's USO takes. */
#define URXE_BATCH_PKTS		64
/* UDP payload in a batch: IP and UDP headers must fit below 64 KiB as well. */
#define URXE_BATCH_BYTES	65000

/**
 * struct urxe_batch - a batch being filled, on the stack of a runner
 * @qp: whose
 * @ctx: of the runner
 * @dqpn: the QP there that the packets are for
 * @skb: headers are there, packets are added to it; NULL when empty
 * @gfp: how memory may be had here
 * @aimed: @dst and @local are known
 * @local: the receiver is one of our QPs in this same namespace
 * @dst: the route, held; NULL when there is none
 * @ip_id: identification of the first packet
 * @pkt_len: UDP payload of the first packet; only the last may be shorter
 * @count: packets in @skb
 * @closed: the last one was shorter: nothing may follow
 * @linear: the packet is in the skb's linear part, and alone
 * @many: there is more than one packet, and they are worth being put together; a hint
 *	  that the user of the batch may give
 * @request: its packets are requests
 * @ref: payload of the packet being made, when it is referred to
 * @icrc: what the ICRCs of @skb have in common
 * @frag: the packet being written begins at its offset
 * @len: bytes of that packet, ICRC included
 */
struct urxe_batch {
	struct urxe_qp		*qp;
	struct urxe_ctx		*ctx;
	u32			dqpn;
	struct sk_buff		*skb;
	gfp_t			gfp;
	bool			aimed;
	bool			local;
	struct dst_entry	*dst;
	u16			ip_id;
	u16			pkt_len;
	u16			count;
	bool			closed;
	bool			linear;
	bool			many;
	bool			request;
	struct urxe_ref		*ref;
	struct urxe_icrc	icrc;
	struct page_frag	frag;
	u32			len;
};

/* Each is to end with urxe_batch_send(). */
void urxe_batch_init(struct urxe_batch *batch, struct urxe_qp *qp,
		     struct urxe_ctx *ctx);

/**
 * urxe_batch_packet - begin a packet
 * @batch: is sent first if the packet can't join it
 * @opcode: of the packet
 * @payload: bytes of payload; pad is added
 * @psn: of the packet
 *
 * The BTH and the pad are written, ACK request and SE bits clear. The caller
 * writes extended headers and payload, then calls urxe_batch_commit().
 *
 * Return: the BTH; the extended headers follow it, then the payload. NULL when
 * there is no memory.
 */
struct urxe_bth *urxe_batch_packet(struct urxe_batch *batch, u8 opcode,
				   u32 payload, u32 psn);

/* Where the extended headers of a packet begin. */
static inline void *urxe_bth_ext(struct urxe_bth *bth)
{
	return bth + 1;
}

/* Finish the packet: the ICRC, and into the skb. */
void urxe_batch_commit(struct urxe_batch *batch);

/* Is the receiver on this host? */
bool urxe_batch_is_local(struct urxe_batch *batch);

/**
 * urxe_batch_ref - begin a packet whose payload is referred to
 * @batch: one for which urxe_batch_is_local(); what it has is sent first
 * @opcode: of the packet
 * @psn: its first
 * @num_sge: entries that the reference is to have
 *
 * As urxe_batch_packet(), but the caller fills in @batch->ref instead of writing
 * payload, and calls urxe_batch_commit_ref(), which also sends it.
 * Return: the BTH, as urxe_batch_packet(); NULL without memory.
 */
struct urxe_bth *urxe_batch_ref(struct urxe_batch *batch, u8 opcode, u32 psn,
				u32 num_sge);
void urxe_batch_commit_ref(struct urxe_batch *batch);

/*
 * To forget the packet instead takes nothing: the next one is written in its place.
 */

/**
 * urxe_batch_turn - send what is there; what follows goes elsewhere
 * @batch: the batch
 * @dqpn: to this QP
 * The QP's path may be set anew after it.
 */
void urxe_batch_turn(struct urxe_batch *batch, u32 dqpn);

/* Send what is there; the batch is over. Context: process or softirq. */
void urxe_batch_send(struct urxe_batch *batch);

#endif /* URXE_BATCH_H */
