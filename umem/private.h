/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/* What the files of ib_umem share among themselves. */
#ifndef UMEM_PRIVATE_H
#define UMEM_PRIVATE_H

#include <linux/errno.h>
#include <linux/kconfig.h>
#include <linux/mm_types.h>
#include <linux/sched.h>
#include <linux/types.h>

#include "umem.h"

/* Which way one access moves bytes, seen from the user's memory. */
enum umem_dir {
	FROM_USER,
	TO_USER,
};

/* May the caller reach @umem's user addresses through its own page tables? */
static inline bool umem_on_owner(const struct umem *umem)
{
	return umem->mm && umem->mm == current->mm;
}

/* On how many pages are these bytes? At least one is asked for. */
static inline unsigned long umem_pages(const struct umem *umem, size_t off,
				       size_t len)
{
	const unsigned long addr = umem->addr + off;

	return ((addr + len - 1) >> PAGE_SHIFT) - (addr >> PAGE_SHIFT) + 1;
}

/* umem.c: are these bytes inside the range? Neither side may wrap. */
bool umem_covers(const struct umem *umem, size_t off, size_t len);

/* umem.c: is this access inside the range and allowed? 0 or -EFAULT. */
int umem_check(const struct umem *umem, size_t off, size_t len,
	       enum umem_dir dir);

/* persist.c: does what is written there outlive the machine? mmap_lock is held. */
bool umem_vma_persists(const struct vm_area_struct *vma);

/*
 * pin.c. To pin and to unpin may sleep; the rest is for any context, and the caller has
 * done umem_check().
 */
int umem_pin(struct umem *umem, struct device *dma_dev,
	     unsigned long dma_attrs);
void umem_unpin(struct umem *umem);
void umem_pinned_copy(const struct umem *umem, size_t off, void *buf,
		      size_t len, enum umem_dir dir);
struct page *umem_pinned_page(const struct umem *umem, size_t off);

/* dmabuf.c. Copies and atomics as in pin.c; the rest may sleep. */
#if IS_ENABLED(CONFIG_DMA_SHARED_BUFFER)
int umem_dmabuf_init(void);
void umem_dmabuf_exit(void);
int umem_dmabuf_map(struct umem *umem, int fd);
void umem_dmabuf_unmap(struct umem *umem);
void umem_dmabuf_copy(const struct umem *umem, size_t off, void *buf,
		      size_t len, enum umem_dir dir);
int umem_dmabuf_atomic(const struct umem *umem, size_t off,
		       enum umem_atomic_op op, u64 a, u64 b, u64 *old);
#else
static inline int umem_dmabuf_init(void)
{
	return 0;
}

static inline void umem_dmabuf_exit(void)
{
}

static inline int umem_dmabuf_map(struct umem *umem, int fd)
{
	return -EOPNOTSUPP;
}

static inline void umem_dmabuf_unmap(struct umem *umem)
{
}

static inline void umem_dmabuf_copy(const struct umem *umem, size_t off,
				    void *buf, size_t len, enum umem_dir dir)
{
}

static inline int umem_dmabuf_atomic(const struct umem *umem, size_t off,
				     enum umem_atomic_op op, u64 a, u64 b,
				     u64 *old)
{
	return -EFAULT;
}
#endif

/*
 * atomic.c: on a word, or a page, in the kernel's own mapping; and a store that changes
 * nothing, at the caller's own address (0 or -EFAULT).
 */
void umem_atomic_word(u64 *word, enum umem_atomic_op op, u64 a, u64 b,
		      u64 *old);
int umem_touch(unsigned long addr);
void umem_atomic_page(struct page *page, unsigned int off,
		      enum umem_atomic_op op, u64 a, u64 b, u64 *old);

/**
 * struct umem_visit - one access, or prefetch, to be noted
 * @resident: where to; NULL for not at all
 * @seq: invalidations after this one make the notes void
 * @stale: not every page need have been stored to, or a store may have gone by a
 *	   translation that is no more, and left no trace
 */
struct umem_visit {
	struct umem_resident	*resident;
	unsigned long		seq;
	bool			stale;
};

/* resident.c; a kernel without notifiers knows of no page where it is. */
#if IS_ENABLED(CONFIG_MMU_NOTIFIER)
void umem_visit_begin(struct umem *umem, struct umem_visit *visit);
void umem_visit_begin_access(struct umem *umem, struct umem_visit *visit);
unsigned long umem_visit_end(struct umem *umem, const struct umem_visit *visit,
			     size_t off, size_t len, enum umem_dir dir);
int umem_resident_copy(struct umem *umem, size_t off, void *buf, size_t len,
		       enum umem_dir dir);
int umem_resident_exchange(struct umem *umem, size_t off, unsigned long user,
			   size_t len, enum umem_dir dir);
bool umem_resident_covers(struct umem *umem, size_t off, size_t len,
			  enum umem_dir dir);
int umem_resident_atomic(struct umem *umem, size_t off, enum umem_atomic_op op,
			 u64 a, u64 b, u64 *old);
unsigned long umem_resident_count(const struct umem *umem);
u64 umem_resident_lost(const struct umem *umem);
void umem_resident_free(struct umem *umem);
#else
static inline void umem_visit_begin(struct umem *umem, struct umem_visit *visit)
{
}

static inline void umem_visit_begin_access(struct umem *umem,
					   struct umem_visit *visit)
{
}

static inline unsigned long umem_visit_end(struct umem *umem,
					   const struct umem_visit *visit,
					   size_t off, size_t len,
					   enum umem_dir dir)
{
	return 0;
}

static inline int umem_resident_copy(struct umem *umem, size_t off, void *buf,
				     size_t len, enum umem_dir dir)
{
	return -EAGAIN;
}

static inline int umem_resident_exchange(struct umem *umem, size_t off,
					 unsigned long user, size_t len,
					 enum umem_dir dir)
{
	return -EAGAIN;
}

static inline bool umem_resident_covers(struct umem *umem, size_t off,
					size_t len, enum umem_dir dir)
{
	return false;
}

static inline int umem_resident_atomic(struct umem *umem, size_t off,
				       enum umem_atomic_op op, u64 a, u64 b,
				       u64 *old)
{
	return -EAGAIN;
}

static inline unsigned long umem_resident_count(const struct umem *umem)
{
	return 0;
}

static inline u64 umem_resident_lost(const struct umem *umem)
{
	return 0;
}

static inline void umem_resident_free(struct umem *umem)
{
}
#endif

#endif /* UMEM_PRIVATE_H */
