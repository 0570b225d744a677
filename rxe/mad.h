/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Management datagrams that the port answers itself.
 */
#ifndef URXE_MAD_H
#define URXE_MAD_H

#include <rdma/ib_mad.h>

/* Hook for the core: counters, of sysfs and of the performance management class. */
int urxe_process_mad(struct ib_device *ibdev, int flags, u32 port,
		     const struct ib_wc *wc, const struct ib_grh *grh,
		     const struct ib_mad *in, struct ib_mad *out,
		     size_t *out_size, u16 *out_pkey_index);

#endif /* URXE_MAD_H */
