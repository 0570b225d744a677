// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Memory windows.
 *
 * A window that is bound is an entry in the table of regions that borrows the
 * region's memory: an access through it is an access to a region, and knows
 * nothing of windows. The region can't go while it has any.
 */
#include "handle.h"
#include "mw.h"
#include "qp.h"

/* What may be asked of a window; only the peer's rights mean anything. */
#define MW_ACCESS	(URXE_REMOTE_ACCESS | IB_ACCESS_LOCAL_WRITE | IB_ZERO_BASED)

bool urxe_mw_opens_to(const struct urxe_mw *mw, const struct urxe_qp *qp)
{
	return mw->ibmw.type == IB_MW_TYPE_1 || mw->handle == qp->handle;
}

/* IBTA o10-37.2.26: type 1 ends by being bound to something else, or to nothing. */
bool urxe_mw_may_end(const struct urxe_mw *mw, const struct urxe_qp *qp,
		     bool remote)
{
	return mw->ibmw.type == IB_MW_TYPE_2 &&
	       (!remote || mw->handle == qp->handle);
}

void urxe_mw_close(struct urxe_mw *mw)
{
	if (mw->region)
		atomic_dec(&mw->region->windows);
	if (mw->handle)
		urxe_handle_put(mw->handle);
	mw->region = NULL;
	mw->handle = NULL;
}

int urxe_alloc_mw(struct ib_mw *ibmw, struct ib_udata *udata)
{
	struct urxe_mw *mw = to_umw(ibmw);
	int err;

	if (ibmw->type != IB_MW_TYPE_1 && ibmw->type != IB_MW_TYPE_2)
		return -EINVAL;
	mw->mr = urxe_mr_alloc(ibmw->pd, URXE_MR_USER, 0);
	if (!mw->mr)
		return -ENOMEM;
	mw->mr->window = mw;
	err = urxe_mr_publish(mw->mr);
	if (err) {
		urxe_mr_free(mw->mr);
		return err;
	}
	ibmw->rkey = mw->mr->key;
	return 0;
}

int urxe_dealloc_mw(struct ib_mw *ibmw)
{
	struct urxe_mw *mw = to_umw(ibmw);

	urxe_mr_withdraw(mw->mr);
	spin_lock_bh(&mw->mr->lock);
	urxe_mw_close(mw);
	spin_unlock_bh(&mw->mr->lock);
	urxe_mr_free(mw->mr);
	return 0;
}

/* --- binding ------------------------------------------------------------ */

/* What the region must allow (IBTA C10-73, C10-74). */
static int region_access(int access)
{
	if (access & (IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_ATOMIC))
		return IB_ACCESS_MW_BIND | IB_ACCESS_LOCAL_WRITE;
	return IB_ACCESS_MW_BIND;
}

static struct urxe_mr *get_region(const struct urxe_qp *qp,
				  const struct urxe_wqe *wqe)
{
	struct urxe_mr *region;

	region = urxe_mr_get(qp->ibqp.pd, wqe->lkey, region_access(wqe->access),
			     wqe->remote, wqe->span);
	if (region && region->type != URXE_MR_USER) {
		urxe_mr_put(region);
		return NULL;
	}
	return region;
}

/* IBTA 10.6.7.2; of type 2 o10-37.2.30 and o10-37.2.40. */
static bool may_bind(const struct urxe_mr *mr, const struct urxe_qp *qp,
		     const struct urxe_wqe *wqe)
{
	if (!mr->window || mr->ibmr.pd != qp->ibqp.pd ||
	    KEY_INDEX(wqe->key) != KEY_INDEX(mr->key) ||
	    (wqe->access & ~MW_ACCESS))
		return false;
	if (mr->window->ibmw.type == IB_MW_TYPE_1)
		return !(wqe->access & IB_ZERO_BASED);
	return mr->state != URXE_MR_VALID && wqe->span;
}

/* So that the address @first is the byte at @wqe->remote of the region. */
static void set_range(struct urxe_mr *mr, const struct urxe_mr *region,
		      const struct urxe_wqe *wqe)
{
	mr->first = wqe->access & IB_ZERO_BASED ? 0 : wqe->remote;
	mr->length = wqe->span;
	mr->iova = region->iova - wqe->remote + mr->first;
	mr->umem = region->umem;
}

static void open_window(struct urxe_mr *mr, struct urxe_mr *region,
			const struct urxe_qp *qp, const struct urxe_wqe *wqe)
{
	struct urxe_mw *mw = mr->window;

	mw->region = region;
	if (mw->ibmw.type == IB_MW_TYPE_2)
		mw->handle = urxe_handle_get(qp->handle);
	set_range(mr, region, wqe);
	mr->access = wqe->access & URXE_REMOTE_ACCESS;
	/* Whoever sees it valid sees what it is. */
	smp_store_release(&mr->state, URXE_MR_VALID);
}

/* @region is NULL for a window that is to be of no use. */
static int rebind(struct urxe_mr *mr, struct urxe_mr *region,
		  const struct urxe_qp *qp, const struct urxe_wqe *wqe)
{
	int err;

	lockdep_assert_held(&mr->lock);
	if (!may_bind(mr, qp, wqe))
		return -EINVAL;
	err = urxe_mr_end_access(mr);
	if (err)
		return err;
	urxe_mw_close(mr->window);
	mr->state = URXE_MR_INVALID;
	mr->key = wqe->key;
	if (!region)
		return 0;
	if (!atomic_inc_unless_negative(&region->windows))
		return -EINVAL;
	open_window(mr, region, qp, wqe);
	return 0;
}

static int bind(const struct urxe_qp *qp, const struct urxe_wqe *wqe)
{
	struct urxe_mr *mr, *region = NULL;
	int err = -EINVAL;

	if (wqe->span) {
		region = get_region(qp, wqe);
		if (!region)
			return err;
	}
	mr = urxe_mr_find(qp->dev, wqe->rkey);
	if (mr) {
		spin_lock_bh(&mr->lock);
		err = rebind(mr, region, qp, wqe);
		spin_unlock_bh(&mr->lock);
		urxe_mr_put(mr);
	}
	if (region)
		urxe_mr_put(region);
	return err;
}

int urxe_mw_bind(const struct urxe_qp *qp, const struct urxe_wqe *wqe,
		 struct urxe_ctx *ctx)
{
	int err;

	do {
		err = bind(qp, wqe);
	} while (err == -EAGAIN && urxe_mr_wait(ctx));
	return err;
}
