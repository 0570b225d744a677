// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * IBTA table 45. The codes count up with the wait, except that 0 is the longest.
 */
#include "rnr.h"

/* In units of 10 us. */
static const u32 waits[RNR_CODES] = {
	65536, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256,
	384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384,
	24576, 32768, 49152,
};

u64 urxe_rnr_ns(u8 code)
{
	return waits[code & (RNR_CODES - 1)] * 10000ULL;
}

u8 urxe_rnr_code(u8 min, u64 ns)
{
	u8 code = min & (RNR_CODES - 1);

	while (code && urxe_rnr_ns(code) < ns)
		code = (code + 1) & (RNR_CODES - 1);
	return code;
}
