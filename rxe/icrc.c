// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * ICRC on the fastest CRC-32 the kernel has: the crc32 library where that is
 * accelerated (newer kernels), else the crypto API's, which was accelerated
 * before the library was.
 */
#include <crypto/hash.h>
#include <linux/crc32.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "hdr.h"
#include "icrc.h"

/* Below this many bytes a call through the crypto API costs more than it saves. */
#define CRYPTO_MIN	128

#ifdef CRC32_LE_OPTIMIZATION	/* the library is the accelerated one */

int urxe_icrc_init(void)
{
	return 0;
}

void urxe_icrc_exit(void)
{
}

u32 urxe_icrc_update(u32 crc, const void *buf, size_t len)
{
	return crc32_le(crc, buf, len);
}

#else

static struct crypto_shash *tfm;

int urxe_icrc_init(void)
{
	tfm = crypto_alloc_shash("crc32", 0, 0);
	if (IS_ERR(tfm) || crypto_shash_descsize(tfm) != sizeof(u32)) {
		if (!IS_ERR(tfm))
			crypto_free_shash(tfm);
		tfm = NULL;	/* the plain library will do */
	}
	return 0;
}

void urxe_icrc_exit(void)
{
	if (tfm)
		crypto_free_shash(tfm);
}

u32 urxe_icrc_update(u32 crc, const void *buf, size_t len)
{
	SHASH_DESC_ON_STACK(desc, tfm);
	u32 *state = shash_desc_ctx(desc);

	if (!tfm || len < CRYPTO_MIN)
		return crc32_le(crc, buf, len);
	desc->tfm = tfm;
	*state = crc;
	if (crypto_shash_update(desc, buf, len))
		return crc32_le(crc, buf, len);
	return *state;
}

#endif

/* The local route header that RoCEv2 does not have counts as eight bytes of ones. */
#define CRC_OF_NO_LRH	0xdebb20e3

static u32 udp_bth(u32 crc, struct udphdr udp, u16 udp_len,
		   const struct urxe_bth *bth)
{
	struct urxe_bth masked = *bth;

	udp.len = htons(udp_len);
	udp.check = CSUM_MANGLED_0;
	masked.qpn |= htonl(~BTH_24BITS);
	crc = crc32_le(crc, (u8 *)&udp, sizeof(udp));
	return crc32_le(crc, (u8 *)&masked, sizeof(masked));
}

u32 urxe_icrc_start4(const struct iphdr *iph, u16 ip_id, u16 udp_len,
		     const struct urxe_bth *bth)
{
	const struct udphdr *udp = (const void *)((u8 *)iph + iph->ihl * 4);
	struct iphdr masked = *iph;
	u32 crc;

	masked.tos = 0xff;
	masked.ttl = 0xff;
	masked.check = CSUM_MANGLED_0;
	masked.tot_len = htons(iph->ihl * 4 + udp_len);
	masked.id = htons(ip_id);
	crc = crc32_le(CRC_OF_NO_LRH, (u8 *)&masked, sizeof(masked));
	return udp_bth(crc, *udp, udp_len, bth);
}

u32 urxe_icrc_start6(const struct ipv6hdr *iph, u16 udp_len,
		     const struct urxe_bth *bth)
{
	const struct udphdr *udp = (const void *)(iph + 1);
	struct ipv6hdr masked = *iph;
	u32 crc;

	/* Traffic class and flow label. */
	masked.priority = 0xf;
	memset(masked.flow_lbl, 0xff, sizeof(masked.flow_lbl));
	masked.hop_limit = 0xff;
	masked.payload_len = htons(udp_len);
	crc = crc32_le(CRC_OF_NO_LRH, (u8 *)&masked, sizeof(masked));
	return udp_bth(crc, *udp, udp_len, bth);
}
