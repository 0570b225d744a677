// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Access to memory, by region.
 *
 * Who may wait for a page tries without waiting first, if that has a chance: where
 * the pages are at hand, no timer has to watch the access.
 */
#include <linux/atomic.h>

#include "access.h"
#include "counters.h"
#include "fast.h"
#include "mr.h"
#include "runner.h"

/* Where the byte at @va is, and how many (up to @len) follow it there. */
static void *kernel_addr(const struct urxe_mr *mr, u64 va, u32 *len)
{
	u64 off, in_page;

	if (mr->type == URXE_MR_DMA)
		return (void *)(uintptr_t)va;
	off = va - mr->iova + (mr->iova & (mr->pages->size - 1));
	in_page = off & (mr->pages->size - 1);
	*len = min_t(u64, *len, mr->pages->size - in_page);
	return (void *)(uintptr_t)
		(mr->pages->addr[off / mr->pages->size] + in_page);
}

/* @in_place: nobody had to be ready to wait */
static void count_access(struct urxe_mr *mr, int err, bool in_place)
{
	if (err == -EAGAIN) {
		urxe_count(mr->dev, URXE_CNT_WORKER);
	} else if (!err && in_place) {
		urxe_count(mr->dev, URXE_CNT_INPLACE);
	} else if (!err) {
		urxe_count(mr->dev, URXE_CNT_BY_WORKER);
		atomic64_inc(&mr->faults);
	}
}

/* What ib_umem said, in terms of the step that asked. */
static int user_result(struct urxe_mr *mr, struct urxe_ctx *ctx, int err,
		       bool in_place)
{
	if (err)
		err = urxe_ctx_fault(ctx, mr, err);
	count_access(mr, err, in_place);
	return err;
}

/* Between a region and kernel memory; which way by which buffer is given. */
static int user_copy(struct urxe_mr *mr, u64 va, void *dst, const void *src,
		     u32 len, bool may_sleep)
{
	u64 off = va - mr->iova;

	if (may_sleep)
		return dst ? umem_read(mr->umem, off, dst, len) :
			     umem_write(mr->umem, off, src, len);
	return dst ? umem_read_nowait(mr->umem, off, dst, len) :
		     umem_write_nowait(mr->umem, off, src, len);
}

static void kernel_copy(struct urxe_mr *mr, u64 va, void *dst, const void *src,
			u32 len)
{
	u32 part, done;

	for (done = 0; done < len; done += part) {
		void *at;

		part = len - done;
		at = kernel_addr(mr, va + done, &part);
		memcpy(dst ? dst + done : at, dst ? at : src + done, part);
	}
}

/* Is it worth a try without waiting? Who may not wait has nothing else. */
static bool try_in_place(struct urxe_mr *mr, u64 va, u32 len, bool write,
			 const struct urxe_ctx *ctx)
{
	return !ctx->may_sleep ||
	       umem_at_hand(mr->umem, va - mr->iova, len, write);
}

static int mr_copy(struct urxe_mr *mr, u64 va, void *dst, const void *src,
		   u32 len, struct urxe_ctx *ctx)
{
	bool in_place = true;
	int err = -EAGAIN;

	if (mr->type != URXE_MR_USER) {
		kernel_copy(mr, va, dst, src, len);
		return 0;
	}
	if (try_in_place(mr, va, len, !dst, ctx))
		err = user_copy(mr, va, dst, src, len, false);
	if (ctx->may_sleep && err == -EAGAIN) {
		in_place = false;
		urxe_ctx_begin_wait(ctx, mr);
		err = user_copy(mr, va, dst, src, len, true);
		urxe_ctx_end_wait(ctx);
	}
	return user_result(mr, ctx, err, in_place);
}

int urxe_mr_read(struct urxe_mr *mr, u64 va, void *dst, u32 len,
		 struct urxe_ctx *ctx)
{
	return mr_copy(mr, va, dst, NULL, len, ctx);
}

int urxe_mr_write(struct urxe_mr *mr, u64 va, const void *src, u32 len,
		  struct urxe_ctx *ctx)
{
	return mr_copy(mr, va, NULL, src, len, ctx);
}

bool urxe_mr_at_hand(const struct urxe_mr *mr, u64 va, u32 len)
{
	return mr->type != URXE_MR_USER ||
	       umem_at_hand(mr->umem, va - mr->iova, len, false);
}

/* --- from region to region ---------------------------------------------- */

/* Small enough for the stack and for the processor's nearest cache. */
#define BOUNCE	512

/* In two steps. */
static int bounce(struct urxe_mr *dst, u64 dva, struct urxe_mr *src, u64 sva,
		  u32 len)
{
	u8 buf[BOUNCE];
	int err = 0;
	u32 n;

	for (; !err && len; dva += n, sva += n, len -= n) {
		n = min_t(u32, len, sizeof(buf));
		if (user_copy(src, sva, buf, NULL, n, false))
			return URXE_NO_SOURCE;
		err = user_copy(dst, dva, NULL, buf, n, false);
	}
	return err;
}

static int move_user(struct urxe_mr *dst, u64 dva, struct urxe_mr *src,
		     u64 sva, u32 len)
{
	if (!umem_move_nowait(dst->umem, dva - dst->iova, src->umem,
			      sva - src->iova, len))
		return 0;
	return bounce(dst, dva, src, sva, len);
}

/* @src is kernel memory. */
static int move_from_kernel(struct urxe_mr *dst, u64 dva, struct urxe_mr *src,
			    u64 sva, u32 len)
{
	int err = 0;
	u32 part;

	for (; !err && len; dva += part, sva += part, len -= part) {
		void *at;

		part = len;
		at = kernel_addr(src, sva, &part);
		if (dst->type == URXE_MR_USER)
			err = user_copy(dst, dva, NULL, at, part, false);
		else
			kernel_copy(dst, dva, NULL, at, part);
	}
	return err;
}

/* @dst is kernel memory, and @src is not. */
static int move_to_kernel(struct urxe_mr *dst, u64 dva, struct urxe_mr *src,
			  u64 sva, u32 len)
{
	u32 part;

	for (; len; dva += part, sva += part, len -= part) {
		void *at;

		part = len;
		at = kernel_addr(dst, dva, &part);
		if (user_copy(src, sva, at, NULL, part, false))
			return URXE_NO_SOURCE;
	}
	return 0;
}

int urxe_mr_move(struct urxe_mr *dst, u64 dva, struct urxe_mr *src, u64 sva,
		 u32 len, struct urxe_ctx *ctx)
{
	int err;

	if (src->type != URXE_MR_USER)
		err = move_from_kernel(dst, dva, src, sva, len);
	else if (dst->type != URXE_MR_USER)
		err = move_to_kernel(dst, dva, src, sva, len);
	else
		err = move_user(dst, dva, src, sva, len);
	if (err == URXE_NO_SOURCE || dst->type != URXE_MR_USER)
		return err;
	if (err == -EAGAIN)
		urxe_ctx_want(ctx, dst);
	count_access(dst, err, true);
	return err;
}

/* --- atomics ------------------------------------------------------------ */

static int user_atomic(struct urxe_mr *mr, u64 va, enum umem_atomic_op op,
		       u64 a, u64 b, u64 *old, struct urxe_ctx *ctx)
{
	size_t off = va - mr->iova;
	bool in_place = true;
	int err = -EAGAIN;

	if (try_in_place(mr, va, sizeof(u64), true, ctx))
		err = umem_atomic(mr->umem, off, op, a, b, old, true);
	if (ctx->may_sleep && err == -EAGAIN) {
		in_place = false;
		urxe_ctx_begin_wait(ctx, mr);
		err = umem_atomic(mr->umem, off, op, a, b, old, false);
		urxe_ctx_end_wait(ctx);
	}
	return user_result(mr, ctx, err, in_place);
}

static void kernel_atomic(u64 *word, enum umem_atomic_op op, u64 a, u64 b,
			  u64 *old)
{
	switch (op) {
	case UMEM_ATOMIC_CAS:
		*old = cmpxchg64(word, b, a);
		break;
	case UMEM_ATOMIC_FAA:
		*old = atomic64_fetch_add(a, (atomic64_t *)word);
		break;
	case UMEM_ATOMIC_WRITE:
		*old = 0;
		WRITE_ONCE(*word, a);
		break;
	}
}

int urxe_mr_atomic(struct urxe_mr *mr, u64 va, enum umem_atomic_op op, u64 a,
		   u64 b, u64 *old, struct urxe_ctx *ctx)
{
	u32 len = sizeof(u64);

	if (mr->type == URXE_MR_USER)
		return user_atomic(mr, va, op, a, b, old, ctx);
	kernel_atomic(kernel_addr(mr, va, &len), op, a, b, old);
	return 0;
}

/* --- persistence -------------------------------------------------------- */

/* Takes as long as storage does: never in place. */
int urxe_mr_persist(struct urxe_mr *mr, u64 va, u64 len, struct urxe_ctx *ctx)
{
	int err = -EAGAIN;

	if (mr->type != URXE_MR_USER)
		return -EFAULT;
	if (ctx->may_sleep) {
		urxe_ctx_begin_wait(ctx, mr);
		err = umem_persist(mr->umem, va - mr->iova, len);
		urxe_ctx_end_wait(ctx);
	}
	return user_result(mr, ctx, err, false);
}
