// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * QP numbers, and what is charged to them.
 */
#include <linux/delay.h>
#include <linux/skbuff.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "handle.h"
#include "ns.h"
#include "qp.h"
#include "table.h"

/*
 * By number, from our first on: it is as few levels deep as there are QPs for.
 */
static DEFINE_XARRAY_ALLOC(handles);
/* Guarded by the lock of @handles. */
static u32 next_index;

/* Of a number that is not one of ours: one where nothing is. */
static u32 index_of(u32 qpn)
{
	return qpn - URXE_MIN_QPN;
}

/* Handles alive: the module's code is needed until there is none. */
static atomic_t alive;
static DECLARE_WAIT_QUEUE_HEAD(none_alive);

void urxe_handles_exit(void)
{
	wait_event(none_alive, !atomic_read(&alive));
	rcu_barrier();
	xa_destroy(&handles);
}

static int enter(struct urxe_handle *handle)
{
	u32 index;
	int err;

	/* Who finds it knows the number already. */
	err = xa_alloc_cyclic(&handles, &index, handle,
			      XA_LIMIT(0, index_of(URXE_MAX_QPN)), &next_index,
			      GFP_KERNEL);
	if (err < 0)
		return -ENOMEM;
	handle->qpn = URXE_MIN_QPN + index;
	return 0;
}

static int enter_gsi(struct urxe_handle *handle, struct urxe_dev *dev)
{
	if (rcu_access_pointer(dev->gsi))
		return -EBUSY;
	handle->qpn = URXE_GSI_QPN;
	rcu_assign_pointer(dev->gsi, handle);
	return 0;
}

struct urxe_handle *urxe_handle_create(struct urxe_qp *qp, bool gsi)
{
	struct urxe_handle *handle = kzalloc(sizeof(*handle), GFP_KERNEL);
	int err;

	if (!handle)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&handle->lock);
	kref_init(&handle->ref);
	handle->qp = qp;
	err = gsi ? enter_gsi(handle, qp->dev) : enter(handle);
	if (err) {
		kfree(handle);
		return ERR_PTR(err);
	}
	atomic_inc(&alive);
	return handle;
}

static void release(struct kref *ref)
{
	struct urxe_handle *handle = container_of(ref, struct urxe_handle, ref);

	kfree_rcu(handle, rcu);
	if (atomic_dec_and_test(&alive))
		wake_up_all(&none_alive);
}

void urxe_handle_cut(struct urxe_handle *handle)
{
	unsigned long flags;

	if (handle->qpn == URXE_GSI_QPN)
		RCU_INIT_POINTER(handle->qp->dev->gsi, NULL);
	else
		xa_erase(&handles, index_of(handle->qpn));
	spin_lock_irqsave(&handle->lock, flags);
	handle->qp = NULL;
	spin_unlock_irqrestore(&handle->lock, flags);
}

void urxe_handle_put(struct urxe_handle *handle)
{
	kref_put(&handle->ref, release);
}

struct urxe_qp *urxe_handle_qp(struct urxe_handle *handle)
{
	unsigned long flags;
	struct urxe_qp *qp;

	spin_lock_irqsave(&handle->lock, flags);
	qp = handle->qp;
	if (qp)
		refcount_inc(&qp->ref);
	spin_unlock_irqrestore(&handle->lock, flags);
	return qp;
}

struct urxe_qp *urxe_qp_get(struct net *net, u32 qpn)
{
	struct urxe_handle *handle;
	struct urxe_qp *qp = NULL;

	rcu_read_lock();
	handle = urxe_table_find(&handles, index_of(qpn));
	if (handle)
		qp = urxe_handle_qp(handle);
	rcu_read_unlock();
	if (qp && qp->dev->ns->net != net) {
		urxe_qp_put(qp);
		qp = NULL;
	}
	return qp;
}

void urxe_handles_break(const struct urxe_mr *mr)
{
	struct urxe_handle *handle;
	struct urxe_qp *qp;
	unsigned long i;

	rcu_read_lock();
	xa_for_each(&handles, i, handle) {
		qp = urxe_handle_qp(handle);
		if (!qp)
			continue;
		urxe_runner_break(&qp->sq_runner, mr);
		urxe_runner_break(&qp->rq_runner, mr);
		urxe_qp_put(qp);
	}
	rcu_read_unlock();
}

struct urxe_qp *urxe_qp_get_gsi(struct urxe_dev *dev)
{
	struct urxe_handle *handle;
	struct urxe_qp *qp = NULL;

	rcu_read_lock();
	handle = rcu_dereference(dev->gsi);
	if (handle)
		qp = urxe_handle_qp(handle);
	rcu_read_unlock();
	return qp;
}

/*
 * An skb has one word for us: the handle, and in its lowest bit the side. The bytes
 * charged are kept in @tskey, which only time stamps use, and we ask for none: @truesize
 * is the stack's to change where there is no socket.
 */
#define SIDE_BIT	1UL

struct urxe_handle *urxe_handle_of(const struct sk_buff *skb)
{
	unsigned long word = (unsigned long)skb_shinfo(skb)->destructor_arg;

	return (struct urxe_handle *)(word & ~SIDE_BIT);
}

static enum urxe_side side_of(const struct sk_buff *skb)
{
	return (unsigned long)skb_shinfo(skb)->destructor_arg & SIDE_BIT;
}

/* Not here and now: the stack may hold a queue's lock. */
static void wake(struct urxe_handle *handle, enum urxe_side side)
{
	struct urxe_qp *qp = urxe_handle_qp(handle);

	if (!qp)
		return;
	urxe_runner_defer(side == URXE_SIDE_SQ ? &qp->sq_runner :
						 &qp->rq_runner);
	urxe_qp_put(qp);
}

static void uncharge(struct sk_buff *skb)
{
	struct urxe_handle *handle = urxe_handle_of(skb);
	enum urxe_side side = side_of(skb);

	atomic_sub(skb_shinfo(skb)->tskey, &handle->tx_bytes[side]);
	/* Pairs with the barrier in urxe_handle_full(). */
	smp_mb__after_atomic();
	if (READ_ONCE(handle->tx_wait[side]) &&
	    atomic_read(&handle->tx_bytes[side]) < URXE_TX_LIMIT / 2) {
		WRITE_ONCE(handle->tx_wait[side], false);
		wake(handle, side);
	}
	kref_put(&handle->ref, release);
}

void urxe_handle_charge(struct urxe_handle *handle, enum urxe_side side,
			struct sk_buff *skb)
{
	kref_get(&handle->ref);
	atomic_add(skb->truesize, &handle->tx_bytes[side]);
	skb_shinfo(skb)->tskey = skb->truesize;
	skb_shinfo(skb)->destructor_arg =
		(void *)((unsigned long)handle | (side ? SIDE_BIT : 0));
	skb->destructor = uncharge;
}

bool urxe_handle_full(struct urxe_handle *handle, enum urxe_side side)
{
	if (likely(atomic_read(&handle->tx_bytes[side]) < URXE_TX_LIMIT))
		return false;
	WRITE_ONCE(handle->tx_wait[side], true);
	/* Either we see the bytes gone, or uncharge() sees us wait. */
	smp_mb();
	return atomic_read(&handle->tx_bytes[side]) >= URXE_TX_LIMIT;
}

/* Looks at what has been sent, and the time before each. */
#define SETTLE_LOOKS	1000
#define SETTLE_US	100

/* What is uncharged is about to be received: that takes a moment, too. */
void urxe_handle_settle(struct urxe_handle *handle, enum urxe_side side)
{
	int looks = SETTLE_LOOKS;

	do {
		usleep_range(SETTLE_US, 2 * SETTLE_US);
	} while (atomic_read(&handle->tx_bytes[side]) && --looks);
}
