// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Memory that outlives the machine: shared mappings of files on storage, with DAX or
 * without. Bytes are made to last as by msync(2), whoever wrote them there.
 */
#include <linux/backing-dev.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>

#include "private.h"

/* Part of a range that one mapping of a file has. */
struct stretch {
	struct file	*file;
	loff_t		first;
	loff_t		last;
	unsigned long	end;
};

/* What a private mapping has, and a file in memory, goes with them. */
bool umem_vma_persists(const struct vm_area_struct *vma)
{
	return vma->vm_file && (vma->vm_flags & VM_SHARED) &&
	       mapping_can_writeback(vma->vm_file->f_mapping);
}

/* The stretch from @addr on, up to @end, with a reference on the file. */
static int find_stretch(struct mm_struct *mm, unsigned long addr,
			unsigned long end, struct stretch *found)
{
	const struct vm_area_struct *vma;
	int err;

	err = mmap_read_lock_killable(mm);
	if (err)
		return err;
	vma = find_vma(mm, addr);
	if (vma && vma->vm_start <= addr && umem_vma_persists(vma)) {
		found->file = get_file(vma->vm_file);
		found->end = min(end, vma->vm_end);
		found->first = ((loff_t)vma->vm_pgoff << PAGE_SHIFT) +
			       (addr - vma->vm_start);
		found->last = found->first + (found->end - addr) - 1;
	} else {
		err = -EFAULT;
	}
	mmap_read_unlock(mm);
	return err;
}

int umem_persist(struct umem *umem, size_t off, size_t len)
{
	unsigned long addr = umem->addr + off;
	const unsigned long end = addr + len;
	struct stretch found;
	int err;

	if (!umem_covers(umem, off, len) || umem->pinned || umem->dmabuf)
		return -EFAULT;
	if (!umem_on_owner(umem))
		return -EAGAIN;
	for (; addr < end; addr = found.end) {
		err = find_stretch(umem->mm, addr, end, &found);
		if (err)
			return err;
		/* What was written, and what it takes to find it again. */
		err = vfs_fsync_range(found.file, found.first, found.last, 1);
		fput(found.file);
		if (err)
			return err;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(umem_persist);
