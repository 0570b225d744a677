// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The way to the bytes: copies between a range and kernel memory.
 *
 * Pinned memory and dma-bufs are reached through the kernel's own mapping of their
 * pages, from any context. Unpinned memory is reached through the owner's page
 * tables, which takes somebody who runs on them, or through pages that somebody who
 * did has found resident.
 */
#include <linux/bvec.h>
#include <linux/export.h>
#include <linux/highmem.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "private.h"

/* The caller may sleep. */
static int copy_user(struct umem *umem, size_t off, void *buf, size_t len,
		     enum umem_dir dir)
{
	void __user *user = (void __user *)(umem->addr + off);
	struct umem_visit visit;
	unsigned long left;

	if (!umem_on_owner(umem))
		return -EAGAIN;
	umem_visit_begin_access(umem, &visit);
	if (dir == TO_USER)
		left = copy_to_user(user, buf, len);
	else
		left = copy_from_user(buf, user, len);
	if (left)
		return -EFAULT;
	umem_visit_end(umem, &visit, off, len, dir);
	return 0;
}

/*
 * Softirq may have interrupted the owner, whose page tables are then loaded. Page
 * faults go off before access_ok(), which otherwise complains about softirq.
 */
static int copy_user_nowait(const struct umem *umem, size_t off, void *buf,
			    size_t len, enum umem_dir dir)
{
	void __user *user = (void __user *)(umem->addr + off);
	unsigned long left = len;

	if (!umem_on_owner(umem))
		return -EAGAIN;
	pagefault_disable();
	if (access_ok(user, len)) {
		if (dir == TO_USER)
			left = __copy_to_user_inatomic(user, buf, len);
		else
			left = __copy_from_user_inatomic(buf, user, len);
	}
	pagefault_enable();
	return left ? -EAGAIN : 0;
}

/* The dispatch every accessor goes through. */
static int copy(struct umem *umem, size_t off, void *buf, size_t len,
		enum umem_dir dir, bool nowait)
{
	int err = umem_check(umem, off, len, dir);

	if (err || !len)
		return err;
	if (umem->pinned) {
		umem_pinned_copy(umem, off, buf, len, dir);
		return 0;
	}
	if (umem->dmabuf) {
		umem_dmabuf_copy(umem, off, buf, len, dir);
		return 0;
	}
	if (!nowait)
		return copy_user(umem, off, buf, len, dir);
	if (!copy_user_nowait(umem, off, buf, len, dir))
		return 0;
	return umem_resident_copy(umem, off, buf, len, dir);
}

int umem_read(struct umem *umem, size_t off, void *dst, size_t len)
{
	return copy(umem, off, dst, len, FROM_USER, false);
}
EXPORT_SYMBOL_GPL(umem_read);

int umem_write(struct umem *umem, size_t off, const void *src, size_t len)
{
	return copy(umem, off, (void *)src, len, TO_USER, false);
}
EXPORT_SYMBOL_GPL(umem_write);

int umem_read_nowait(struct umem *umem, size_t off, void *dst, size_t len)
{
	return copy(umem, off, dst, len, FROM_USER, true);
}
EXPORT_SYMBOL_GPL(umem_read_nowait);

int umem_write_nowait(struct umem *umem, size_t off, const void *src,
		      size_t len)
{
	return copy(umem, off, (void *)src, len, TO_USER, true);
}
EXPORT_SYMBOL_GPL(umem_write_nowait);

/* A piece of a kernel iterator that is contiguous in kernel addresses. */
struct piece {
	void	*addr;
	size_t	len;
	bool	mapped;		/* @addr is from kmap_local_page() */
};

static struct piece kvec_piece(const struct iov_iter *iter)
{
	const struct kvec *v = iter->kvec;

	return (struct piece){
		.addr	= v->iov_base + iter->iov_offset,
		.len	= v->iov_len - iter->iov_offset,
	};
}

static struct piece bvec_piece(const struct iov_iter *iter)
{
	const struct bio_vec *v = iter->bvec;
	size_t at = v->bv_offset + iter->iov_offset;
	struct page *page = v->bv_page + (at >> PAGE_SHIFT);

	return (struct piece){
		.addr	= kmap_local_page(page) + offset_in_page(at),
		.len	= min_t(size_t, v->bv_len - iter->iov_offset,
				PAGE_SIZE - offset_in_page(at)),
		.mapped	= true,
	};
}

static int copy_piece(struct umem *umem, size_t off, struct iov_iter *iter,
		      size_t max, enum umem_dir dir, bool nowait)
{
	struct piece piece;
	int err;

	iov_iter_advance(iter, 0);	/* past pieces of no length */
	piece = iov_iter_is_kvec(iter) ? kvec_piece(iter) : bvec_piece(iter);
	piece.len = min(piece.len, max);
	err = copy(umem, off, piece.addr, piece.len, dir, nowait);
	if (piece.mapped)
		kunmap_local(piece.addr);
	if (err)
		return err;
	iov_iter_advance(iter, piece.len);
	return piece.len;
}

static int copy_iter(struct umem *umem, size_t off, struct iov_iter *iter,
		     size_t len, enum umem_dir dir, bool nowait)
{
	int n = umem_check(umem, off, len, dir);

	if (n)
		return n;
	if (len > iov_iter_count(iter) ||
	    !(iov_iter_is_kvec(iter) || iov_iter_is_bvec(iter)))
		return -EINVAL;

	for (; len; off += n, len -= n) {
		n = copy_piece(umem, off, iter, len, dir, nowait);
		if (n < 0)
			return n;
	}
	return 0;
}

int umem_read_iter(struct umem *umem, size_t off, struct iov_iter *iter,
		   size_t len, bool nowait)
{
	return copy_iter(umem, off, iter, len, FROM_USER, nowait);
}
EXPORT_SYMBOL_GPL(umem_read_iter);

int umem_write_iter(struct umem *umem, size_t off, struct iov_iter *iter,
		    size_t len, bool nowait)
{
	return copy_iter(umem, off, iter, len, TO_USER, nowait);
}
EXPORT_SYMBOL_GPL(umem_write_iter);
