/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/* The kernel's CRC-32 as the standard has it: bit by bit (IEEE 802.3, 3.2.9). */
#ifndef UNIT_CRC32_H
#define UNIT_CRC32_H

#include <linux/types.h>

static inline __u32 crc32_le(__u32 crc, const __u8 *at, __u32 len)
{
	int bit;

	for (; len; len--) {
		crc ^= *at++;
		for (bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
	}
	return crc;
}

#endif /* UNIT_CRC32_H */
