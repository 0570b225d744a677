// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Pinned memory: every page held long term, merged into a scatter table, mapped
 * for a device that does DMA, charged to the owner.
 */
#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/export.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "compat.h"
#include "private.h"

/* Pages pinned, or let go, between two looks at signals and the scheduler. */
#define BATCH	512UL

/**
 * struct umem_pinned - what a pinned range holds
 * @pages: every page of the range, in order
 * @npages: number of @pages
 * @sgt: the same pages, contiguous ones merged
 * @dma_dev: device @sgt is mapped for, or NULL
 * @dma_attrs: DMA_ATTR_* of that mapping
 * @dma_dir: direction of that mapping
 */
struct umem_pinned {
	struct page		**pages;
	unsigned long		npages;
	struct sg_table		sgt;
	struct device		*dma_dev;
	unsigned long		dma_attrs;
	enum dma_data_direction	dma_dir;
};

/* RLIMIT_MEMLOCK counts what the mm has pinned, not what this call adds. */
static int charge(struct mm_struct *mm, unsigned long npages)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	u64 now = atomic64_add_return(npages, &mm->pinned_vm);

	if (now <= limit || capable(CAP_IPC_LOCK))
		return 0;
	atomic64_sub(npages, &mm->pinned_vm);
	return -ENOMEM;
}

static void uncharge(struct mm_struct *mm, unsigned long npages)
{
	atomic64_sub(npages, &mm->pinned_vm);
}

static void unpin_pages(struct page **pages, unsigned long npages, bool dirty)
{
	unsigned long n;

	for (; npages; pages += n, npages -= n) {
		n = min(npages, BATCH);
		unpin_user_pages_dirty_lock(pages, n, dirty);
		cond_resched();
	}
}

/* Pin all of @p's pages, or none. */
static int pin_pages(struct umem_pinned *p, unsigned long start, bool writable)
{
	unsigned long done = 0;
	int n;

	while (done < p->npages) {
		n = fatal_signal_pending(current) ? -EINTR :
		    compat_pin_longterm(start + done * PAGE_SIZE,
					min(p->npages - done, BATCH), writable,
					p->pages + done);
		if (n <= 0) {
			unpin_pages(p->pages, done, false);
			/* The kernel's word for a signal while it waits for mmap_lock. */
			return n == -EAGAIN ? -EINTR : n ?: -EFAULT;
		}
		done += n;
		cond_resched();
	}
	return 0;
}

static int make_table(struct umem_pinned *p, const struct umem *umem)
{
	unsigned int max = p->dma_dev ? dma_get_max_seg_size(p->dma_dev) :
					UINT_MAX;

	if (max < PAGE_SIZE)
		return -EINVAL;
	return sg_alloc_table_from_pages_segment(&p->sgt, p->pages, p->npages,
						 offset_in_page(umem->addr),
						 umem->length, max,
						 GFP_KERNEL_ACCOUNT);
}

static int map_table(struct umem_pinned *p)
{
	if (!p->dma_dev)
		return 0;
	return dma_map_sgtable(p->dma_dev, &p->sgt, p->dma_dir, p->dma_attrs);
}

static void unmap_table(struct umem_pinned *p)
{
	if (p->dma_dev)
		dma_unmap_sgtable(p->dma_dev, &p->sgt, p->dma_dir,
				  p->dma_attrs);
}

/* The steps that take memory and pages; the charge is the caller's. */
static int fill(struct umem_pinned *p, const struct umem *umem)
{
	int err;

	p->pages = kvmalloc_array(p->npages, sizeof(*p->pages),
				  GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!p->pages)
		return -ENOMEM;
	err = pin_pages(p, umem->addr & PAGE_MASK, umem->writable);
	if (err)
		goto free_pages;
	err = make_table(p, umem);
	if (err)
		goto unpin;
	err = map_table(p);
	if (err)
		goto free_table;
	return 0;

free_table:
	sg_free_table(&p->sgt);
unpin:
	unpin_pages(p->pages, p->npages, false);
free_pages:
	kvfree(p->pages);
	return err;
}

static unsigned long count_pages(const struct umem *umem)
{
	unsigned long first = umem->addr >> PAGE_SHIFT;
	unsigned long last = (umem->addr + umem->length - 1) >> PAGE_SHIFT;

	return last - first + 1;
}

/* Pin all of @umem's range and set @umem->pinned, or leave no trace. */
int umem_pin(struct umem *umem, struct device *dma_dev, unsigned long dma_attrs)
{
	struct umem_pinned *p;
	int err;

	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	p->npages = count_pages(umem);
	p->dma_dev = dma_dev;
	p->dma_attrs = dma_attrs;
	p->dma_dir = umem->writable ? DMA_BIDIRECTIONAL : DMA_TO_DEVICE;

	err = charge(umem->mm, p->npages);
	if (err)
		goto free;
	err = fill(p, umem);
	if (err)
		goto uncharge;
	umem->pinned = p;
	return 0;

uncharge:
	uncharge(umem->mm, p->npages);
free:
	kfree(p);
	return err;
}

void umem_unpin(struct umem *umem)
{
	struct umem_pinned *p = umem->pinned;

	unmap_table(p);
	sg_free_table(&p->sgt);
	unpin_pages(p->pages, p->npages, umem->writable);
	kvfree(p->pages);
	uncharge(umem->mm, p->npages);
	kfree(p);
}

struct page *umem_pinned_page(const struct umem *umem, size_t off)
{
	return umem->pinned->pages[(offset_in_page(umem->addr) + off) >>
				   PAGE_SHIFT];
}

void umem_pinned_copy(const struct umem *umem, size_t off, void *buf,
		      size_t len, enum umem_dir dir)
{
	size_t at, n;

	for (; len; off += n, buf += n, len -= n) {
		at = offset_in_page(umem->addr + off);
		n = min_t(size_t, len, PAGE_SIZE - at);
		if (dir == TO_USER)
			memcpy_to_page(umem_pinned_page(umem, off), at, buf, n);
		else
			memcpy_from_page(buf, umem_pinned_page(umem, off), at,
					 n);
	}
}

struct sg_table *umem_sg_table(const struct umem *umem)
{
	return umem->pinned ? &umem->pinned->sgt : NULL;
}
EXPORT_SYMBOL_GPL(umem_sg_table);

unsigned long umem_pinned_pages(const struct umem *umem)
{
	return umem->pinned ? umem->pinned->npages : 0;
}
EXPORT_SYMBOL_GPL(umem_pinned_pages);
