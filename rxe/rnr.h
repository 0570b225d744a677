/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The timer codes of RNR NAKs: how long a receiver that is not ready asks for.
 * Free of kernel dependencies: also compiled and tested in user space.
 */
#ifndef URXE_RNR_H
#define URXE_RNR_H

#include <linux/types.h>

#define RNR_CODES	32

/* Nanoseconds that a code, less than RNR_CODES, stands for. */
u64 urxe_rnr_ns(u8 code);

/**
 * urxe_rnr_code - the code for a wait
 * @min: the code of the least that may be asked for
 * @ns: what is wanted
 *
 * Return: that of the shortest wait that is not below @min's, and not shorter than @ns;
 * that of the longest if there is none.
 */
u8 urxe_rnr_code(u8 min, u64 ns);

#endif /* URXE_RNR_H */
