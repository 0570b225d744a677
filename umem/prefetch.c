// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Bringing pages in ahead of an access, so that it finds them resident.
 */
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "private.h"

/* Bytes brought in between two looks at signals and the scheduler. */
#define CHUNK	(64 * PAGE_SIZE)

/*
 * Store what is there, where the kernel sees a page: device memory is not to be touched.
 * See resident.c for what it takes to be noted as writable. The fault before need not have
 * made it so: a NUMA hint, or a marker of userfaultfd's, is all that one fault sees to.
 */
static int touch_page(unsigned long addr, struct umem_visit *visit)
{
	struct page *page;

	if (get_user_pages_fast_only(addr, 1, 0, &page) != 1) {
		visit->stale = true;
		return 0;
	}
	put_page(page);
	return umem_touch(addr);
}

/* Return: bytes that could not be had. */
static size_t make_writable(unsigned long addr, size_t len,
			    struct umem_visit *visit)
{
	const unsigned long end = addr + len;

	if (fault_in_safe_writeable((const char __user *)addr, len))
		return len;
	for (; addr < end; addr = ALIGN_DOWN(addr, PAGE_SIZE) + PAGE_SIZE)
		if (touch_page(addr, visit))
			return end - addr;
	return 0;
}

/* No kind of fetching changes a byte. Return: bytes that could not be had. */
static size_t fault_in(unsigned long addr, size_t len, enum umem_fetch how,
		       struct umem_visit *visit)
{
	const char __user *user = (const char __user *)addr;

	switch (how) {
	case UMEM_FETCH_READ:
		return fault_in_readable(user, len);
	case UMEM_FETCH_WRITE:
		return make_writable(addr, len, visit);
	case UMEM_FETCH_PRESENT:
		break;
	}
	return 0;
}

/* Return: as umem_prefetch(). */
static long fetch_chunk(struct umem *umem, size_t off, size_t len,
			enum umem_fetch how)
{
	enum umem_dir dir = how == UMEM_FETCH_WRITE ? TO_USER : FROM_USER;
	struct umem_visit visit;
	unsigned long noted;

	umem_visit_begin(umem, &visit);
	if (fault_in(umem->addr + off, len, how, &visit))
		return -EFAULT;
	noted = umem_visit_end(umem, &visit, off, len, dir);
	return how == UMEM_FETCH_PRESENT ? noted : umem_pages(umem, off, len);
}

static size_t until_boundary(const struct umem *umem, size_t off, size_t left)
{
	size_t in_chunk = (umem->addr + off) & (CHUNK - 1);

	return min_t(size_t, CHUNK - in_chunk, left);
}

long umem_prefetch(struct umem *umem, size_t off, size_t len,
		   enum umem_fetch how)
{
	long got, pages = 0;
	size_t part;

	if (!umem_covers(umem, off, len) ||
	    (how == UMEM_FETCH_WRITE && !umem->writable))
		return -EFAULT;
	if (umem->pinned || umem->dmabuf)
		return 0;
	if (!umem_on_owner(umem))
		return -EAGAIN;
	for (; len; off += part, len -= part) {
		if (fatal_signal_pending(current))
			return -EINTR;
		part = until_boundary(umem, off, len);
		got = fetch_chunk(umem, off, part, how);
		if (got < 0)
			return got;
		pages += got;
		cond_resched();
	}
	return pages;
}
EXPORT_SYMBOL_GPL(umem_prefetch);
