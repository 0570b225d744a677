/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Send work requests, as private copies that no one else can write: made once of
 * what user space or a kernel consumer posted, checked, and then all there is.
 */
#ifndef URXE_WQE_H
#define URXE_WQE_H

#include "ah.h"
#include "hdr.h"
#include "ring.h"

enum urxe_wqe_kind {
	WQE_SEND,
	WQE_WRITE,
	WQE_READ,
	WQE_ATOMIC,
	WQE_ATOMIC_WRITE,
	WQE_FLUSH,
	WQE_LOCAL,		/* nothing goes on the wire */
};

/**
 * struct urxe_wqe - a send work request
 * @wr_id: the consumer's
 * @opcode: enum ib_wr_opcode
 * @kind: what the requester makes of it
 * @flags: enum ib_send_flags
 * @status: not IB_WC_SUCCESS: what it ends with, when its turn comes
 * @started: has its PSNs
 * @done: all responses are there
 * @imm: immediate data, the rkey to invalidate, or how to flush, as it goes on
 *	 the wire
 * @length: bytes
 * @remote: remote address (RDMA, atomic, flush), or the region's to be
 * @compare_add: atomic operand
 * @swap: atomic operand
 * @mr: region of a fast registration
 * @rkey: remote key (RDMA, atomic, flush)
 * @key: new key, or the key to invalidate
 * @access: of a fast registration, or a window
 * @lkey: bind: key of the region; the window's is @rkey, its address @remote
 * @span: bind, flush: bytes, of which none are moved
 * @dest: where a datagram goes
 * @first_psn: of its packets, or of the responses to it
 * @packets: PSNs it takes; 0 for WQE_LOCAL
 * @num_sge: entries of @sge, 0 when inline
 * @is_inline: the payload stands in @data
 */
struct urxe_wqe {
	u64			wr_id;
	u32			opcode;
	enum urxe_wqe_kind	kind;
	u32			flags;
	enum ib_wc_status	status;
	bool			started;
	bool			done;
	bool			is_inline;
	u8			num_sge;
	__be32			imm;
	u32			length;
	u32			first_psn;
	u32			packets;
	union {
		struct {
			u64		remote;
			u64		compare_add;
			u64		swap;
			struct ib_mr	*mr;
			u32		rkey;
			u32		key;
			u32		access;
			u32		lkey;
			u64		span;
		};
		struct urxe_dest	dest;
	};
	union {
		DECLARE_FLEX_ARRAY(struct rxe_sge, sge);
		DECLARE_FLEX_ARRAY(u8, data);
	};
};

/* How to flush: as the FETH says it. */
static inline __be32 urxe_feth_bits(u8 level, u8 type)
{
	return cpu_to_be32((u32)level << FETH_LEVEL_SHIFT | type);
}

/* The rights it takes. */
static inline int urxe_feth_access(__be32 bits)
{
	u32 type = be32_to_cpu(bits) & FETH_TYPE_MASK;

	return (type & IB_FLUSH_GLOBAL ? IB_ACCESS_FLUSH_GLOBAL : 0) |
	       (type & IB_FLUSH_PERSISTENT ? IB_ACCESS_FLUSH_PERSISTENT : 0);
}

/* A level and a type that there are, and nothing else. */
static inline bool urxe_feth_ok(__be32 bits)
{
	u32 type = be32_to_cpu(bits) & FETH_TYPE_MASK;
	u32 rest = be32_to_cpu(bits) & ~FETH_TYPE_MASK;

	return type && !(type & ~(IB_FLUSH_GLOBAL | IB_FLUSH_PERSISTENT)) &&
	       (rest == IB_FLUSH_RANGE << FETH_LEVEL_SHIFT ||
		rest == IB_FLUSH_MR << FETH_LEVEL_SHIFT);
}

/* Does its completion wait for more than an acknowledgment? */
static inline bool wqe_has_response(const struct urxe_wqe *wqe)
{
	return wqe->kind == WQE_READ || wqe->kind == WQE_ATOMIC ||
	       wqe->kind == WQE_ATOMIC_WRITE || wqe->kind == WQE_FLUSH;
}

/**
 * struct urxe_sq - a send queue
 * @lock: guards @head against kernel consumers posting at once
 * @ring: the user's; @ring.buf is NULL in a kernel QP
 * @slots: private WQEs, @mask + 1 of @stride bytes each
 * @mask: number of slots - 1; at most @mask are used
 * @stride: bytes of a slot
 * @max_sge: scatter/gather entries a WQE may have
 * @max_inline: bytes of inline data a WQE may have
 * @head: next slot to fill: by post_send in a kernel QP, by the requester in a
 *	  user QP
 * @next: next slot to put on the wire; the SQ side's token guards it
 * @una: oldest slot not completed; likewise, but read by post_send
 *
 * Indices run free; mask them to get a slot.
 */
struct urxe_sq {
	spinlock_t		lock;
	struct urxe_ring	ring;
	void			*slots;
	u32			mask;
	u32			stride;
	u32			max_sge;
	u32			max_inline;
	u32			head;
	u32			next;
	u32			una;
};

static inline struct urxe_wqe *sq_slot(const struct urxe_sq *sq, u32 index)
{
	return sq->slots + (size_t)(index & sq->mask) * sq->stride;
}

/**
 * urxe_sq_init - make a send queue
 * @sq: zeroed
 * @cap: what is asked for; changed to what is given
 * @is_user: with a ring to share, also for nothing (max_send_wr 0): the stock
 *	     user library maps it
 * Return: 0 or -ENOMEM. May sleep.
 */
int urxe_sq_init(struct urxe_sq *sq, struct ib_qp_cap *cap, bool is_user);
void urxe_sq_exit(struct urxe_sq *sq);

/**
 * urxe_sq_fetch - copy what the user has posted into slots
 * @sq: a user QP's
 * @pd: the QP's, which a datagram's address handle has to be in
 * @service: OP_RC, OP_UC or OP_UD: which opcodes are right
 * Return: 0; -EIO when the ring's index can't be true: the QP is beyond repair.
 * Context: any, with the SQ side's token.
 */
int urxe_sq_fetch(struct urxe_sq *sq, struct ib_pd *pd, u32 service);

/**
 * urxe_sq_push - copy a kernel consumer's work request into a slot
 * @sq: the queue
 * @wr: the work request
 * @service: OP_RC, OP_UC or OP_UD: which opcodes are right
 * Return: 0, -ENOMEM when full, -EINVAL when it can't be done.
 * Context: any; takes @sq->lock.
 */
int urxe_sq_push(struct urxe_sq *sq, const struct ib_send_wr *wr, u32 service);

/* Forget all that is posted and not completed. SQ side's token held. */
void urxe_sq_reset(struct urxe_sq *sq);

/* The oldest WQE is completed: its slot, and the user's, are free again. */
void urxe_sq_retire(struct urxe_sq *sq);

#endif /* URXE_WQE_H */
