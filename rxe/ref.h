/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Payload by reference: what a packet for a peer on this host carries instead of
 * bytes is where they are, so that they are copied once, from the sender's memory
 * to the receiver's. Such a packet may stand for many, with all their PSNs.
 *
 * The bytes are read when the packet is executed, with the sender's keys as they are
 * then. Where the sender's memory can't be reached in the receiver's context, the
 * packet is refused, and its sender, who has the memory, sends it again with bytes.
 */
#ifndef URXE_REF_H
#define URXE_REF_H

#include "pkt.h"
#include "urxe.h"

struct urxe_batch;

/* Bytes that one packet may refer to, and below which copying twice costs less. */
#define URXE_REF_MAX	65536
#define URXE_REF_MIN	2048

/**
 * struct urxe_ref - where a packet's payload is
 * @len: bytes
 * @off: of the first, in the bytes of @sge
 * @packets: PSNs it takes
 * @wire_len: bytes that as many packets would have on a wire
 * @access: right that the keys must give: 0 for the sender's own list,
 *	    IB_ACCESS_REMOTE_READ when the sender answers a READ
 * @life: the sender's, see struct urxe_qp; set when the packet is sent
 * @fetched: the bytes have been added to the skb after all
 * @num_sge: entries of @sge
 * @sge: a private copy
 *
 * Stands in the skb's linear part behind its data. Whose keys they are says the
 * handle that the skb is charged to.
 */
struct urxe_ref {
	u32		len;
	u32		off;
	u32		packets;
	u32		wire_len;
	int		access;
	u32		life;
	bool		fetched;
	u32		num_sge;
	struct rxe_sge	sge[];
};

/* Room for a reference behind the data of an skb. */
static inline u32 urxe_ref_room(u32 num_sge)
{
	return sizeof(struct urxe_ref) + num_sge * sizeof(struct rxe_sge) +
	       __alignof__(struct urxe_ref);
}

static inline struct urxe_ref *urxe_ref_of(struct sk_buff *skb)
{
	return (struct urxe_ref *)PTR_ALIGN(skb_tail_pointer(skb),
					    __alignof__(struct urxe_ref));
}

/**
 * urxe_ref_possible - may a packet of a batch refer to bytes instead of carrying them?
 * @batch: where it would be sent
 * @sge: the list of what is sent
 * @num: entries in it
 * @off: of the first byte, in the list's bytes
 * @len: bytes
 * @access: see struct urxe_ref
 * Return: false when it has to carry them. Not in hard interrupt.
 */
bool urxe_ref_possible(struct urxe_batch *batch, const struct rxe_sge *sge, u32 num,
		       u32 off, u32 len, int access);

/**
 * urxe_ref_move - copy payload from the sender's memory to where it belongs
 * @pkt: with a reference that is not fetched
 * @sink: where to
 * @ctx: where the caller runs
 * Neither side's memory is faulted in.
 * Return: as urxe_mr_move().
 */
int urxe_ref_move(const struct urxe_pkt *pkt, const struct urxe_sink *sink,
		  struct urxe_ctx *ctx);

/**
 * urxe_ref_fetch - add the bytes to the packet itself
 * @pkt: with a reference that is not fetched
 * @ctx: where the caller runs
 * To be called before the context that may reach the sender's memory is left.
 * Return: 0 or URXE_NO_SOURCE, after which the packet is of no use.
 */
int urxe_ref_fetch(const struct urxe_pkt *pkt, struct urxe_ctx *ctx);

/**
 * urxe_ref_sender - the QP that has sent a packet with a reference
 * @pkt: with a reference
 * Return: to be given to urxe_qp_put(); NULL when what it has sent does not stand any
 * more: the QP is gone, in error (but for answers), or has been reset since.
 */
struct urxe_qp *urxe_ref_sender(const struct urxe_pkt *pkt);

#endif /* URXE_REF_H */
