/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The invariant CRC of RoCEv2 (IBTA annex A17, 17.3.4): CRC-32 over the IP and
 * UDP headers with what routers change read as ones, the transport headers,
 * the payload and its pad.
 */
#ifndef URXE_ICRC_H
#define URXE_ICRC_H

#include <linux/types.h>

struct iphdr;
struct ipv6hdr;
struct urxe_bth;

int urxe_icrc_init(void);
void urxe_icrc_exit(void);

/**
 * urxe_icrc_start4, urxe_icrc_start6 - begin with the headers of one packet
 * @iph: IPv4 or IPv6 header of a run of packets; the UDP header follows it
 * @ip_id: this packet's own identification, for IPv4
 * @udp_len: this packet's own UDP length, header included
 * @bth: the packet's base transport header
 * Return: the running CRC, up to and including the BTH. Any context.
 */
u32 urxe_icrc_start4(const struct iphdr *iph, u16 ip_id, u16 udp_len,
		     const struct urxe_bth *bth);
u32 urxe_icrc_start6(const struct ipv6hdr *iph, u16 udp_len,
		     const struct urxe_bth *bth);

/* Go on over @len bytes. Any context. */
u32 urxe_icrc_update(u32 crc, const void *buf, size_t len);

/* The four bytes as they stand on the wire. */
static inline __le32 urxe_icrc_final(u32 crc)
{
	return cpu_to_le32(~crc);
}

#endif /* URXE_ICRC_H */
