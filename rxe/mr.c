// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Memory regions.
 *
 * Lifetime: the link's table holds one reference, taken back by dereg; an access
 * holds one while it runs. dereg waits for the accesses, so the user's memory is
 * not touched after ibv_dereg_mr() has returned. Invalidating a key waits for
 * them as well (urxe_mr_end_access()).
 */
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "advise.h"
#include "handle.h"
#include "mr.h"
#include "mw.h"
#include "qp.h"
#include "table.h"

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
	mr = urxe_table_find(&dev->mrs, KEY_INDEX(key));
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
	mr = urxe_table_find(&dev->mrs, KEY_INDEX(key));
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
	urxe_ctx_want(ctx, NULL);
	if (!ctx->may_sleep || READ_ONCE(ctx->runner->stopping))
		return false;
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
