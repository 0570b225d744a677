/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/* What the driver's pure files want of the kernel's header of this name. */
#ifndef UNIT_MINMAX_H
#define UNIT_MINMAX_H

#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))

#endif /* UNIT_MINMAX_H */
