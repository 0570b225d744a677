// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Memory regions.
 *
 * Lifetime: the link's table holds one reference, taken back by dereg; an access
 * holds one while it runs. dereg waits for the accesses, so the user's memory is
 * not touched after ibv_dereg_mr() has returned. Invalidating a key waits for
 * them as well (urxe_mr_end_access()).
 */
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "advise.h"
#include "counters.h"
#include "handle.h"
#include "mw.h"
#include "qp.h"

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
	u64 off = va - mr->first;

	if (mr->type == URXE_MR_DMA)
		return va + len >= va;
	return va >= mr->first && off <= mr->length && len <= mr->length - off;
}

struct urxe_mr *urxe_mr_find(struct urxe_dev *dev, u32 key)
{
	struct urxe_mr *mr;

	rcu_read_lock();
	mr = xa_load(&dev->mrs, KEY_INDEX(key));
	if (mr && !kref_get_unless_zero(&mr->ref))
		mr = NULL;
	rcu_read_unlock();
	return mr;
}

static bool is_valid(const struct urxe_mr *mr, const struct ib_pd *ibpd,
		     u32 key)
{
	return READ_ONCE(mr->state) == URXE_MR_VALID &&
	       READ_ONCE(mr->key) == key && mr->ibmr.pd == ibpd;
}

/* What has exactly this key now, with a reference. */
static struct urxe_mr *lookup(struct ib_pd *ibpd, u32 key)
{
	struct urxe_dev *dev = to_urxe(ibpd->device);
	struct urxe_mr *mr;

	rcu_read_lock();
	mr = xa_load(&dev->mrs, KEY_INDEX(key));
	if (mr && (!is_valid(mr, ibpd, key) ||
		   !kref_get_unless_zero(&mr->ref)))
		mr = NULL;
	rcu_read_unlock();
	return mr;
}

/* Is a window open to who asks: to the peer of @qp, and to no one locally. */
static bool opens_to(const struct urxe_mr *mr, const struct urxe_qp *qp)
{
	return !mr->window || (qp && urxe_mw_opens_to(mr->window, qp));
}

static struct urxe_mr *get(struct ib_pd *ibpd, const struct urxe_qp *qp,
			   u32 key, int access)
{
	struct urxe_mr *mr = lookup(ibpd, key);

	if (!mr)
		return NULL;
	/*
	 * The second look comes after the reference, so that either who ends
	 * the access sees that, or we see that it has ended.
	 */
	smp_mb__after_atomic();
	if (is_valid(mr, ibpd, key) && !(access & ~mr->access) &&
	    opens_to(mr, qp))
		return mr;
	urxe_mr_put(mr);
	return NULL;
}

static struct urxe_mr *get_range(struct ib_pd *ibpd, const struct urxe_qp *qp,
				 u32 key, int access, u64 va, u64 len)
{
	struct urxe_mr *mr = get(ibpd, qp, key, access);

	if (mr && !covers(mr, va, len)) {
		urxe_mr_put(mr);
		return NULL;
	}
	return mr;
}

struct urxe_mr *urxe_mr_get(struct ib_pd *ibpd, u32 key, int access, u64 va,
			    u64 len)
{
	return get_range(ibpd, NULL, key, access, va, len);
}

struct urxe_mr *urxe_mr_get_remote(const struct urxe_qp *qp, u32 key,
				   int access, u64 va, u64 len)
{
	return get_range(qp->ibqp.pd, qp, key, access, va, len);
}

struct urxe_mr *urxe_mr_get_whole(const struct urxe_qp *qp, u32 key, int access)
{
	return get(qp->ibqp.pd, qp, key, access);
}

bool urxe_mr_is_current(const struct urxe_mr *mr)
{
	return xa_load(&mr->dev->mrs, KEY_INDEX(mr->key)) == mr;
}

/* --- the way to the bytes ----------------------------------------------- */

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
	if (!err && in_place) {
		urxe_count(mr->dev, URXE_CNT_INPLACE);
	} else if (err == -EAGAIN) {
		urxe_count(mr->dev, URXE_CNT_WORKER);
		atomic64_inc(&mr->faults);
	}
}

/* What ib_umem said, in terms of the step that asked. */
static int user_result(struct urxe_mr *mr, struct urxe_ctx *ctx, int err,
		       bool in_place)
{
	if (err)
		err = urxe_ctx_fault(ctx, mr->umem->mm, err);
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
		ctx->want_mm = dst->umem->mm;
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

/* --- gather lists ------------------------------------------------------- */

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
	there = mr->type != URXE_MR_USER ||
		umem_at_hand(mr->umem, va - mr->iova, len, false);
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

/* --- ending the access -------------------------------------------------- */

/* The table's reference, and that of who wants to end it. */
#define IDLE_REFS	2

int urxe_mr_end_access(struct urxe_mr *mr)
{
	lockdep_assert_held(&mr->lock);
	/* Pairs with the barrier in get(). */
	smp_store_mb(mr->state, URXE_MR_ENDING);
	return kref_read(&mr->ref) > IDLE_REFS ? -EAGAIN : 0;
}

bool urxe_mr_wait(struct urxe_ctx *ctx)
{
	if (!ctx->may_sleep || READ_ONCE(ctx->runner->stopping)) {
		ctx->want_mm = NULL;
		return false;
	}
	urxe_ctx_leave_next(ctx);
	schedule_timeout_uninterruptible(1);
	return true;
}

/*
 * IBTA 10.6.5: a key that comes from a work request can go by one; not that of a
 * region, nor of a window of type 1.
 */
static bool may_invalidate(const struct urxe_mr *mr, const struct urxe_qp *qp,
			   u32 key, bool remote)
{
	if (mr->state == URXE_MR_INVALID || mr->key != key ||
	    mr->ibmr.pd != qp->ibqp.pd)
		return false;
	if (mr->window)
		return urxe_mw_may_end(mr->window, qp, remote);
	return mr->type == URXE_MR_FAST &&
	       (!remote || (mr->access & URXE_REMOTE_ACCESS));
}

static int invalidate(const struct urxe_qp *qp, u32 key, bool remote)
{
	struct urxe_mr *mr = urxe_mr_find(qp->dev, key);
	int err = -EINVAL;

	if (!mr)
		return err;
	spin_lock_bh(&mr->lock);
	if (may_invalidate(mr, qp, key, remote))
		err = urxe_mr_end_access(mr);
	if (!err) {
		mr->state = URXE_MR_INVALID;
		if (mr->window)
			urxe_mw_close(mr->window);
	}
	spin_unlock_bh(&mr->lock);
	urxe_mr_put(mr);
	return err;
}

int urxe_mr_invalidate(const struct urxe_qp *qp, u32 key, bool remote,
		       struct urxe_ctx *ctx)
{
	int err;

	do {
		err = invalidate(qp, key, remote);
	} while (err == -EAGAIN && urxe_mr_wait(ctx));
	return err;
}

/* --- making and ending -------------------------------------------------- */

struct urxe_mr *urxe_mr_alloc(struct ib_pd *ibpd, enum urxe_mr_type type,
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
	spin_lock_init(&mr->lock);
	return mr;
}

int urxe_mr_publish(struct urxe_mr *mr)
{
	struct urxe_dev *dev = mr->dev;
	u32 index;
	int err;

	err = xa_alloc_cyclic(&dev->mrs, &index, NULL,
			      XA_LIMIT(1, URXE_MAX_KEY_INDEX), &dev->mr_next,
			      GFP_KERNEL);
	if (err < 0)
		return err == -EBUSY ? -ENOMEM : err;
	mr->key = index << 8 | (get_random_u32() & 0xff);
	mr->ibmr.lkey = mr->key;
	mr->ibmr.rkey = mr->key;
	err = xa_err(xa_store(&dev->mrs, index, mr, GFP_KERNEL));
	if (err)
		xa_erase(&dev->mrs, index);
	return err;
}

void urxe_mr_withdraw(struct urxe_mr *mr)
{
	xa_erase(&mr->dev->mrs, KEY_INDEX(mr->key));
	urxe_advise_cancel(mr);
	urxe_mr_put(mr);
	/* Accesses under way end; those that wait for a page are made to. */
	while (!wait_for_completion_timeout(&mr->gone, HZ / 20))
		urxe_handles_break(mr);
}

void urxe_mr_free(struct urxe_mr *mr)
{
	kfree_rcu(mr, rcu);
}

static void region_free(struct urxe_mr *mr)
{
	umem_release(mr->umem);
	urxe_pages_free(mr->pages);
	urxe_pages_free(mr->next_pages);
	urxe_mr_free(mr);
}

struct ib_mr *urxe_mr_finish(struct urxe_mr *mr)
{
	int err = urxe_mr_publish(mr);

	if (err) {
		region_free(mr);
		return ERR_PTR(err);
	}
	return &mr->ibmr;
}

struct ib_mr *urxe_get_dma_mr(struct ib_pd *ibpd, int access)
{
	struct urxe_mr *mr = urxe_mr_alloc(ibpd, URXE_MR_DMA, access);

	if (!mr)
		return ERR_PTR(-ENOMEM);
	mr->state = URXE_MR_VALID;
	return urxe_mr_finish(mr);
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
	mr = urxe_mr_alloc(ibpd, URXE_MR_USER, access);
	if (!mr) {
		umem_release(umem);
		return ERR_PTR(-ENOMEM);
	}
	mr->umem = umem;
	mr->ibmr.iova = iova;
	mr->ibmr.length = length;
	urxe_mr_set_range(mr, iova, length);
	mr->state = URXE_MR_VALID;
	return urxe_mr_finish(mr);
}

/* The core asks again when a process ends, and windows go before regions then. */
static bool close_to_windows(struct urxe_mr *mr)
{
	int bound = atomic_cmpxchg(&mr->windows, 0, URXE_MR_CLOSED);

	return bound <= 0;
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
	struct ib_mr *new;

	if (mr->type != URXE_MR_USER || mr->umem->dmabuf)
		return ERR_PTR(-EOPNOTSUPP);
	/* A child of the owner's has other memory at the same address. */
	if (!(flags & IB_MR_REREG_TRANS) && mr->umem->mm != current->mm)
		return ERR_PTR(-EINVAL);
	if (!close_to_windows(mr))
		return ERR_PTR(-EBUSY);
	if (!(flags & IB_MR_REREG_TRANS)) {
		start = mr->umem->addr;
		length = mr->umem->length;
		iova = mr->iova;
	}
	if (!(flags & IB_MR_REREG_ACCESS))
		access = mr->access;
	if (!(flags & IB_MR_REREG_PD))
		pd = mr->ibmr.pd;
	new = urxe_reg_user_mr(pd, start, length, iova, access,
			       URXE_NO_DMAH udata);
	if (IS_ERR(new))
		atomic_set(&mr->windows, 0);
	return new;
}

int urxe_dereg_mr(struct ib_mr *ibmr, struct ib_udata *udata)
{
	struct urxe_mr *mr = to_umr(ibmr);

	if (!close_to_windows(mr))
		return -EBUSY;
	urxe_mr_withdraw(mr);
	region_free(mr);
	return 0;
}
