// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The packets of a run, one by one.
 */
#include <linux/ip.h>

#include "counters.h"
#include "pkt.h"
#include "qp.h"
#include "run.h"

/* Of a packet whose bytes are not all in one place. */
static u32 crc_pieces(const struct sk_buff *skb, u32 crc, u32 off, u32 len)
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

/* @len: the packet's, which begins at the run's @off */
static bool icrc_ok_id(struct urxe_icrc_memo *memo, struct sk_buff *skb,
		       const struct urxe_pkt *pkt, u32 len, u16 id)
{
	const u32 bth_len = sizeof(struct urxe_bth);
	struct urxe_run *run = urxe_run(skb);
	u32 end = len - URXE_ICRC_LEN;
	__le32 icrc;
	u32 crc;

	crc = urxe_icrc(&run->icrc, memo, skb, id, &pkt->bth, len);
	if (pkt->bytes) {
		crc = urxe_icrc_update(crc, pkt->bytes + bth_len,
				       end - bth_len);
		memcpy(&icrc, pkt->bytes + end, sizeof(icrc));
		return icrc == urxe_icrc_final(crc);
	}
	crc = crc_pieces(skb, crc, run->off + bth_len, end - bth_len);
	return !skb_copy_bits(skb, run->off + end, &icrc, sizeof(icrc)) &&
	       icrc == urxe_icrc_final(crc);
}

/*
 * Segmentation counts the identification up from packet to packet. A sender
 * that sets "don't fragment" may as well leave it as it is.
 */
static bool icrc_ok(struct urxe_icrc_memo *memo, struct sk_buff *skb,
		    const struct urxe_pkt *pkt, u32 len)
{
	u32 nth = urxe_run(skb)->off / urxe_run(skb)->seg;
	u16 id;

	if (skb->protocol != htons(ETH_P_IP))
		return icrc_ok_id(memo, skb, pkt, len, 0);
	id = ntohs(ip_hdr(skb)->id);
	return icrc_ok_id(memo, skb, pkt, len, id + nth) ||
	       (nth && icrc_ok_id(memo, skb, pkt, len, id));
}

/* Checked once, though a packet that has to wait is looked at again. */
static bool is_good(struct urxe_qp *qp, struct sk_buff *skb,
		    const struct urxe_pkt *pkt, u32 len)
{
	/* As rx.c: what is no request is for the SQ side. */
	enum urxe_side side = pkt->traits & OP_REQUEST ? URXE_SIDE_RQ :
							 URXE_SIDE_SQ;
	struct urxe_run *run = urxe_run(skb);

	if (run->off < run->good)
		return true;
	run->good = run->off + len;
	return icrc_ok(&qp->rx_memo[side], skb, pkt, len);
}

bool urxe_run_peek(struct urxe_qp *qp, struct sk_buff *skb,
		   struct urxe_pkt *pkt)
{
	struct urxe_run *run = urxe_run(skb);
	u32 len;

	for (; run->off < run->end; urxe_run_next(skb)) {
		if (run->ref) {
			urxe_pkt_parse_ref(pkt, skb, run->ref);
			return true;
		}
		len = min(run->seg, run->end - run->off);
		if (!urxe_pkt_parse(pkt, skb, run->off, len))
			continue;
		if (is_good(qp, skb, pkt, len))
			return true;
		urxe_count(qp->dev, URXE_CNT_DROP_ICRC);
	}
	return false;
}
