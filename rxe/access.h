/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Access: the way to the bytes behind a key. Who has a region need not know what it
 * is made of, user memory or the kernel's own.
 */
#ifndef URXE_ACCESS_H
#define URXE_ACCESS_H

#include <umem.h>

struct urxe_ctx;
struct urxe_mr;

/**
 * urxe_mr_read - copy out of a region
 * @mr: from urxe_mr_get() for at least this range
 * @va: first byte, in the region's own addresses
 * @dst: where to
 * @len: bytes
 * @ctx: where the caller runs
 * Return: 0; -EAGAIN when the step has to end and be done again in the worker;
 * -EFAULT when the memory is not there any more.
 */
int urxe_mr_read(struct urxe_mr *mr, u64 va, void *dst, u32 len,
		 struct urxe_ctx *ctx);

/* Likewise into it, from @src. */
int urxe_mr_write(struct urxe_mr *mr, u64 va, const void *src, u32 len,
		  struct urxe_ctx *ctx);

/* The source of a copy can't be reached from here, or is not there any more. */
#define URXE_NO_SOURCE	(-ESTALE)

/**
 * urxe_mr_move - copy from one region into another, once if possible
 * @dst: from urxe_mr_get() for at least this range
 * @dva: where to
 * @src: likewise, where from
 * @sva: likewise
 * @len: bytes
 * @ctx: where the caller runs; neither region's memory is faulted in
 * Return: 0; -EAGAIN when @dst can't be reached without waiting; -EFAULT;
 * URXE_NO_SOURCE.
 */
int urxe_mr_move(struct urxe_mr *dst, u64 dva, struct urxe_mr *src, u64 sva,
		 u32 len, struct urxe_ctx *ctx);

/* One atomic operation on the 8 aligned bytes at @va; likewise. */
int urxe_mr_atomic(struct urxe_mr *mr, u64 va, enum umem_atomic_op op, u64 a,
		   u64 b, u64 *old, struct urxe_ctx *ctx);

/*
 * Have what is in @len bytes at @va outlive the machine; likewise. Also returns what the
 * file system says.
 */
int urxe_mr_persist(struct urxe_mr *mr, u64 va, u64 len, struct urxe_ctx *ctx);

/*
 * Could bytes be read here, without waiting? @mr is from urxe_mr_get() for at least
 * this range. A hint; see umem_at_hand().
 */
bool urxe_mr_at_hand(const struct urxe_mr *mr, u64 va, u32 len);

#endif /* URXE_ACCESS_H */
