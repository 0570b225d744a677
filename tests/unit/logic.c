// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The driver's pure logic against the standard: PSN arithmetic, the opcode table,
 * the headers, the window, the CRC, the waits of RNR NAKs. Built with sanitizers and
 * run by test_unit.py, in user space.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc.h"
#include "opcode.h"
#include "psn.h"
#include "rate.h"
#include "rnr.h"

static int failures;

#define CHECK(cond, ...) do {						\
	if (!(cond)) {							\
		fprintf(stderr, "%s:%d: %s:", __FILE__, __LINE__, #cond); \
		fprintf(stderr, " " __VA_ARGS__);			\
		fputc('\n', stderr);					\
		failures++;						\
	}								\
} while (0)

/* --- sequence numbers --------------------------------------------------- */

static uint32_t dice(void)
{
	static uint64_t state = 88172645463325252ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* IBTA 9.7.1 by counting: @a is ahead of @b by n if n steps lead from b to a. */
static void check_pair(uint32_t b, uint32_t n)
{
	uint32_t a = (b + n) % (1U << 24);

	CHECK(psn_add(b, n) == a, "%x + %x", b, n);
	if (n < 1U << 23) {
		CHECK(psn_diff(a, b) == (int32_t)n, "%x - %x", a, b);
		CHECK(psn_diff(b, a) == -(int32_t)n, "%x - %x", b, a);
	}
	CHECK(psn_within(a, b, n + 1), "%x in %x + %x", a, b, n + 1);
	CHECK(!psn_within(a, b, n), "%x not in %x + %x", a, b, n);
}

static void test_psn(void)
{
	static const uint32_t edges[] = {
		0, 1, 2, 0x7ffffe, 0x7fffff, 0x800000, 0x800001, 0xfffffe, 0xffffff,
	};
	unsigned int i, j;

	for (i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		for (j = 0; j < sizeof(edges) / sizeof(edges[0]); j++)
			check_pair(edges[i], edges[j]);
	for (i = 0; i < 1000000; i++)
		check_pair(dice() & 0xffffff, dice() & 0xffffff);
	CHECK(psn_add(0xffffff, 1) == 0);
	CHECK(psn_add(0, -1) == 0xffffff);
	/* Exactly half round is behind: what is not ahead is a duplicate. */
	CHECK(psn_diff(0x800000, 0) < 0);
	CHECK(psn_diff(0, 0x800000) < 0);
	CHECK(psn_within(0, 0xffffff, 2));
	CHECK(!psn_within(1, 0xffffff, 2));
	CHECK(!psn_within(5, 5, 0));
}

/* --- opcodes ------------------------------------------------------------ */

/* IBTA tables 38 and 39: which headers follow the BTH, by hand. */
#define RETH	16
#define AETH	4
#define ATOMIC	28
#define ATOMACK	8
#define IMM	4
#define IETH	4
#define DETH	8
#define FETH	4
#define CNP	16

struct expected {
	uint8_t opcode;
	uint8_t ext;		/* bytes of extended headers */
	char direction;		/* 'q' request, 'p' response */
	char place;		/* 'f'irst, 'm'iddle, 'l'ast, 'o'nly */
	int payload;
};

#define BOTH(base)							\
	{ base + 0x00, 0, 'q', 'f', 1 }, { base + 0x01, 0, 'q', 'm', 1 },	\
	{ base + 0x02, 0, 'q', 'l', 1 }, { base + 0x03, IMM, 'q', 'l', 1 },	\
	{ base + 0x04, 0, 'q', 'o', 1 }, { base + 0x05, IMM, 'q', 'o', 1 },	\
	{ base + 0x06, RETH, 'q', 'f', 1 }, { base + 0x07, 0, 'q', 'm', 1 }, \
	{ base + 0x08, 0, 'q', 'l', 1 }, { base + 0x09, IMM, 'q', 'l', 1 },	\
	{ base + 0x0a, RETH, 'q', 'o', 1 },					\
	{ base + 0x0b, RETH + IMM, 'q', 'o', 1 }

static const struct expected table[] = {
	BOTH(0x00),
	{ 0x0c, RETH, 'q', 'o', 0 },
	{ 0x0d, AETH, 'p', 'f', 1 }, { 0x0e, 0, 'p', 'm', 1 },
	{ 0x0f, AETH, 'p', 'l', 1 }, { 0x10, AETH, 'p', 'o', 1 },
	{ 0x11, AETH, 'p', 'o', 0 }, { 0x12, AETH + ATOMACK, 'p', 'o', 0 },
	{ 0x13, ATOMIC, 'q', 'o', 0 }, { 0x14, ATOMIC, 'q', 'o', 0 },
	{ 0x15, 0, 'q', 'o', 1 },
	{ 0x16, IETH, 'q', 'l', 1 }, { 0x17, IETH, 'q', 'o', 1 },
	{ 0x18, 0, 'q', 'o', 1 }, { 0x19, 0, 'q', 'o', 1 },
	{ 0x1a, 0, 'q', 'o', 1 }, { 0x1b, 0, 'q', 'o', 1 },
	{ 0x1c, FETH + RETH, 'q', 'o', 0 }, { 0x1d, RETH, 'q', 'o', 1 },
	{ 0x1e, 0, 'q', 'o', 1 }, { 0x1f, 0, 'q', 'o', 1 },
	BOTH(0x20),
	{ 0x64, DETH, 'q', 'o', 1 }, { 0x65, DETH + IMM, 'q', 'o', 1 },
	{ 0x81, CNP, 'p', 'o', 0 },
};

static uint32_t place_traits(char place)
{
	return (place == 'f' || place == 'o' ? OP_FIRST : 0) |
	       (place == 'l' || place == 'o' ? OP_LAST : 0);
}

static uint32_t service_trait(uint8_t opcode)
{
	if (opcode == 0x81)
		return OP_RC;
	return opcode < 0x20 ? OP_RC : opcode < 0x40 ? OP_UC : OP_UD;
}

static void check_opcode(const struct expected *want)
{
	const struct urxe_opcode *have = &urxe_opcodes[want->opcode];
	uint32_t t = have->traits;

	CHECK(have->name && *have->name, "%02x", want->opcode);
	CHECK(t & OP_VALID, "%02x", want->opcode);
	CHECK(have->hdr_len == 12 + want->ext, "%02x: %d", want->opcode, have->hdr_len);
	CHECK(!!(t & OP_REQUEST) == (want->direction == 'q'), "%02x", want->opcode);
	CHECK(!!(t & OP_RESPONSE) == (want->direction == 'p'), "%02x", want->opcode);
	CHECK((t & (OP_FIRST | OP_LAST)) == place_traits(want->place), "%02x",
	      want->opcode);
	CHECK(!!(t & OP_PAYLOAD) == want->payload, "%02x", want->opcode);
	CHECK((t & (OP_RC | OP_UC | OP_UD)) == service_trait(want->opcode), "%02x",
	      want->opcode);
}

static void test_opcodes(void)
{
	int wanted[256] = {};
	unsigned int i, j;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		wanted[table[i].opcode] = 1;
		check_opcode(&table[i]);
	}
	for (i = 0; i < 256; i++) {
		CHECK(wanted[i] || (!urxe_traits(i) && !urxe_hdr_len(i)),
		      "%02x is no opcode", i);
		CHECK(urxe_hdr_len(i) <= URXE_MAX_HDR, "%02x", i);
		for (j = 0; j < i; j++)
			CHECK(!wanted[i] || !wanted[j] ||
			      strcmp(urxe_opcodes[i].name, urxe_opcodes[j].name),
			      "%02x and %02x", i, j);
	}
}

/* --- headers ------------------------------------------------------------ */

static void test_headers(void)
{
	/* A SEND ONLY with pad 2 to QP 0x123456, PSN 0xabcdef, as on the wire. */
	static const uint8_t wire[12] = {
		0x04, 0xe0, 0xff, 0xff, 0x00, 0x12, 0x34, 0x56, 0x80, 0xab, 0xcd, 0xef,
	};
	struct urxe_bth bth;

	memcpy(&bth, wire, sizeof(bth));
	CHECK(bth.opcode == OPC_SEND_ONLY);
	CHECK((bth.flags & BTH_PAD_MASK) >> BTH_PAD_SHIFT == 2);
	CHECK((bth.flags & BTH_SE) && (bth.flags & BTH_MIG));
	CHECK(!(bth.flags & BTH_TVER_MASK));
	CHECK((__builtin_bswap32(bth.qpn) & BTH_24BITS) == 0x123456);
	CHECK((__builtin_bswap32(bth.apsn) & BTH_24BITS) == 0xabcdef);
	CHECK(__builtin_bswap32(bth.apsn) & BTH_ACK);
	CHECK(sizeof(struct urxe_reth) == RETH);
	CHECK(sizeof(struct urxe_aeth) == AETH);
	CHECK(sizeof(struct urxe_atomic_eth) == ATOMIC);
	CHECK(sizeof(struct urxe_atomic_ack_eth) == ATOMACK);
	CHECK(sizeof(struct urxe_deth) == DETH);
	CHECK(sizeof(struct urxe_feth) == FETH);
	CHECK(AETH_NAK_SEQ_ERR == 0x60 && AETH_NAK_REM_OP == 0x63);
	CHECK((AETH_NAK_INV_REQ & AETH_TYPE_MASK) == AETH_NAK);
	CHECK(((AETH_RNR_NAK | 31) & AETH_TYPE_MASK) == AETH_RNR_NAK);
}

/* --- CRC ---------------------------------------------------------------- */

/* IEEE 802.3, 3.2.9: the remainder of a division, a bit at a time. */
static uint32_t crc_by_bit(uint32_t crc, const uint8_t *at, uint32_t len)
{
	int bit;

	for (; len; len--) {
		crc ^= *at++;
		for (bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
	}
	return crc;
}

static void test_crc(void)
{
	enum { LONGEST = 4200 };
	uint8_t *buf = malloc(LONGEST);
	uint32_t i, n, off, crc;

	for (i = 0; i < LONGEST; i++)
		buf[i] = dice();
	for (n = URXE_CRC_MIN; n + 8 <= LONGEST; n += n < 400 ? 1 : 97) {
		off = n % 8;
		crc = dice();
		CHECK(urxe_crc32(crc, buf + off, n) ==
		      crc_by_bit(crc, buf + off, n), "%u bytes", n);
	}
	memset(buf, 0, LONGEST);
	CHECK(urxe_crc32(0, buf, 1024) == 0);
	CHECK(urxe_crc32(~0U, buf, 1024) == crc_by_bit(~0U, buf, 1024));
	free(buf);
}

/* --- window ------------------------------------------------------------- */

static void test_congestion(void)
{
	struct urxe_rate rate;

	urxe_rate_init(&rate);
	CHECK(rate.window == URXE_WINDOW_MAX);
	/* The first notification halves it, another in the same round does nothing. */
	urxe_rate_congested(&rate);
	CHECK(rate.window == URXE_WINDOW_MAX / 2, "%u", rate.window);
	urxe_rate_congested(&rate);
	CHECK(rate.window == URXE_WINDOW_MAX / 2, "%u", rate.window);
	/* In the next one it does. */
	urxe_rate_acked(&rate, URXE_WINDOW_MAX);
	urxe_rate_congested(&rate);
	CHECK(rate.window <= URXE_WINDOW_MAX * 5 / 16, "%u", rate.window);
}

/* While it is quiet it comes back; a single notification then is no catastrophe. */
static void test_recovery(void)
{
	uint32_t i, before = 0;
	struct urxe_rate rate;

	urxe_rate_init(&rate);
	urxe_rate_congested(&rate);
	for (i = 0; i < 4000; i++) {
		urxe_rate_acked(&rate, 64);
		CHECK(rate.window >= before && rate.window <= URXE_WINDOW_MAX);
		before = rate.window;
	}
	CHECK(rate.window == URXE_WINDOW_MAX, "%u", rate.window);
	urxe_rate_congested(&rate);
	CHECK(rate.window > URXE_WINDOW_MAX * 9 / 10, "%u", rate.window);
}

/* Some few lost of many change nothing; many do; and of few, few are many. */
static void test_few_lost(void)
{
	struct urxe_rate rate;
	uint32_t before;

	urxe_rate_init(&rate);
	urxe_rate_recovered(&rate, URXE_WINDOW_MAX / 20);
	CHECK(rate.window == URXE_WINDOW_MAX, "%u", rate.window);
	while (rate.window > 32) {
		before = rate.window;
		urxe_rate_recovered(&rate, before / 8 + 4);
		CHECK(rate.window == before / 2, "%u of %u", rate.window, before);
	}
	urxe_rate_recovered(&rate, 4);
	CHECK(rate.window == 32, "%u", rate.window);
}

/* Whatever happens, something may be sent. */
static void test_worst(void)
{
	struct urxe_rate rate;
	uint32_t i;

	urxe_rate_init(&rate);
	for (i = 0; i < 10000; i++) {
		if (dice() % 2)
			urxe_rate_congested(&rate);
		else
			urxe_rate_lost(&rate);
		urxe_rate_acked(&rate, dice() % 3);
		CHECK(rate.window >= 1 && rate.window <= URXE_WINDOW_MAX, "%u",
		      rate.window);
	}
	CHECK(rate.window <= 32, "%u", rate.window);
}

/* --- the receiver is not ready ------------------------------------------- */

/* IBTA table 45: from 10 us on, doubled every two codes; the longest is at 0. */
static void test_waits(void)
{
	unsigned int code;

	for (code = 1; code < 4; code++)
		CHECK(urxe_rnr_ns(code) == code * 10000, "%u", code);
	for (; code < RNR_CODES; code++)
		CHECK(urxe_rnr_ns(code) == 2 * urxe_rnr_ns(code - 2), "%u", code);
	CHECK(urxe_rnr_ns(0) == 2 * urxe_rnr_ns(30));
	CHECK(urxe_rnr_ns(0) == 655360000);
}

/* The code of a wait: no shorter than is wanted, nor than the least. */
static void test_codes(void)
{
	unsigned int code;

	for (code = 1; code < RNR_CODES; code++) {
		uint64_t ns = urxe_rnr_ns(code);

		CHECK(urxe_rnr_code(1, ns) == code, "%u", code);
		CHECK(urxe_rnr_code(1, ns + 1) == (code + 1) % RNR_CODES, "%u", code);
		CHECK(urxe_rnr_code(code, 0) == code, "%u", code);
		CHECK(urxe_rnr_code(RNR_CODES | code, 1) == code, "%u", code);
		CHECK(urxe_rnr_code(0, ns) == 0, "%u", code);
	}
	CHECK(urxe_rnr_code(1, UINT64_MAX) == 0);
}

int main(void)
{
	test_psn();
	test_opcodes();
	test_headers();
	test_crc();
	test_congestion();
	test_recovery();
	test_few_lost();
	test_worst();
	test_waits();
	test_codes();
	printf("%d failures\n", failures);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
