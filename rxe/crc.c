// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * CRC-32 with neither tables nor a carry-less multiplication.
 *
 * A CRC is the remainder of a division by a polynomial P, so adding any multiple of P
 * to the message leaves it as it is. There is a sparse one,
 *
 *	x^300 + x^155 + x^117 + x^89 + 1,
 *
 * with which any bit can be erased at the price of flipping the bits 145, 183, 211
 * and 300 places behind it. As none is closer than 128 places, two words are erased
 * at a time: each is shifted into the words that follow. What is left in the end is a
 * message of some 50 bytes, with the same CRC, for the usual way. (The idea is that of
 * "Chorba", Russell 2024, arXiv:2412.16398.)
 *
 * Bits count from the lowest of each byte, so that "behind" is to the left in a word.
 */
#include <linux/crc32.h>
#include <linux/stddef.h>
#include <linux/string.h>

#include "crc.h"

#define PENDING	5	/* words that what is erased reaches into */
#define STEP	2	/* words erased at a time */

/* What a checked memcpy() expands to is too big for compilers to inline by themselves. */
static __always_inline __u64 load(const __u8 *at)
{
	__u64 word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* What is erased in one word does to the 2nd, 3rd, 4th and 5th behind it. */
static __u64 second(__u64 word)
{
	return word << (145 - 128) ^ word << (183 - 128);
}

static __u64 third(__u64 word)
{
	return word >> (192 - 145) ^ word >> (192 - 183) ^ word << (211 - 192);
}

static __u64 fourth(__u64 word)
{
	return word >> (256 - 211) ^ word << (300 - 256);
}

static __u64 fifth(__u64 word)
{
	return word >> (320 - 300);
}

static __u32 finish(const __u8 *at, __u32 len, const __u64 *pending)
{
	__u64 left[PENDING + STEP];
	int i;

	memcpy(left, at, len);
	for (i = 0; i < PENDING; i++)
		left[i] ^= pending[i];
	return crc32_le(0, (__u8 *)left, len);
}

__u32 urxe_crc32(__u32 crc, const void *buf, __u32 len)
{
	__u64 p0 = crc, p1 = 0, p2 = 0, p3 = 0, p4 = 0;
	const __u8 *at = buf;
	__u64 pending[PENDING];

	for (; len >= (PENDING + STEP) * 8; at += STEP * 8, len -= STEP * 8) {
		__u64 a = load(at) ^ p0;
		__u64 b = load(at + 8) ^ p1;

		p0 = p2 ^ second(a);
		p1 = p3 ^ third(a) ^ second(b);
		p2 = p4 ^ fourth(a) ^ third(b);
		p3 = fifth(a) ^ fourth(b);
		p4 = fifth(b);
	}
	pending[0] = p0;
	pending[1] = p1;
	pending[2] = p2;
	pending[3] = p3;
	pending[4] = p4;
	return finish(at, len, pending);
}
