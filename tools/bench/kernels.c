// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The loops that touch every byte, on the processor at hand: the ICRC's CRC-32 as the
 * driver computes it where there is no carry-less multiplication, alone and behind a
 * copy, next to memcpy() and zlib. See `kernels`.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include <linux/crc32.h>

#include "crc.h"

#define TOTAL	(64 << 20)	/* bytes for one figure */
#define ROUNDS	9
#define SLOTS	16		/* buffers in turn, so that the cache has some work */
#define LONGEST	65536

static uint8_t from[SLOTS * LONGEST], to[SLOTS * LONGEST];
static uint32_t sink;

/* --- what is measured --------------------------------------------------- */

static void do_memcpy(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	memcpy(dst, src, len);
	__asm__ volatile("" : : "r" (dst) : "memory");
}

static void do_zlib(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	sink ^= crc32(sink, src, len);
}

/* A table for each of eight bytes: what the kernel had up to 6.13. */
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

static void do_sliced(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	uint32_t crc = sink;

	for (; len >= 8; src += 8, len -= 8) {
		uint32_t low, high;

		memcpy(&low, src, 4);
		memcpy(&high, src + 4, 4);
		low ^= crc;
		crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^
		      tables[5][low >> 16 & 0xff] ^ tables[4][low >> 24] ^
		      tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^
		      tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
	}
	sink ^= crc;
}

static void do_crc(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	sink ^= urxe_crc32(sink, src, len);
}

/* A packet is copied from the sender and then summed up, in the nearest cache. */
static void do_copy_crc(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	do_memcpy(dst, src, len);
	do_crc(dst, dst, len);
}

static const struct {
	const char *name;
	void (*run)(uint8_t *dst, const uint8_t *src, uint32_t len);
} kernels[] = {
	{ "memcpy", do_memcpy },
	{ "zlib crc32", do_zlib },
	{ "8 tables", do_sliced },
	{ "urxe_crc32", do_crc },
	{ "copy, then urxe_crc32", do_copy_crc },
};

/* --- measuring ---------------------------------------------------------- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

/* The best round: what disturbs makes it slower, nothing makes it faster. */
static double gigabytes(int which, uint32_t len)
{
	double best = 1e9, took;
	uint32_t i, n = TOTAL / len;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		took = now();
		for (i = 0; i < n; i++) {
			uint32_t at = i % SLOTS * len;

			kernels[which].run(to + at, from + at, len);
		}
		took = now() - took;
		if (took < best)
			best = took;
	}
	return (double)n * len / best * 1e-9;
}

int main(void)
{
	static const uint32_t lens[] = { 256, 1024, 4096, LONGEST };
	unsigned int i, n;

	for (i = 0; i < sizeof(from); i++)
		from[i] = rand();
	make_tables();
	printf("%-24s", "GB/s, bytes at a time:");
	for (n = 0; n < sizeof(lens) / sizeof(lens[0]); n++)
		printf("%8u", lens[n]);
	for (i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		printf("\n%-24s", kernels[i].name);
		for (n = 0; n < sizeof(lens) / sizeof(lens[0]); n++)
			printf("%8.2f", gigabytes(i, lens[n]));
	}
	printf("\n");
	return sink == 0x12345678;
}
