/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Fast registration: a consumer in the kernel lists its pages, and a work request
 * registers them. They are there for sure, so a list of addresses is all it takes.
 */
#ifndef URXE_FAST_H
#define URXE_FAST_H

#include "urxe.h"

struct urxe_ctx;
struct urxe_qp;
struct urxe_wqe;

/**
 * struct urxe_pages - the memory of a fast registration
 * @length: bytes
 * @size: bytes of each page
 * @num: used in @addr
 * @max: room in @addr
 * @addr: kernel addresses
 */
struct urxe_pages {
	u64	length;
	u32	size;
	u32	num;
	u32	max;
	u64	addr[] __counted_by(max);
};

/* NULL is allowed. */
void urxe_pages_free(struct urxe_pages *pages);

/**
 * urxe_mr_fast_reg - register what the consumer has mapped last (IB_WR_REG_MR)
 * @qp: the QP
 * @wqe: the work request
 * @ctx: where the caller runs
 *
 * The new key's index is that of the region. Its address is the one that the
 * consumer, who may have changed it, had in @wqe's region when he posted.
 * Return: as urxe_mr_invalidate().
 */
int urxe_mr_fast_reg(const struct urxe_qp *qp, const struct urxe_wqe *wqe,
		     struct urxe_ctx *ctx);

/* Hooks for the core. */
struct ib_mr *urxe_alloc_mr(struct ib_pd *ibpd, enum ib_mr_type type,
			    u32 max_num_sg);
int urxe_map_mr_sg(struct ib_mr *ibmr, struct scatterlist *sg, int sg_nents,
		   unsigned int *sg_offset);

#endif /* URXE_FAST_H */
