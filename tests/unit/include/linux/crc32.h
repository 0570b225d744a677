/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/* What the driver's pure files want of the kernel's CRC-32: a byte at a time. */
#ifndef UNIT_CRC32_H
#define UNIT_CRC32_H

#include <linux/types.h>

static inline __u32 crc32_le(__u32 crc, const __u8 *at, __u32 len)
{
	static __u32 table[256];
	__u32 i, bit;

	for (i = 0; !table[255] && i < 256; i++) {
		table[i] = i;
		for (bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
	}
	while (len--)
		crc = crc >> 8 ^ table[(crc ^ *at++) & 0xff];
	return crc;
}

#endif /* UNIT_CRC32_H */
