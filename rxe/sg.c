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
static int sge_transfer(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 off,
			const struct far_end *far, u32 done, u32 len,
			struct urxe_ctx *ctx)
{
	int access = far->dst ? 0 : IB_ACCESS_LOCAL_WRITE;
	u64 va = sge->addr + off;
	struct urxe_mr *mr;
	int err;

	mr = urxe_mr_get(ibpd, sge->lkey, access, va, len);
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
	u32 part, done = 0;
	int err;

	for (; len > done && num; num--, sge++) {
		if (off >= sge->length) {
			off -= sge->length;
			continue;
		}
		part = min(len - done, sge->length - off);
		err = sge_transfer(ibpd, sge, off, far, done, part, ctx);
		if (err)
			return err;
		done += part;
		off = 0;
	}
	return len > done ? -EFAULT : 0;
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

static bool sge_at_hand(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 off,
			u32 len, int access)
{
	u64 va = sge->addr + off;
	struct urxe_mr *mr;
	bool there;

	mr = urxe_mr_get(ibpd, sge->lkey, access, va, len);
	if (!mr)
		return false;
	there = urxe_mr_at_hand(mr, va, len);
	urxe_mr_put(mr);
	return there;
}

bool urxe_sg_at_hand(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		     u32 off, u32 len, int access)
{
	u32 part;

	for (; len && num; num--, sge++) {
		if (off >= sge->length) {
			off -= sge->length;
			continue;
		}
		part = min(len, sge->length - off);
		if (!sge_at_hand(ibpd, sge, off, part, access))
			return false;
		len -= part;
		off = 0;
	}
	return !len;
}
