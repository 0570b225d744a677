/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/* What the driver's pure files want of the kernel's header of this name. */
#ifndef UNIT_BUILD_BUG_H
#define UNIT_BUILD_BUG_H

#include <assert.h>

#define __packed __attribute__((packed))

#endif /* UNIT_BUILD_BUG_H */
