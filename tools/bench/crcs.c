// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * CRC-32 by tables, and by folding: a block of the message may be moved further back if
 * it is multiplied by x to the power of that distance, modulo the polynomial; its earlier
 * eight bytes by one constant, its later eight by another. Four registers full of blocks
 * move side by side. In the end they are one block, with the same CRC as the message.
 */
#include <immintrin.h>
#include <string.h>

#include <linux/crc32.h>

#include "crcs.h"

#define POLYNOMIAL	0xedb88320	/* the lowest bit is the highest power */
#define LANES		4

/* --- by tables ---------------------------------------------------------- */

static uint32_t tables[8][256];

static void make_tables(void)
{
	uint8_t byte;
	int i, n;

	for (i = 0; i < 256; i++) {
		byte = i;
		tables[0][i] = crc32_le(0, &byte, 1);
	}
	for (n = 1; n < 8; n++)
		for (i = 0; i < 256; i++)
			tables[n][i] = tables[n - 1][i] >> 8 ^
				       tables[0][tables[n - 1][i] & 0xff];
}

uint32_t crc_by_tables(uint32_t crc, const uint8_t *at, uint32_t len)
{
	for (; len >= 8; at += 8, len -= 8) {
		uint32_t low, high;

		memcpy(&low, at, 4);
		memcpy(&high, at + 4, 4);
		low ^= crc;
		crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^
		      tables[5][low >> 16 & 0xff] ^ tables[4][low >> 24] ^
		      tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^
		      tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
	}
	return crc32_le(crc, at, len);
}

/* --- by folding --------------------------------------------------------- */

#define NARROW	__attribute__((target("pclmul,sse4.1")))
#define WIDE	__attribute__((target("pclmul,sse4.1,vpclmulqdq,avx512f")))

/* What moves a block so many bits: from one to the next, or past all in registers. */
static __m128i by_128, by_512, by_2048;

/* What moves a word. A product of reflected words is one power too high as it is. */
static uint64_t mover(int bits)
{
	uint32_t power = 1U << 31;

	while (--bits)
		power = power >> 1 ^ (power & 1 ? POLYNOMIAL : 0);
	return (uint64_t)power << 32;
}

static __m128i movers(int bits)
{
	return _mm_set_epi64x(mover(bits), mover(bits + 64));
}

NARROW static inline __m128i fold(__m128i x, __m128i by, __m128i onto)
{
	return onto ^ _mm_clmulepi64_si128(x, by, 0x00) ^
	       _mm_clmulepi64_si128(x, by, 0x11);
}

NARROW static inline __m128i load(const uint8_t *at)
{
	return _mm_loadu_si128((const __m128i *)at);
}

NARROW static uint32_t finish(const __m128i *x, const uint8_t *at, uint32_t len)
{
	__m128i last = x[0];
	uint8_t left[16];
	int i;

	for (i = 1; i < LANES; i++)
		last = fold(last, by_128, x[i]);
	for (; len >= 16; at += 16, len -= 16)
		last = fold(last, by_128, load(at));
	_mm_storeu_si128((__m128i *)left, last);
	return crc_by_tables(crc_by_tables(0, left, 16), at, len);
}

NARROW uint32_t crc_by_clmul(uint32_t crc, const uint8_t *at, uint32_t len)
{
	__m128i x[LANES];
	int i;

	if (len < sizeof(x))
		return crc_by_tables(crc, at, len);
	for (i = 0; i < LANES; i++)
		x[i] = load(at + 16 * i);
	x[0] ^= _mm_cvtsi32_si128(crc);
	for (at += 64, len -= 64; len >= 64; at += 64, len -= 64)
#pragma GCC unroll 4
		for (i = 0; i < LANES; i++)
			x[i] = fold(x[i], by_512, load(at + 16 * i));
	return finish(x, at, len);
}

WIDE static inline __m512i fold512(__m512i x, __m512i by, __m512i onto)
{
	return onto ^ _mm512_clmulepi64_epi128(x, by, 0x00) ^
	       _mm512_clmulepi64_epi128(x, by, 0x11);
}

WIDE uint32_t crc_by_clmul512(uint32_t crc, const uint8_t *at, uint32_t len)
{
	__m512i x[LANES], by = _mm512_broadcast_i32x4(by_2048);
	__m128i narrow[LANES];
	int i;

	if (len < sizeof(x))
		return crc_by_clmul(crc, at, len);
	for (i = 0; i < LANES; i++)
		x[i] = _mm512_loadu_si512(at + 64 * i);
	x[0] ^= _mm512_zextsi128_si512(_mm_cvtsi32_si128(crc));
	for (at += 256, len -= 256; len >= 256; at += 256, len -= 256)
#pragma GCC unroll 4
		for (i = 0; i < LANES; i++)
			x[i] = fold512(x[i], by, _mm512_loadu_si512(at + 64 * i));
	by = _mm512_broadcast_i32x4(by_512);
	for (i = 1; i < LANES; i++)
		x[i] = fold512(x[i - 1], by, x[i]);
	_mm512_storeu_si512(narrow, x[LANES - 1]);
	/* Else each narrow instruction has to keep what stands in the registers' rest. */
	_mm256_zeroupper();
	return finish(narrow, at, len);
}

bool crc_has_clmul(void)
{
	return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

bool crc_has_clmul512(void)
{
	return crc_has_clmul() && __builtin_cpu_supports("vpclmulqdq") &&
	       __builtin_cpu_supports("avx512f");
}

void crcs_init(void)
{
	make_tables();
	by_128 = movers(128);
	by_512 = movers(512);
	by_2048 = movers(2048);
}
