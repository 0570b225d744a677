/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/* What the driver's pure files want of the kernel's header of this name. */
#ifndef UNIT_MATH_H
#define UNIT_MATH_H

#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))

#endif /* UNIT_MATH_H */
