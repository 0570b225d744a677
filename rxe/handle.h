/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * What outlives a QP: packets on the wire name a QP by number, and skbs that
 * wait in somebody's queue are charged to one, and memory windows are open to one.
 * They hold a handle; destroying the QP cuts its tie to the handle and waits for
 * none of them.
 */
#ifndef URXE_HANDLE_H
#define URXE_HANDLE_H

#include <linux/kref.h>
#include <linux/spinlock.h>

struct net;
struct sk_buff;
struct urxe_dev;
struct urxe_mr;
struct urxe_qp;

/* Of a QP; also what an skb that it sends belongs to: requests, or responses. */
enum urxe_side {
	URXE_SIDE_SQ,
	URXE_SIDE_RQ,
	URXE_SIDES,
};

/**
 * struct urxe_handle - a QP number's entry in the table of all
 * @qpn: the number, unique in all links and namespaces but for QP 1, which each
 *	 link has
 * @lock: guards @qp
 * @qp: NULL once the QP is on its way out
 * @ref: the QP's, and one for each skb under way and each window bound
 * @rcu: found by number under RCU
 * @tx_bytes: bytes that each side gave to our own network stack and that it still has.
 *	      On one host this may be the peer's queue, where requests can wait for
 *	      their turn behind a READ: its responses must not wait for them
 * @tx_wait: the side waits for its @tx_bytes to fall
 */
struct urxe_handle {
	u32		qpn;
	spinlock_t	lock;
	struct urxe_qp	*qp;
	struct kref	ref;
	struct rcu_head	rcu;
	atomic_t	tx_bytes[URXE_SIDES];
	bool		tx_wait[URXE_SIDES];
};

/* Waits until the last skb that names a handle has been freed. May sleep. */
void urxe_handles_exit(void);

/**
 * urxe_handle_create - make a QP known by number
 * @qp: who will be found by it
 * @gsi: by number 1 of its link, else by one of its own
 * Return: the handle; ERR_PTR(-ENOMEM), or -EBUSY for a second QP 1. May sleep.
 */
struct urxe_handle *urxe_handle_create(struct urxe_qp *qp, bool gsi);

/*
 * From the return on, no packet and no skb leads to the QP any more. The QP may
 * still send until it gives its reference back.
 */
void urxe_handle_cut(struct urxe_handle *handle);
void urxe_handle_put(struct urxe_handle *handle);

static inline struct urxe_handle *urxe_handle_get(struct urxe_handle *handle)
{
	kref_get(&handle->ref);
	return handle;
}

/**
 * urxe_qp_get - the QP that a packet names
 * @net: the namespace where the packet arrived
 * @qpn: the number, as the packet has it
 * Return: to be given to urxe_qp_put(), or NULL. Any context.
 */
struct urxe_qp *urxe_qp_get(struct net *net, u32 qpn);

/* QP 1 of a link, likewise. */
struct urxe_qp *urxe_qp_get_gsi(struct urxe_dev *dev);

/*
 * The QP of a handle that is held, or found under RCU, to be given to urxe_qp_put(),
 * or NULL when it is on its way out. Any context.
 */
struct urxe_qp *urxe_handle_qp(struct urxe_handle *handle);

/**
 * urxe_handles_break - have no QP wait for pages of a region any more
 * @mr: the region, which nobody finds any more
 * Looks at every QP: not for the data path. Any context.
 */
void urxe_handles_break(const struct urxe_mr *mr);

/**
 * urxe_handle_charge - charge @skb to the QP's handle until it is freed
 * @handle: the QP's
 * @side: which side sends it
 * Context: any; @skb has no owner yet.
 */
void urxe_handle_charge(struct urxe_handle *handle, enum urxe_side side,
			struct sk_buff *skb);

/* Whom an skb is charged to. */
struct urxe_handle *urxe_handle_of(const struct sk_buff *skb);

/* Bytes that each side of a QP may have waiting in our own network stack. */
#define URXE_TX_LIMIT	(1 << 20)

/**
 * urxe_handle_full - has the stack got enough of this side?
 * @handle: the QP's
 * @side: which side wants to send
 * Return: true when it has; then the side's runner is kicked once it is no longer so.
 * Any context.
 */
bool urxe_handle_full(struct urxe_handle *handle, enum urxe_side side);

/**
 * urxe_handle_settle - let what has been sent get out of our own network stack
 * @handle: the QP's
 * @side: which side has sent it
 * Waits for a fraction of a second at most: a device may keep packets for longer, but
 * does not have them overtaken. May sleep.
 */
void urxe_handle_settle(struct urxe_handle *handle, enum urxe_side side);

#endif /* URXE_HANDLE_H */
