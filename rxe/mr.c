// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Memory regions.
 *
 * Lifetime: the link's table holds one reference, taken back by dereg; an access
 * holds one while it runs. dereg waits for the accesses, so the user's memory is
 * not touched after ibv_dereg_mr() has returned.
 */
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "advise.h"
#include "counters.h"
#include "handle.h"
#include "mr.h"

#define KEY_INDEX(key)	((key) >> 8)

static void release(struct kref *ref)
{
	struct urxe_mr *mr = container_of(ref, struct urxe_mr, ref);

	complete(&mr->gone);
}

void urxe_mr_put(struct urxe_mr *mr)
{
	kref_put(&mr->ref, release);
}

static bool covers(const struct urxe_mr *mr, u64 va, u64 len)
{
	u64 off = va - mr->ibmr.iova;

	if (mr->type == URXE_MR_DMA)
		return va + len >= va;
	return va >= mr->ibmr.iova && off <= mr->ibmr.length &&
	       len <= mr->ibmr.length - off;
}

/* The region that has exactly this key now, with a reference. */
static struct urxe_mr *lookup(struct ib_pd *ibpd, u32 key)
{
	struct urxe_dev *dev = to_urxe(ibpd->device);
	struct urxe_mr *mr;

	rcu_read_lock();
	mr = xa_load(&dev->mrs, KEY_INDEX(key));
	if (mr && (READ_ONCE(mr->state) != URXE_MR_VALID ||
		   mr->ibmr.pd != ibpd || mr->ibmr.lkey != key ||
		   !kref_get_unless_zero(&mr->ref)))
		mr = NULL;
	rcu_read_unlock();
	return mr;
}

struct urxe_mr *urxe_mr_get(struct ib_pd *ibpd, u32 key, int access, u64 va,
			    u64 len)
{
	struct urxe_mr *mr = lookup(ibpd, key);

	if (mr && ((access & ~mr->access) || !covers(mr, va, len))) {
		urxe_mr_put(mr);
		return NULL;
	}
	return mr;
}

bool urxe_mr_is_current(const struct urxe_mr *mr)
{
	return xa_load(&mr->dev->mrs, KEY_INDEX(mr->ibmr.lkey)) == mr;
}

/* Where the byte at @va is, and how many (up to @len) follow it there. */
static void *kernel_addr(const struct urxe_mr *mr, u64 va, u32 *len)
{
	u64 off, in_page;

	if (mr->type == URXE_MR_DMA)
		return (void *)(uintptr_t)va;
	off = va - mr->ibmr.iova + (mr->ibmr.iova & (mr->ibmr.page_size - 1));
	in_page = off & (mr->ibmr.page_size - 1);
	*len = min_t(u64, *len, mr->ibmr.page_size - in_page);
	return (void *)(uintptr_t)
		(mr->pages[off / mr->ibmr.page_size] + in_page);
}

static void count_access(struct urxe_mr *mr, int err)
{
	if (!err) {
		urxe_count(mr->dev, URXE_CNT_INPLACE);
	} else if (err == -EAGAIN) {
		urxe_count(mr->dev, URXE_CNT_WORKER);
		atomic64_inc(&mr->faults);
	}
}

/* What ib_umem said, in terms of the step that asked. */
static int user_result(struct urxe_mr *mr, struct urxe_ctx *ctx, int err)
{
	if (err)
		err = urxe_ctx_fault(ctx, mr->umem->mm, err);
	if (!ctx->may_sleep)
		count_access(mr, err);
	return err;
}

static int user_read(struct urxe_mr *mr, u64 off, void *dst, u32 len,
		     struct urxe_ctx *ctx)
{
	int err;

	if (!ctx->may_sleep)
		return umem_read_nowait(mr->umem, off, dst, len);
	urxe_ctx_begin_wait(ctx, mr);
	err = umem_read(mr->umem, off, dst, len);
	urxe_ctx_end_wait(ctx);
	return err;
}

static int user_write(struct urxe_mr *mr, u64 off, const void *src, u32 len,
		      struct urxe_ctx *ctx)
{
	int err;

	if (!ctx->may_sleep)
		return umem_write_nowait(mr->umem, off, src, len);
	urxe_ctx_begin_wait(ctx, mr);
	err = umem_write(mr->umem, off, src, len);
	urxe_ctx_end_wait(ctx);
	return err;
}

static int user_atomic(struct urxe_mr *mr, u64 off, enum umem_atomic_op op,
		       u64 a, u64 b, u64 *old, struct urxe_ctx *ctx)
{
	int err;

	if (!ctx->may_sleep)
		return umem_atomic(mr->umem, off, op, a, b, old, true);
	urxe_ctx_begin_wait(ctx, mr);
	err = umem_atomic(mr->umem, off, op, a, b, old, false);
	urxe_ctx_end_wait(ctx);
	return err;
}

int urxe_mr_read(struct urxe_mr *mr, u64 va, void *dst, u32 len,
		 struct urxe_ctx *ctx)
{
	u64 off = va - mr->ibmr.iova;

	if (mr->type == URXE_MR_USER)
		return user_result(mr, ctx, user_read(mr, off, dst, len, ctx));
	while (len) {
		u32 part = len;
		const void *src = kernel_addr(mr, va, &part);

		memcpy(dst, src, part);
		dst += part;
		va += part;
		len -= part;
	}
	return 0;
}

int urxe_mr_write(struct urxe_mr *mr, u64 va, const void *src, u32 len,
		  struct urxe_ctx *ctx)
{
	u64 off = va - mr->ibmr.iova;

	if (mr->type == URXE_MR_USER)
		return user_result(mr, ctx, user_write(mr, off, src, len, ctx));
	while (len) {
		u32 part = len;
		void *dst = kernel_addr(mr, va, &part);

		memcpy(dst, src, part);
		src += part;
		va += part;
		len -= part;
	}
	return 0;
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
		return user_result(mr, ctx,
				   user_atomic(mr, va - mr->ibmr.iova, op, a, b,
					       old, ctx));
	kernel_atomic(kernel_addr(mr, va, &len), op, a, b, old);
	return 0;
}

/* One entry's part of a transfer; direction by which of the buffers is given. */
static int sge_copy(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 off,
		    void *dst, const void *src, u32 len, struct urxe_ctx *ctx)
{
	int access = src ? IB_ACCESS_LOCAL_WRITE : 0;
	struct urxe_mr *mr;
	int err;

	mr = urxe_mr_get(ibpd, sge->lkey, access, sge->addr + off, len);
	if (!mr)
		return -EFAULT;
	if (src)
		err = urxe_mr_write(mr, sge->addr + off, src, len, ctx);
	else
		err = urxe_mr_read(mr, sge->addr + off, dst, len, ctx);
	urxe_mr_put(mr);
	return err;
}

static int sg_copy(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		   u32 off, void *dst, const void *src, u32 len,
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
		err = sge_copy(ibpd, sge, off, dst ? dst + done : NULL,
			       src ? src + done : NULL, part, ctx);
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
	return sg_copy(ibpd, sge, num, off, dst, NULL, len, ctx);
}

int urxe_sg_write(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		  u32 off, const void *src, u32 len, struct urxe_ctx *ctx)
{
	return sg_copy(ibpd, sge, num, off, NULL, src, len, ctx);
}

int urxe_mr_fast_reg(struct ib_pd *ibpd, struct ib_mr *ibmr, u32 key,
		     int access)
{
	struct urxe_mr *mr = to_umr(ibmr);

	if (mr->type != URXE_MR_FAST || mr->ibmr.pd != ibpd ||
	    mr->state == URXE_MR_VALID ||
	    KEY_INDEX(key) != KEY_INDEX(mr->ibmr.lkey))
		return -EINVAL;
	mr->ibmr.lkey = key;
	mr->ibmr.rkey = key;
	mr->access = access;
	WRITE_ONCE(mr->state, URXE_MR_VALID);
	return 0;
}

int urxe_mr_invalidate(struct ib_pd *ibpd, u32 key)
{
	struct urxe_mr *mr = lookup(ibpd, key);
	int err = 0;

	if (!mr)
		return -EINVAL;
	if (mr->type == URXE_MR_FAST)
		WRITE_ONCE(mr->state, URXE_MR_INVALID);
	else
		err = -EINVAL;
	urxe_mr_put(mr);
	return err;
}

/* Give @mr an index, and with it a key; it can be found from then on. */
static int publish(struct urxe_mr *mr, u32 *index)
{
	struct urxe_dev *dev = mr->dev;
	int err;

	err = xa_alloc_cyclic(&dev->mrs, index, NULL,
			      XA_LIMIT(1, URXE_MAX_MR), &dev->mr_next,
			      GFP_KERNEL);
	if (err < 0)
		return err == -EBUSY ? -ENOMEM : err;
	mr->ibmr.lkey = *index << 8 | (get_random_u32() & 0xff);
	mr->ibmr.rkey = mr->ibmr.lkey;
	err = xa_err(xa_store(&dev->mrs, *index, mr, GFP_KERNEL));
	if (err)
		xa_erase(&dev->mrs, *index);
	return err;
}

static struct urxe_mr *mr_alloc(struct ib_pd *ibpd, enum urxe_mr_type type,
				int access)
{
	struct urxe_mr *mr = kzalloc(sizeof(*mr), GFP_KERNEL);

	if (!mr)
		return NULL;
	mr->dev = to_urxe(ibpd->device);
	mr->ibmr.device = ibpd->device;
	mr->ibmr.pd = ibpd;
	mr->type = type;
	mr->access = access;
	kref_init(&mr->ref);
	init_completion(&mr->gone);
	return mr;
}

static void mr_free(struct urxe_mr *mr)
{
	umem_release(mr->umem);
	kvfree(mr->pages);
	kfree_rcu(mr, rcu);
}

/* The last step of every way to make a region. */
static struct ib_mr *mr_finish(struct urxe_mr *mr)
{
	u32 index;
	int err = publish(mr, &index);

	if (err) {
		mr_free(mr);
		return ERR_PTR(err);
	}
	return &mr->ibmr;
}

struct ib_mr *urxe_get_dma_mr(struct ib_pd *ibpd, int access)
{
	struct urxe_mr *mr = mr_alloc(ibpd, URXE_MR_DMA, access);

	if (!mr)
		return ERR_PTR(-ENOMEM);
	mr->state = URXE_MR_VALID;
	return mr_finish(mr);
}

static unsigned int umem_flags(int access)
{
	return ib_access_writable(access) ? UMEM_WRITE : UMEM_READ;
}

/*
 * A program that asks for on-demand paging gets it under either policy. All of its
 * address space is nothing that could be pinned, and not what an address of 0 and
 * no known length mean otherwise.
 */
static struct umem *open_umem(struct urxe_dev *dev, u64 start, u64 length,
			      int access)
{
	unsigned int flags = umem_flags(access);

	if (access & IB_ACCESS_ON_DEMAND)
		return umem_open(start, length, flags);
	if (length == UMEM_WHOLE_MM)
		return ERR_PTR(-EINVAL);
	if (READ_ONCE(dev->policy) == URXE_PINNED)
		return umem_get(NULL, start, length, flags, 0);
	return umem_open(start, length, flags);
}

/* Takes over @umem, also if that is an ERR_PTR(). */
static struct ib_mr *reg_umem(struct ib_pd *ibpd, struct umem *umem,
			      u64 length, u64 iova, int access)
{
	struct urxe_mr *mr;

	if (IS_ERR(umem))
		return ERR_CAST(umem);
	mr = mr_alloc(ibpd, URXE_MR_USER, access);
	if (!mr) {
		umem_release(umem);
		return ERR_PTR(-ENOMEM);
	}
	mr->umem = umem;
	mr->ibmr.iova = iova;
	mr->ibmr.length = length;
	mr->state = URXE_MR_VALID;
	return mr_finish(mr);
}

static int check_region(u64 length, u64 iova, int access)
{
	if (access & ~URXE_MR_ACCESS)
		return -EOPNOTSUPP;
	return iova + length < iova ? -EINVAL : 0;
}

struct ib_mr *urxe_reg_user_mr(struct ib_pd *ibpd, u64 start, u64 length,
			       u64 iova, int access, URXE_DMAH_ARG
			       struct ib_udata *udata)
{
	int err = check_region(length, iova, access);

	if (err)
		return ERR_PTR(err);
	return reg_umem(ibpd, open_umem(to_urxe(ibpd->device), start, length,
					access), length, iova, access);
}

struct ib_mr *urxe_reg_user_mr_dmabuf(struct ib_pd *ibpd, u64 offset,
				      u64 length, u64 iova, int fd, int access,
				      URXE_DMAH_ARG
				      struct compat_dmabuf_attrs *attrs)
{
	int err = check_region(length, iova, access);

	if (err)
		return ERR_PTR(err);
	return reg_umem(ibpd, umem_get_dmabuf(fd, offset, length,
					      umem_flags(access)),
			length, iova, access);
}

/*
 * A changed region is a new one: the core puts it in the old one's place, and
 * takes the old one down. Nothing that runs sees it half changed.
 */
struct ib_mr *urxe_rereg_user_mr(struct ib_mr *ibmr, int flags, u64 start,
				 u64 length, u64 iova, int access,
				 struct ib_pd *pd, struct ib_udata *udata)
{
	struct urxe_mr *mr = to_umr(ibmr);

	if (mr->type != URXE_MR_USER || mr->umem->dmabuf)
		return ERR_PTR(-EOPNOTSUPP);
	if (!(flags & IB_MR_REREG_TRANS)) {
		start = mr->umem->addr;
		length = mr->umem->length;
		iova = mr->ibmr.iova;
	}
	if (!(flags & IB_MR_REREG_ACCESS))
		access = mr->access;
	if (!(flags & IB_MR_REREG_PD))
		pd = mr->ibmr.pd;
	return urxe_reg_user_mr(pd, start, length, iova, access,
				URXE_NO_DMAH udata);
}

/* Accesses under way end; those that wait for a page are made to. */
static void wait_for_accesses(struct urxe_mr *mr)
{
	urxe_advise_cancel(mr);
	urxe_mr_put(mr);
	while (!wait_for_completion_timeout(&mr->gone, HZ / 20))
		urxe_handles_break(mr);
}

int urxe_dereg_mr(struct ib_mr *ibmr, struct ib_udata *udata)
{
	struct urxe_mr *mr = to_umr(ibmr);

	xa_erase(&mr->dev->mrs, KEY_INDEX(mr->ibmr.lkey));
	wait_for_accesses(mr);
	mr_free(mr);
	return 0;
}

struct ib_mr *urxe_alloc_mr(struct ib_pd *ibpd, enum ib_mr_type type,
			    u32 max_num_sg)
{
	struct urxe_mr *mr;

	if (type != IB_MR_TYPE_MEM_REG || !max_num_sg ||
	    max_num_sg > URXE_MAX_FRMR_PAGES)
		return ERR_PTR(-EINVAL);
	mr = mr_alloc(ibpd, URXE_MR_FAST, 0);
	if (!mr)
		return ERR_PTR(-ENOMEM);
	mr->pages = kvcalloc(max_num_sg, sizeof(*mr->pages), GFP_KERNEL);
	if (!mr->pages) {
		mr_free(mr);
		return ERR_PTR(-ENOMEM);
	}
	mr->max_pages = max_num_sg;
	return mr_finish(mr);
}

static int set_page(struct ib_mr *ibmr, u64 addr)
{
	struct urxe_mr *mr = to_umr(ibmr);

	if (mr->num_pages == mr->max_pages)
		return -ENOMEM;
	mr->pages[mr->num_pages++] = addr;
	return 0;
}

int urxe_map_mr_sg(struct ib_mr *ibmr, struct scatterlist *sg, int sg_nents,
		   unsigned int *sg_offset)
{
	to_umr(ibmr)->num_pages = 0;
	return ib_sg_to_pages(ibmr, sg, sg_nents, sg_offset, set_page);
}
