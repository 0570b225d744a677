// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The loops that touch every byte, on the processor at hand: the ICRC's CRC-32 as the
 * driver computes it where there is no carry-less multiplication, and as the kernel does
 * where there is, alone and behind a copy, next to memcpy() and zlib. See `kernels`.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include <linux/crc32.h>

#include "crc.h"
#include "crcs.h"

#define TOTAL	(1 << 20)	/* bytes in a round */
#define ROUNDS	400
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

static void do_table(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	sink ^= crc32_le(sink, src, len);
}

static void do_tables(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	sink ^= crc_by_tables(sink, src, len);
}

static void do_clmul(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	sink ^= crc_by_clmul(sink, src, len);
}

static void do_clmul512(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	sink ^= crc_by_clmul512(sink, src, len);
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

static void do_copy_clmul(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	do_memcpy(dst, src, len);
	do_clmul(dst, dst, len);
}

static bool always(void)
{
	return true;
}

static const struct {
	const char *name;
	void (*run)(uint8_t *dst, const uint8_t *src, uint32_t len);
	bool (*is_there)(void);
} kernels[] = {
	{ "memcpy", do_memcpy, always },
	{ "zlib crc32", do_zlib, always },
	{ "one table", do_table, always },
	{ "eight tables", do_tables, always },
	{ "urxe_crc32", do_crc, always },
	{ "pclmulqdq", do_clmul, crc_has_clmul },
	{ "vpclmulqdq, 512 bits", do_clmul512, crc_has_clmul512 },
	{ "copy, then urxe_crc32", do_copy_crc, always },
	{ "copy, then pclmulqdq", do_copy_clmul, crc_has_clmul },
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

/* Zlib's is a CRC that begins and ends inverted. What is wrong is not fast. */
static void check(void)
{
	uint32_t len, right;

	for (len = URXE_CRC_MIN; len < 1200; len++) {
		right = ~crc32(~len, from, len);
		if (urxe_crc32(len, from, len) != right ||
		    crc_by_tables(len, from, len) != right ||
		    (crc_has_clmul() && crc_by_clmul(len, from, len) != right) ||
		    (crc_has_clmul512() && crc_by_clmul512(len, from, len) != right)) {
			fprintf(stderr, "wrong CRC of %u bytes\n", len);
			exit(1);
		}
	}
}

int main(void)
{
	static const uint32_t lens[] = { 256, 1024, 4096, LONGEST };
	unsigned int i, n;

	for (i = 0; i < sizeof(from); i++)
		from[i] = rand();
	crcs_init();
	check();
	printf("| GB/s, bytes at a time |");
	for (n = 0; n < sizeof(lens) / sizeof(lens[0]); n++)
		printf(" %u |", lens[n]);
	printf("\n|---|---|---|---|---|\n");
	for (i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		if (!kernels[i].is_there())
			continue;
		printf("| %s |", kernels[i].name);
		for (n = 0; n < sizeof(lens) / sizeof(lens[0]); n++)
			printf(" %.2f |", gigabytes(i, lens[n]));
		printf("\n");
	}
	return sink == 0x12345678;
}
