// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The object: how a range of user memory is opened, checked and closed.
 */
#include <linux/err.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "private.h"

/* All of an address space ends where its addresses do: a tag is no part of one. */
bool umem_covers(const struct umem *umem, size_t off, size_t len)
{
	const size_t length = min_t(size_t, umem->length, TASK_SIZE_MAX);

	return len <= length && off <= length - len;
}

/* The copy functions of the kernel take no more than INT_MAX bytes at once. */
int umem_check(const struct umem *umem, size_t off, size_t len,
	       enum umem_dir dir)
{
	if (!umem_covers(umem, off, len) || len > INT_MAX)
		return -EFAULT;
	if (dir == TO_USER && !umem->writable)
		return -EFAULT;
	return 0;
}

/* @mm: the owner, or NULL when nobody's addresses are meant */
static struct umem *create(struct mm_struct *mm, unsigned long addr,
			   size_t length, unsigned int flags)
{
	struct umem *umem;
	unsigned long end;

	if (!length || flags & ~UMEM_WRITE ||
	    check_add_overflow(addr, length, &end))
		return ERR_PTR(-EINVAL);

	umem = kzalloc(sizeof(*umem), GFP_KERNEL_ACCOUNT);
	if (!umem)
		return ERR_PTR(-ENOMEM);

	umem->mm = mm;
	if (mm)
		mmgrab(mm);
	umem->addr = addr;
	umem->length = length;
	umem->writable = flags & UMEM_WRITE;
	return umem;
}

static struct umem *create_here(unsigned long addr, size_t length,
				unsigned int flags)
{
	if (!current->mm)
		return ERR_PTR(-EINVAL);
	return create(current->mm, addr, length, flags);
}

static void destroy(struct umem *umem)
{
	if (umem->mm)
		mmdrop(umem->mm);
	kfree(umem);
}

/*
 * What pinning would ask of a mapping: to be readable, or writable. Unlike
 * pinning, a copy has no quarrel with device memory (VM_IO, VM_PFNMAP), nor with
 * files whose pages may not be held for long.
 */
static bool vma_fits(const struct vm_area_struct *vma, bool writable)
{
	if (!writable)
		return vma->vm_flags & VM_READ;
	return vma->vm_flags & VM_WRITE &&
	       !(vma->vm_flags & VM_SHADOW_STACK);
}

/* Is every byte of the range mapped now? mmap_lock is held for reading. */
static int check_vmas(const struct umem *umem, bool persistent)
{
	unsigned long addr = umem->addr;
	const unsigned long end = addr + umem->length;
	const struct vm_area_struct *vma;

	lockdep_assert_held(&umem->mm->mmap_lock);
	while (addr < end) {
		vma = find_vma(umem->mm, addr);
		if (!vma || vma->vm_start > addr ||
		    !vma_fits(vma, umem->writable))
			return -EFAULT;
		if (persistent && !umem_vma_persists(vma))
			return -EINVAL;
		addr = vma->vm_end;
	}
	return 0;
}

static int check_range(const struct umem *umem, bool persistent)
{
	int err;

	if (!access_ok((void __user *)umem->addr, umem->length))
		return -EFAULT;
	err = mmap_read_lock_killable(umem->mm);
	if (err)
		return err;
	err = check_vmas(umem, persistent);
	mmap_read_unlock(umem->mm);
	return err;
}

static struct umem *create_checked(unsigned long addr, size_t length,
				   unsigned int flags, bool persistent)
{
	struct umem *umem;
	int err;

	umem = create_here(untagged_addr(addr), length, flags);
	if (IS_ERR(umem))
		return umem;
	err = check_range(umem, persistent);
	if (err) {
		destroy(umem);
		return ERR_PTR(err);
	}
	return umem;
}

struct umem *umem_get(struct device *dma_dev, unsigned long addr, size_t length,
		      unsigned int flags, unsigned long dma_attrs)
{
	struct umem *umem;
	int err;

	umem = create_checked(addr, length, flags, false);
	if (IS_ERR(umem))
		return umem;
	err = umem_pin(umem, dma_dev, dma_attrs);
	if (err) {
		destroy(umem);
		return ERR_PTR(err);
	}
	return umem;
}
EXPORT_SYMBOL_GPL(umem_get);

struct umem *umem_open(unsigned long addr, size_t length, unsigned int flags)
{
	if (length == UMEM_WHOLE_MM)
		return create_here(addr, length, flags);
	return create_checked(addr, length, flags & ~UMEM_PERSISTENT,
			      flags & UMEM_PERSISTENT);
}
EXPORT_SYMBOL_GPL(umem_open);

struct umem *umem_get_dmabuf(int fd, unsigned long offset, size_t length,
			     unsigned int flags)
{
	struct umem *umem = create(NULL, offset, length, flags);
	int err;

	if (IS_ERR(umem))
		return umem;
	err = umem_dmabuf_map(umem, fd);
	if (err) {
		destroy(umem);
		return ERR_PTR(err);
	}
	return umem;
}
EXPORT_SYMBOL_GPL(umem_get_dmabuf);

void umem_release(struct umem *umem)
{
	if (IS_ERR_OR_NULL(umem))
		return;
	umem_resident_free(umem);
	if (umem->pinned)
		umem_unpin(umem);
	if (umem->dmabuf)
		umem_dmabuf_unmap(umem);
	destroy(umem);
}
EXPORT_SYMBOL_GPL(umem_release);

unsigned long umem_resident_pages(const struct umem *umem)
{
	return umem_resident_count(umem);
}
EXPORT_SYMBOL_GPL(umem_resident_pages);

u64 umem_lost_pages(const struct umem *umem)
{
	return umem_resident_lost(umem);
}
EXPORT_SYMBOL_GPL(umem_lost_pages);

static int __init umem_init(void)
{
	return umem_dmabuf_init();
}

static void __exit umem_exit(void)
{
	umem_dmabuf_exit();
}

module_init(umem_init);
module_exit(umem_exit);

MODULE_DESCRIPTION("User memory for RDMA drivers, pinned or not");
MODULE_LICENSE("Dual BSD/GPL");
