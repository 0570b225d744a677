// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Gather lists.
 *
 * Whatever is done with the bytes, the way through the list is the same; only what
 * is at the other end differs.
 */
#include "access.h"
#include "mr.h"
#include "sg.h"

/* The other end of a transfer: one of the three. */
struct far_end {
	void		*dst;
	const void	*src;
	struct urxe_mr	*src_mr;
	u64		sva;
};

static int mr_transfer(struct urxe_mr *mr, u64 va, const struct far_end *far,
		       u32 done, u32 len, struct urxe_ctx *ctx)
{
	if (far->dst)
		return urxe_mr_read(mr, va, far->dst + done, len, ctx);
	if (far->src)
		return urxe_mr_write(mr, va, far->src + done, len, ctx);
	return urxe_mr_move(mr, va, far->src_mr, far->sva + done, len, ctx);
}

/* One entry's part of a transfer. */
static int sge_transfer(struct ib_pd *ibpd, const struct urxe_sg_place *at,
			const struct far_end *far, u32 done, u32 len,
			struct urxe_ctx *ctx)
{
	int access = far->dst ? 0 : IB_ACCESS_LOCAL_WRITE;
	u64 va = at->sge->addr + at->off;
	struct urxe_mr *mr;
	int err;

	mr = urxe_mr_get(ibpd, at->sge->lkey, access, va, len);
	if (!mr)
		return -EFAULT;
	err = mr_transfer(mr, va, far, done, len, ctx);
	urxe_mr_put(mr);
	return err;
}

static int sg_transfer(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		       u32 off, const struct far_end *far, u32 len,
		       struct urxe_ctx *ctx)
{
	struct urxe_sg_place at = { sge, num, off };
	u32 part, done;
	int err = 0;

	for (done = 0; !err && done < len; done += part, at.off += part) {
		part = urxe_sg_part(&at, len - done);
		if (!part)
			return -EFAULT;
		err = sge_transfer(ibpd, &at, far, done, part, ctx);
	}
	return err;
}

int urxe_sg_read(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		 u32 off, void *dst, u32 len, struct urxe_ctx *ctx)
{
	const struct far_end far = { .dst = dst };

	return sg_transfer(ibpd, sge, num, off, &far, len, ctx);
}

int urxe_sg_write(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		  u32 off, const void *src, u32 len, struct urxe_ctx *ctx)
{
	const struct far_end far = { .src = src };

	return sg_transfer(ibpd, sge, num, off, &far, len, ctx);
}

int urxe_sg_move(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		 u32 off, struct urxe_mr *src, u64 sva, u32 len,
		 struct urxe_ctx *ctx)
{
	const struct far_end far = { .src_mr = src, .sva = sva };

	return sg_transfer(ibpd, sge, num, off, &far, len, ctx);
}

static bool sge_at_hand(struct ib_pd *ibpd, const struct urxe_sg_place *at,
			u32 len, int access)
{
	u64 va = at->sge->addr + at->off;
	struct urxe_mr *mr;
	bool there;

	mr = urxe_mr_get(ibpd, at->sge->lkey, access, va, len);
	if (!mr)
		return false;
	there = urxe_mr_at_hand(mr, va, len);
	urxe_mr_put(mr);
	return there;
}

bool urxe_sg_at_hand(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		     u32 off, u32 len, int access)
{
	struct urxe_sg_place at = { sge, num, off };
	u32 part;

	for (; len; len -= part, at.off += part) {
		part = urxe_sg_part(&at, len);
		if (!part || !sge_at_hand(ibpd, &at, part, access))
			return false;
	}
	return true;
}
