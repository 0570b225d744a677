/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Packet sequence numbers: 24 bits, compared modulo 2^24 (IBTA 9.7.1).
 * Free of kernel dependencies: also compiled and tested in user space.
 */
#ifndef URXE_PSN_H
#define URXE_PSN_H

#include <linux/types.h>

#define URXE_PSN_MASK	0xffffff
/* Half the circle: no more than this may be under way (IBTA 9.7.5.1.1). */
#define URXE_PSN_HALF	0x800000

static inline __u32 psn_add(__u32 psn, __u32 n)
{
	return (psn + n) & URXE_PSN_MASK;
}

/* How far @a is ahead of @b; negative when it is behind. */
static inline __s32 psn_diff(__u32 a, __u32 b)
{
	return (__s32)((a - b) << 8) >> 8;
}

/* How many numbers after @first @psn is, never a negative number. */
static inline __u32 psn_dist(__u32 psn, __u32 first)
{
	return (psn - first) & URXE_PSN_MASK;
}

/* Is @psn one of the @n numbers from @first on? */
static inline int psn_within(__u32 psn, __u32 first, __u32 n)
{
	return psn_dist(psn, first) < n;
}

#endif /* URXE_PSN_H */
