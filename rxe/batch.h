/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Outgoing packets, in batches: a run of packets that differ in nothing that the
 * network stack looks at, sent as one UDP-GSO skb. On the wire each is a RoCEv2
 * packet of its own. One packet is the special case.
 */
#ifndef URXE_BATCH_H
#define URXE_BATCH_H

#include <linux/skbuff.h>

#include "hdr.h"
#include "runner.h"

struct urxe_qp;

/* Packets in a batch: what any receiver's GRO and any NIC's USO takes. */
#define URXE_BATCH_PKTS		64
/* UDP payload in a batch: IP and UDP headers must fit below 64 KiB as well. */
#define URXE_BATCH_BYTES	65000

/**
 * struct urxe_batch - a batch being filled, on the stack of a runner
 * @qp: whose
 * @skb: headers are there, packets are added to it; NULL when empty
 * @gfp: how memory may be had here
 * @ip_id: identification of the first packet
 * @pkt_len: UDP payload of the first packet; only the last may be shorter
 * @count: packets in @skb
 * @closed: the last one was shorter: nothing may follow
 * @page: memory of the packet being written
 * @off: where it begins there
 * @len: its bytes, ICRC included
 */
struct urxe_batch {
	struct urxe_qp	*qp;
	struct sk_buff	*skb;
	gfp_t		gfp;
	u16		ip_id;
	u16		pkt_len;
	u16		count;
	bool		closed;
	struct page	*page;
	u32		off;
	u32		len;
};

void urxe_batch_init(struct urxe_batch *batch, struct urxe_qp *qp,
		     const struct urxe_ctx *ctx);

/**
 * urxe_batch_packet - begin a packet
 * @batch: is sent first if the packet can't join it
 * @opcode: of the packet
 * @payload: bytes of payload; pad is added
 * @psn: of the packet
 *
 * The BTH and the pad are written, ACK request and SE bits clear. The caller
 * writes extended headers and payload, then calls urxe_batch_commit() or
 * urxe_batch_cancel().
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

/* Forget the packet. */
void urxe_batch_cancel(struct urxe_batch *batch);

/* Send what is there. Context: process or softirq. */
void urxe_batch_send(struct urxe_batch *batch);

/* At the end of the module: give back what the pools hold. */
void urxe_batch_exit(void);

#endif /* URXE_BATCH_H */
