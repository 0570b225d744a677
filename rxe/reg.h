/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Registering: how memory gets a key, and loses it, when the core says so.
 */
#ifndef URXE_REG_H
#define URXE_REG_H

#include "urxe.h"

struct urxe_mr;

/* The last step of every way to make a region. On failure it is freed. */
struct ib_mr *urxe_mr_finish(struct urxe_mr *mr);

/* Hooks for the core. */
struct ib_mr *urxe_get_dma_mr(struct ib_pd *ibpd, int access);
struct ib_mr *urxe_reg_user_mr(struct ib_pd *ibpd, u64 start, u64 length,
			       u64 iova, int access, COMPAT_DMAH_ARG
			       struct ib_udata *udata);
struct ib_mr *urxe_rereg_user_mr(struct ib_mr *ibmr, int flags, u64 start,
				 u64 length, u64 iova, int access,
				 struct ib_pd *pd, struct ib_udata *udata);
struct ib_mr *urxe_reg_user_mr_dmabuf(struct ib_pd *ibpd, u64 offset,
				      u64 length, u64 iova, int fd, int access,
				      COMPAT_DMAH_ARG
				      struct compat_dmabuf_attrs *attrs);
int urxe_dereg_mr(struct ib_mr *ibmr, struct ib_udata *udata);

#endif /* URXE_REG_H */
