/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Pages that take their time: what a peer is told that asks meanwhile.
 */
#ifndef URXE_SLOW_H
#define URXE_SLOW_H

#include "runner.h"

/* What the RQ side does while its worker waits: see struct urxe_runner. */
void urxe_resp_slow(struct urxe_runner *runner, unsigned long waited);

#endif /* URXE_SLOW_H */
