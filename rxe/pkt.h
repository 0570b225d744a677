/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * A received packet, taken apart.
 */
#ifndef URXE_PKT_H
#define URXE_PKT_H

#include <linux/skbuff.h>

#include "hdr.h"
#include "opcode.h"

struct ib_pd;
union ib_gid;
struct rxe_sge;
struct urxe_ctx;
struct urxe_mr;
struct urxe_ref;

/**
 * struct urxe_pkt - one packet
 * @skb: where it is
 * @bytes: all of it, when it lies in one piece in memory, else NULL
 * @payload: offset of its payload from skb->data
 * @len: bytes of payload
 * @traits: of its opcode
 * @psn: its number
 * @packets: numbers it takes: more than one only with @ref
 * @ref: its payload is there instead, unless fetched
 * @skip: bytes of @ref that are not wanted
 * @hdr: all its headers, copied
 */
struct urxe_pkt {
	struct sk_buff	*skb;
	const void	*bytes;
	u32		payload;
	u32		len;
	u32		traits;
	u32		psn;
	u32		packets;
	struct urxe_ref	*ref;
	u32		skip;
	union {
		struct urxe_bth	bth;
		u8		hdr[URXE_MAX_HDR];
	};
};

/**
 * urxe_skb_piece - bytes of an skb that lie together in memory
 * @off: of the first byte, from skb->data
 * @len: set to how many there are
 *
 * Unlike the kernel's skb_seq_read() it leaves page faults enabled, so a piece
 * can be copied to user memory by the sleeping flavour. Needs no highmem.
 *
 * Return: the bytes; NULL beyond the end.
 */
const void *urxe_skb_piece(const struct sk_buff *skb, u32 off, u32 *len);

/* The destination address as a GID. */
void urxe_skb_dgid(const struct sk_buff *skb, union ib_gid *gid);

/* Copy the BTH at @off. Return: false when it is not all there. */
bool urxe_skb_bth(const struct sk_buff *skb, u32 off, struct urxe_bth *bth);

/* Can a packet of @len bytes, from the BTH to the end of the ICRC, begin with @bth? */
bool urxe_bth_fits(const struct urxe_bth *bth, u32 len);

/**
 * urxe_pkt_parse - take a packet apart
 * @pkt: filled in
 * @off: of the BTH in @skb
 * @len: from the BTH to the end of the ICRC
 * Return: false when it can't be a packet.
 */
bool urxe_pkt_parse(struct urxe_pkt *pkt, struct sk_buff *skb, u32 off,
		    u32 len);

/* Likewise one whose payload is referred to: of our own making, as it should be. */
void urxe_pkt_parse_ref(struct urxe_pkt *pkt, struct sk_buff *skb,
			struct urxe_ref *ref);

/* Forget the first @n PSNs of a packet that has more than that. */
void urxe_pkt_trim(struct urxe_pkt *pkt, u32 n, u32 mtu);

static inline bool pkt_ack_requested(const struct urxe_pkt *pkt)
{
	return pkt->bth.apsn & htonl(BTH_ACK);
}

static inline u8 bth_pad(const struct urxe_bth *bth)
{
	return (bth->flags & BTH_PAD_MASK) >> BTH_PAD_SHIFT;
}

static inline u32 bth_qpn(const struct urxe_bth *bth)
{
	return ntohl(bth->qpn) & BTH_24BITS;
}

/*
 * Extended headers, in their order on the wire. Where they begin depends on
 * what else the packet carries; the table's traits say what that is.
 */
static inline const void *pkt_ext(const struct urxe_pkt *pkt)
{
	return &pkt->bth + 1;
}

/* The header that is last: immediate data or the key to invalidate. */
static inline __be32 pkt_last_word(const struct urxe_pkt *pkt)
{
	const __be32 *end = (const void *)
		(pkt->hdr + urxe_hdr_len(pkt->bth.opcode));

	return end[-1];
}

/**
 * struct urxe_sink - where payload goes: either into a region or into a list
 * @mr: the region, or NULL
 * @va: in @mr
 * @ibpd: whose keys the list may use
 * @sge: the list
 * @num: its entries
 * @off: in the list's bytes
 */
struct urxe_sink {
	struct urxe_mr		*mr;
	u64			va;
	struct ib_pd		*ibpd;
	const struct rxe_sge	*sge;
	u32			num;
	u32			off;
};

/**
 * urxe_pkt_to_sg - put payload where a gather list says
 * @pkt: the packet
 * @off: offset in the list's bytes
 * @ctx: where the caller runs
 * Return: 0; -EAGAIN or another error as urxe_sg_write(); URXE_NO_SOURCE.
 */
int urxe_pkt_to_sg(const struct urxe_pkt *pkt, struct ib_pd *ibpd,
		   const struct rxe_sge *sge, u32 num, u32 off,
		   struct urxe_ctx *ctx);

/* Put payload into a region. Return: as urxe_mr_write(); URXE_NO_SOURCE. */
int urxe_pkt_to_mr(const struct urxe_pkt *pkt, struct urxe_mr *mr, u64 va,
		   struct urxe_ctx *ctx);

#endif /* URXE_PKT_H */
