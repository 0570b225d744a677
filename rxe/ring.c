// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Rings shared with user space: their memory, and its way into a process.
 *
 * A mapping holds the pages, not the ring: vm_insert_page(), under
 * remap_vmalloc_range(), takes a reference on each. So the kernel may drop a ring
 * that is still mapped, also when the whole device goes, and the process keeps
 * what it had, unused by anyone else.
 */
#include <linux/log2.h>
#include <linux/vmalloc.h>

#include "ring.h"

int urxe_ring_alloc(struct urxe_ring *ring, u32 elems, u32 elem_size)
{
	/* One element stays free, or a full ring would look empty. */
	u32 slots = roundup_pow_of_two(elems + 1);

	ring->shift = order_base_2(elem_size);
	ring->mask = slots - 1;
	ring->index = 0;
	ring->entry = NULL;
	ring->size = PAGE_ALIGN(sizeof(*ring->buf) +
				((size_t)slots << ring->shift));
	ring->buf = vmalloc_user(ring->size);
	if (!ring->buf)
		return -ENOMEM;
	ring->buf->log2_elem_size = ring->shift;
	ring->buf->index_mask = ring->mask;
	return 0;
}

int urxe_ring_publish(struct urxe_ring *ring, struct ib_ucontext *uctx,
		      struct mminfo *mi)
{
	struct urxe_mmap_entry *entry = kzalloc(sizeof(*entry), GFP_KERNEL);
	int err;

	if (!entry)
		return -ENOMEM;
	entry->buf = ring->buf;
	err = rdma_user_mmap_entry_insert(uctx, &entry->rdma, ring->size);
	if (err) {
		kfree(entry);
		return err;
	}
	ring->entry = entry;
	mi->offset = rdma_user_mmap_get_offset(&entry->rdma);
	mi->size = ring->size;
	return 0;
}

void urxe_ring_free(struct urxe_ring *ring)
{
	if (ring->entry)
		rdma_user_mmap_entry_remove(&ring->entry->rdma);
	else
		vfree(ring->buf);
	ring->entry = NULL;
	ring->buf = NULL;
}

void urxe_ring_retire(struct urxe_ring *ring, spinlock_t *lock)
{
	struct urxe_ring gone;

	spin_lock_irq(lock);
	gone = *ring;
	ring->entry = NULL;
	ring->buf = NULL;
	spin_unlock_irq(lock);
	urxe_ring_free(&gone);
}

void urxe_ring_copy(const struct urxe_ring *to, const struct urxe_ring *from,
		    u32 first, u32 num)
{
	u32 i;

	for (i = 0; i < num; i++)
		memcpy(urxe_ring_elem(to, i), urxe_ring_elem(from, first + i),
		       (size_t)1 << to->shift);
}

int urxe_mmap(struct ib_ucontext *uctx, struct vm_area_struct *vma)
{
	struct rdma_user_mmap_entry *rdma = rdma_user_mmap_entry_get(uctx, vma);
	struct urxe_mmap_entry *entry;
	int err;

	if (!rdma)
		return -EINVAL;
	entry = container_of(rdma, struct urxe_mmap_entry, rdma);
	err = remap_vmalloc_range(vma, entry->buf, 0);
	rdma_user_mmap_entry_put(rdma);
	return err;
}

void urxe_mmap_free(struct rdma_user_mmap_entry *rdma)
{
	struct urxe_mmap_entry *entry =
		container_of(rdma, struct urxe_mmap_entry, rdma);

	vfree(entry->buf);
	kfree(entry);
}
