// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * ICRC on the fastest CRC-32 there is: the kernel's, where it has carry-less
 * multiplication (the crc32 library of newer kernels, the crypto API of older ones),
 * else our own.
 */
#include <crypto/hash.h>
#include <linux/crc32.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <net/ipv6.h>

#include "crc.h"
#include "hdr.h"
#include "icrc.h"

#ifdef CRC32_LE_OPTIMIZATION	/* the library may be an accelerated one */

static int init_crc(void)
{
	return 0;
}

void urxe_icrc_exit(void)
{
}

u32 urxe_icrc_update(u32 crc, const void *buf, size_t len)
{
	if (len < URXE_CRC_MIN || (crc32_optimizations() & CRC32_LE_OPTIMIZATION))
		return crc32_le(crc, buf, len);
	return urxe_crc32(crc, buf, len);
}

#else

/* NULL when the crypto API has nothing better than we have. */
static struct crypto_shash *tfm;

static bool is_accelerated(void)
{
	return crypto_shash_descsize(tfm) == sizeof(u32) &&
	       !strstr(crypto_shash_driver_name(tfm), "generic");
}

static int init_crc(void)
{
	tfm = crypto_alloc_shash("crc32", 0, 0);
	if (IS_ERR(tfm)) {
		tfm = NULL;
	} else if (!is_accelerated()) {
		crypto_free_shash(tfm);
		tfm = NULL;
	}
	return 0;
}

void urxe_icrc_exit(void)
{
	if (tfm)
		crypto_free_shash(tfm);
}

static u32 crypto_update(u32 crc, const void *buf, size_t len)
{
	SHASH_DESC_ON_STACK(desc, tfm);
	u32 *state = shash_desc_ctx(desc);

	desc->tfm = tfm;
	*state = crc;
	if (crypto_shash_update(desc, buf, len))
		return urxe_crc32(crc, buf, len);
	return *state;
}

u32 urxe_icrc_update(u32 crc, const void *buf, size_t len)
{
	if (len < URXE_CRC_MIN)
		return crc32_le(crc, buf, len);
	return tfm ? crypto_update(crc, buf, len) : urxe_crc32(crc, buf, len);
}

#endif

/* The local route header that RoCEv2 does not have counts as eight bytes of ones. */
#define CRC_OF_NO_LRH	0xdebb20e3

/*
 * A CRC is linear: what a byte does to it depends on how many bytes follow and on
 * nothing else. So the identification, which is all that differs in the headers of a
 * run, is left out at first and looked up here; at @id_crc[0] its high byte.
 */
static u32 id_crc[2][256];

static void init_id_crc(void)
{
	u8 tail[sizeof(struct iphdr) - offsetof(struct iphdr, id) +
		sizeof(struct udphdr)] = {};
	int i, byte;

	for (i = 0; i < 256; i++) {
		for (byte = 0; byte < 2; byte++) {
			tail[0] = i;
			id_crc[byte][i] = crc32_le(0, tail,
						   sizeof(tail) - byte);
		}
	}
}

int urxe_icrc_init(void)
{
	init_id_crc();
	return init_crc();
}

static const struct udphdr *udp_behind4(const struct iphdr *iph)
{
	return (const void *)iph + iph->ihl * 4;
}

static const struct udphdr *udp_behind6(const struct ipv6hdr *iph)
{
	return (const void *)(iph + 1);
}

static u32 crc_udp(u32 crc, struct udphdr udp, u16 udp_len)
{
	udp.len = htons(udp_len);
	udp.check = CSUM_MANGLED_0;
	return crc32_le(crc, (u8 *)&udp, sizeof(udp));
}

static u32 crc_ip4(const struct iphdr *iph, u16 udp_len)
{
	struct iphdr masked = *iph;
	u32 crc;

	masked.tos = 0xff;
	masked.ttl = 0xff;
	masked.check = CSUM_MANGLED_0;
	masked.tot_len = htons(iph->ihl * 4 + udp_len);
	masked.id = 0;
	crc = crc32_le(CRC_OF_NO_LRH, (u8 *)&masked, sizeof(masked));
	return crc_udp(crc, *udp_behind4(iph), udp_len);
}

static u32 crc_ip6(const struct ipv6hdr *iph, u16 udp_len)
{
	struct ipv6hdr masked = *iph;
	u32 crc;

	/* Traffic class and flow label. */
	masked.priority = 0xf;
	memset(masked.flow_lbl, 0xff, sizeof(masked.flow_lbl));
	masked.hop_limit = 0xff;
	masked.payload_len = htons(udp_len);
	crc = crc32_le(CRC_OF_NO_LRH, (u8 *)&masked, sizeof(masked));
	return crc_udp(crc, *udp_behind6(iph), udp_len);
}

/* All is compared that the CRC is over, but for the lengths: they follow from @len. */
static bool alike_udp(const struct udphdr *a, const struct udphdr *b)
{
	return a->source == b->source && a->dest == b->dest;
}

static bool alike4(const struct urxe_icrc_memo *memo, const struct iphdr *iph)
{
	const struct iphdr *last = &memo->ip4;

	return iph->version == last->version && iph->ihl == last->ihl &&
	       iph->frag_off == last->frag_off &&
	       iph->protocol == last->protocol &&
	       iph->saddr == last->saddr && iph->daddr == last->daddr &&
	       alike_udp(udp_behind4(iph), &memo->udp);
}

static bool alike6(const struct urxe_icrc_memo *memo,
		   const struct ipv6hdr *iph)
{
	const struct ipv6hdr *last = &memo->ip6;

	return iph->version == last->version &&
	       iph->nexthdr == last->nexthdr &&
	       ipv6_addr_equal(&iph->saddr, &last->saddr) &&
	       ipv6_addr_equal(&iph->daddr, &last->daddr) &&
	       alike_udp(udp_behind6(iph), &memo->udp);
}

static bool is_known(const struct urxe_icrc_memo *memo,
		     const struct sk_buff *skb, u32 len)
{
	bool is_ip4 = skb->protocol == htons(ETH_P_IP);

	if (memo->run.len != len || memo->run.is_ip4 != is_ip4)
		return false;
	return is_ip4 ? alike4(memo, ip_hdr(skb)) : alike6(memo, ipv6_hdr(skb));
}

static void remember(struct urxe_icrc_memo *memo, const struct urxe_icrc *run,
		     const struct sk_buff *skb)
{
	memo->run = *run;
	if (run->is_ip4) {
		memo->ip4 = *ip_hdr(skb);
		memo->udp = *udp_behind4(ip_hdr(skb));
	} else {
		memo->ip6 = *ipv6_hdr(skb);
		memo->udp = *udp_behind6(ipv6_hdr(skb));
	}
}

static void start_run(struct urxe_icrc *run, struct urxe_icrc_memo *memo,
		      const struct sk_buff *skb, u32 len)
{
	u16 udp_len = len + sizeof(struct udphdr);

	if (memo && is_known(memo, skb, len)) {
		*run = memo->run;
		return;
	}
	run->len = len;
	run->is_ip4 = skb->protocol == htons(ETH_P_IP);
	run->crc = run->is_ip4 ? crc_ip4(ip_hdr(skb), udp_len) :
				 crc_ip6(ipv6_hdr(skb), udp_len);
	if (memo)
		remember(memo, run, skb);
}

u32 urxe_icrc(struct urxe_icrc *run, struct urxe_icrc_memo *memo,
	      const struct sk_buff *skb, u16 ip_id,
	      const struct urxe_bth *bth, u32 len)
{
	struct urxe_bth masked = *bth;
	u32 crc;

	if (run->len != len)
		start_run(run, memo, skb, len);
	crc = run->crc;
	if (run->is_ip4)
		crc ^= id_crc[0][ip_id >> 8] ^ id_crc[1][ip_id & 0xff];
	masked.qpn |= htonl(~BTH_24BITS);
	return crc32_le(crc, (u8 *)&masked, sizeof(masked));
}
