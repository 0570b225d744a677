/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Memory regions: keys, access rights, and the way to the bytes.
 *
 * A key is the region's index in the link's table, shifted by 8, and a byte
 * that changes from use to use. lkey and rkey are the same number.
 */
#ifndef URXE_MR_H
#define URXE_MR_H

#include <linux/kref.h>
#include <umem.h>

#include "runner.h"
#include "urxe.h"

/*
 * The rights a region may carry. Every region pages on demand, over pages of any
 * size; the optional ones have no effect here.
 */
#define URXE_MR_ACCESS	(IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE |	\
			 IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC |	\
			 IB_ACCESS_MW_BIND | IB_ACCESS_ON_DEMAND |		\
			 IB_ACCESS_HUGETLB | IB_ACCESS_OPTIONAL)

enum urxe_mr_type {
	URXE_MR_DMA,		/* kernel: all memory, address is the pointer */
	URXE_MR_USER,		/* a range of user memory */
	URXE_MR_FAST,		/* kernel: pages from a list, by work request */
};

enum urxe_mr_state {
	URXE_MR_INVALID,	/* has a key that no access may use now */
	URXE_MR_VALID,
};

/**
 * struct urxe_mr - a memory region
 * @ibmr: the core's part; key, length and iova are there
 * @dev: the link
 * @ref: the table's reference and those of accesses under way
 * @gone: completed when the last reference is put
 * @rcu: the struct is looked up under RCU
 * @type: see the enum
 * @state: see the enum
 * @access: enum ib_access_flags
 * @umem: URXE_MR_USER: the bytes
 * @faults: URXE_MR_USER: accesses that found a page missing, or not known
 * @prefetched: URXE_MR_USER: pages that a program had brought in
 * @pages: URXE_MR_FAST: kernel addresses of @page_size bytes each
 * @max_pages: room in @pages
 * @num_pages: used in @pages
 */
struct urxe_mr {
	struct ib_mr		ibmr;
	struct urxe_dev		*dev;
	struct kref		ref;
	struct completion	gone;
	struct rcu_head		rcu;
	enum urxe_mr_type	type;
	enum urxe_mr_state	state;
	int			access;
	struct umem		*umem;
	atomic64_t		faults;
	atomic64_t		prefetched;
	u64			*pages;
	u32			max_pages;
	u32			num_pages;
};

static inline struct urxe_mr *to_umr(struct ib_mr *ibmr)
{
	return container_of(ibmr, struct urxe_mr, ibmr);
}

/**
 * urxe_mr_get - find the region that a key names, if it allows the access
 * @ibpd: the protection domain of who asks
 * @key: lkey or rkey
 * @access: rights needed, enum ib_access_flags; 0 for local reads
 * @va: first byte, in the region's own addresses
 * @len: bytes; 0 needs no key and must not be asked for
 *
 * Return: the region, to be given to urxe_mr_put(), or NULL. Any context.
 */
struct urxe_mr *urxe_mr_get(struct ib_pd *ibpd, u32 key, int access, u64 va,
			    u64 len);

void urxe_mr_put(struct urxe_mr *mr);

/* Does the region's key still name it: is it in the link's table? Any context. */
bool urxe_mr_is_current(const struct urxe_mr *mr);

/**
 * urxe_mr_read, urxe_mr_write - copy out of, or into, a region
 * @mr: from urxe_mr_get() for at least this range
 * @ctx: where the caller runs
 * Return: 0; -EAGAIN when the step has to end and be done again in the worker;
 * -EFAULT when the memory is not there any more.
 */
int urxe_mr_read(struct urxe_mr *mr, u64 va, void *dst, u32 len,
		 struct urxe_ctx *ctx);
int urxe_mr_write(struct urxe_mr *mr, u64 va, const void *src, u32 len,
		  struct urxe_ctx *ctx);

/* One atomic operation on the 8 aligned bytes at @va; likewise. */
int urxe_mr_atomic(struct urxe_mr *mr, u64 va, enum umem_atomic_op op, u64 a,
		   u64 b, u64 *old, struct urxe_ctx *ctx);

/**
 * urxe_sg_read, urxe_sg_write - copy out of, or into, a gather list
 * @ibpd: whose keys the list may use
 * @sge: the list, a private copy
 * @num: entries in it
 * @off: offset in the bytes of the list; @off + @len is not beyond its length
 * Return: as urxe_mr_read(), and -EFAULT for a key that does not allow it.
 */
int urxe_sg_read(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		 u32 off, void *dst, u32 len, struct urxe_ctx *ctx);
int urxe_sg_write(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		  u32 off, const void *src, u32 len, struct urxe_ctx *ctx);

/**
 * urxe_mr_fast_reg, urxe_mr_invalidate - what the work requests ask for
 * Return: 0 or -EINVAL. Any context.
 */
int urxe_mr_fast_reg(struct ib_pd *ibpd, struct ib_mr *ibmr, u32 key,
		     int access);
int urxe_mr_invalidate(struct ib_pd *ibpd, u32 key);

struct ib_mr *urxe_get_dma_mr(struct ib_pd *ibpd, int access);
struct ib_mr *urxe_reg_user_mr(struct ib_pd *ibpd, u64 start, u64 length,
			       u64 iova, int access, URXE_DMAH_ARG
			       struct ib_udata *udata);
struct ib_mr *urxe_rereg_user_mr(struct ib_mr *ibmr, int flags, u64 start,
				 u64 length, u64 iova, int access,
				 struct ib_pd *pd, struct ib_udata *udata);
struct ib_mr *urxe_reg_user_mr_dmabuf(struct ib_pd *ibpd, u64 offset,
				      u64 length, u64 iova, int fd, int access,
				      URXE_DMAH_ARG
				      struct compat_dmabuf_attrs *attrs);
int urxe_dereg_mr(struct ib_mr *ibmr, struct ib_udata *udata);
struct ib_mr *urxe_alloc_mr(struct ib_pd *ibpd, enum ib_mr_type type,
			    u32 max_num_sg);
int urxe_map_mr_sg(struct ib_mr *ibmr, struct scatterlist *sg, int sg_nents,
		   unsigned int *sg_offset);

#endif /* URXE_MR_H */
