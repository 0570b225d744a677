/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Memory windows: a key of its own, with its own rights, for a part of a region.
 *
 * Type 1 is bound again and again by who has the handle, and is open to every QP
 * of its protection domain. Type 2 (2B in the specification's words) is open
 * through the QP that bound it only, and has to be invalidated in between.
 */
#ifndef URXE_MW_H
#define URXE_MW_H

#include "mr.h"

struct urxe_handle;
struct urxe_wqe;

/**
 * struct urxe_mw - a memory window
 * @ibmw: the core's part
 * @mr: its entry in the table of regions, which has the key, the rights and the
 *	range; @umem there is the region's
 * @region: what it is bound to, counted in that one's @windows; NULL when it is
 *	    not; guarded by the lock of @mr
 * @handle: type 2: of the QP that bound it, with a reference; likewise
 */
struct urxe_mw {
	struct ib_mw		ibmw;
	struct urxe_mr		*mr;
	struct urxe_mr		*region;
	struct urxe_handle	*handle;
};

static inline struct urxe_mw *to_umw(struct ib_mw *ibmw)
{
	return container_of(ibmw, struct urxe_mw, ibmw);
}

/**
 * urxe_mw_bind - what IB_WR_BIND_MW asks for
 * @qp: the QP
 * @wqe: the work request
 * @ctx: where the caller runs
 * Return: as urxe_mr_invalidate().
 */
int urxe_mw_bind(const struct urxe_qp *qp, const struct urxe_wqe *wqe,
		 struct urxe_ctx *ctx);

/* May the peer of @qp use the window? The caller has a reference on its entry. */
bool urxe_mw_opens_to(const struct urxe_mw *mw, const struct urxe_qp *qp);

/* May a work request on @qp, or a message of its peer (@remote), invalidate it? */
bool urxe_mw_may_end(const struct urxe_mw *mw, const struct urxe_qp *qp,
		     bool remote) __must_hold(&mw->mr->lock);

/* It is invalid now: let go of what it was bound to. */
void urxe_mw_close(struct urxe_mw *mw) __must_hold(&mw->mr->lock);

/* Hooks for the core. */
int urxe_alloc_mw(struct ib_mw *ibmw, struct ib_udata *udata);
int urxe_dealloc_mw(struct ib_mw *ibmw);

#endif /* URXE_MW_H */
