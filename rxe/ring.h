/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Rings shared with user space (struct rxe_queue_buf of the uapi).
 *
 * A ring is hostile: user space can write every byte of it at any time. So
 * everything the kernel relies on (element size, mask, its own index) is kept
 * in struct urxe_ring, the index that the user owns is read once per use and
 * masked, and an element is copied out before it is looked at.
 *
 * Barriers: an index that the other side owns is read with acquire before the
 * elements it covers; our own is written with release after we are done with
 * them. User space does the same on its side.
 */
#ifndef URXE_RING_H
#define URXE_RING_H

#include "urxe.h"

/**
 * struct urxe_ring - the kernel's private knowledge of one shared ring
 * @buf: the memory both see; from vmalloc_user()
 * @size: bytes of @buf, a multiple of PAGE_SIZE
 * @mask: number of elements - 1; the ring holds @mask elements at most
 * @shift: log2 of the element size
 * @index: the index that we own: next element to consume (work rings) or to
 *	   produce (completion rings); always masked
 * @entry: for the user's mmap; NULL for a kernel ring
 */
struct urxe_ring {
	struct rxe_queue_buf	*buf;
	size_t			size;
	u32			mask;
	u32			shift;
	u32			index;
	struct urxe_mmap_entry	*entry;
};

/**
 * struct urxe_mmap_entry - one ring that a user may map
 * @rdma: the core's part; its reference count keeps the entry
 * @buf: what is mapped; freed with the entry
 */
struct urxe_mmap_entry {
	struct rdma_user_mmap_entry	rdma;
	void				*buf;
};

/**
 * urxe_ring_alloc - make a ring for at least @elems elements
 * @ring: the ring
 * @elems: elements it must hold at once; rounded up
 * @elem_size: bytes of one, rounded up to a power of two
 * Return: 0 or -ENOMEM. May sleep.
 */
int urxe_ring_alloc(struct urxe_ring *ring, u32 elems, u32 elem_size);

/**
 * urxe_ring_publish - let the user map the ring
 * @ring: the ring
 * @uctx: whose
 * @mi: filled in for the user: offset and size to give to mmap()
 * Return: 0 or -errno. The memory belongs to the mmap entry from then on.
 */
int urxe_ring_publish(struct urxe_ring *ring, struct ib_ucontext *uctx,
		      struct mminfo *mi);

/* Free it. A user who has it mapped keeps the pages. */
void urxe_ring_free(struct urxe_ring *ring);

/**
 * urxe_ring_retire - likewise, while others may look at it under a lock
 * @ring: the ring
 * @lock: theirs. From then on they find no @ring->buf. May sleep
 */
void urxe_ring_retire(struct urxe_ring *ring, spinlock_t *lock);

static inline void *urxe_ring_elem(const struct urxe_ring *ring, u32 index)
{
	return ring->buf->data + ((size_t)(index & ring->mask) << ring->shift);
}

/**
 * urxe_ring_copy - copy elements to the beginning of another ring
 * @to: with elements of the same size; no index of it is changed
 * @first: index in @from
 * @num: elements
 *
 * They are copied unread, whatever the user has put there.
 */
void urxe_ring_copy(const struct urxe_ring *to, const struct urxe_ring *from,
		    u32 first, u32 num);

/* Work rings: the user produces, we consume. */

/* Elements waiting for us: 0 ... mask, whatever the user wrote. */
static inline u32 urxe_ring_pending(const struct urxe_ring *ring)
{
	/* See "Barriers" above, here and below. */
	u32 producer = smp_load_acquire(&ring->buf->producer_index);

	return (producer - ring->index) & ring->mask;
}

/* Tell the user that the elements before @index are free again. */
static inline void urxe_ring_release(const struct urxe_ring *ring, u32 index)
{
	/* We are done with them before this. */
	smp_store_release(&ring->buf->consumer_index, index & ring->mask);
}

/* Skip @num of those that wait. */
static inline void urxe_ring_discard(struct urxe_ring *ring, u32 num)
{
	ring->index = (ring->index + num) & ring->mask;
	urxe_ring_release(ring, ring->index);
}

/* Completion rings: we produce, the user (or a kernel poller) consumes. */

static inline u32 urxe_ring_unread(const struct urxe_ring *ring)
{
	/* What the consumer has freed may be written only after this. */
	u32 consumer = smp_load_acquire(&ring->buf->consumer_index);

	return (ring->index - consumer) & ring->mask;
}

static inline bool urxe_ring_full(const struct urxe_ring *ring)
{
	return urxe_ring_unread(ring) == ring->mask;
}

static inline void urxe_ring_produce(struct urxe_ring *ring)
{
	ring->index = (ring->index + 1) & ring->mask;
	/* The element is there before the index says so. */
	smp_store_release(&ring->buf->producer_index, ring->index);
}

/* The core's mmap and mmap_free operations. */
int urxe_mmap(struct ib_ucontext *uctx, struct vm_area_struct *vma);
void urxe_mmap_free(struct rdma_user_mmap_entry *entry);

#endif /* URXE_RING_H */
