/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/* What the driver's pure files want of the kernel's header of this name. */
#ifndef UNIT_TYPES_H
#define UNIT_TYPES_H

#include_next <linux/types.h>

typedef __u8 u8;
typedef __u32 u32;
typedef __u64 u64;

#endif /* UNIT_TYPES_H */
