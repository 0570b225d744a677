/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The invariant CRC of RoCEv2 (IBTA annex A17, 17.3.4): CRC-32 over the IP and
 * UDP headers with what routers change read as ones, the transport headers,
 * the payload and its pad.
 */
#ifndef URXE_ICRC_H
#define URXE_ICRC_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/types.h>
#include <linux/udp.h>

struct sk_buff;
struct urxe_bth;

int urxe_icrc_init(void);
void urxe_icrc_exit(void);

/**
 * struct urxe_icrc - what the ICRCs of a run of packets have in common
 * @len: bytes from the BTH to the end of the ICRC that @crc is for; 0 at first
 * @is_ip4: the headers are IPv4's
 * @crc: over the IP and UDP headers, but for IPv4's identification
 */
struct urxe_icrc {
	u32	len;
	bool	is_ip4;
	u32	crc;
};

/**
 * struct urxe_icrc_memo - headers, and what they begin an ICRC with
 * @run: for packets with these headers; its @len is 0 when there are none
 * @ip4: IPv4's
 * @ip6: or IPv6's
 * @udp: UDP's
 *
 * The headers of one connection are alike from one run to the next, in all that counts,
 * and their CRC is half the work for a short packet.
 */
struct urxe_icrc_memo {
	struct urxe_icrc	run;
	union {
		struct iphdr	ip4;
		struct ipv6hdr	ip6;
	};
	struct udphdr		udp;
};

/**
 * urxe_icrc - begin the ICRC of one packet
 * @run: zeroed at the beginning of a run, and then left alone
 * @memo: of the run before; zeroed at first. The caller's alone, or NULL
 * @skb: has the run's IP header at its network header, and UDP's behind it
 * @ip_id: this packet's own identification, for IPv4
 * @bth: the packet's base transport header
 * @len: its bytes, from there to the end of the ICRC
 * Return: the running CRC, up to and including the BTH. Any context.
 */
u32 urxe_icrc(struct urxe_icrc *run, struct urxe_icrc_memo *memo,
	      const struct sk_buff *skb, u16 ip_id,
	      const struct urxe_bth *bth, u32 len);

/* Go on over @len bytes. Any context. */
u32 urxe_icrc_update(u32 crc, const void *buf, size_t len);

/* The four bytes as they stand on the wire. */
static inline __le32 urxe_icrc_final(u32 crc)
{
	return cpu_to_le32(~crc);
}

#endif /* URXE_ICRC_H */
