/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * CRC-32 for processors without a carry-less multiplication.
 * Free of kernel dependencies: also compiled and tested in user space.
 */
#ifndef URXE_CRC_H
#define URXE_CRC_H

#include <linux/types.h>

/* Shorter buffers are better off with crc32_le(). */
#define URXE_CRC_MIN	128

/**
 * urxe_crc32 - as crc32_le(), in another way
 * @crc: running CRC
 * @buf: the bytes
 * @len: how many; at least URXE_CRC_MIN
 * Return: the CRC with these bytes in it.
 */
__u32 urxe_crc32(__u32 crc, const void *buf, __u32 len);

#endif /* URXE_CRC_H */
