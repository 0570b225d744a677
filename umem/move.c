// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * From one range straight into another, with no buffer in between.
 *
 * One of the two has to be at hand as kernel memory: pinned, or noted as resident.
 * The other is then reached the usual ways.
 */
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "private.h"

/* Both ends of a move. */
struct move {
	struct umem	*dst;
	size_t		doff;
	struct umem	*src;
	size_t		soff;
};

static int to_pinned_page(const struct move *move, size_t done, size_t len)
{
	struct page *page = umem_pinned_page(move->dst, move->doff + done);
	size_t at = offset_in_page(move->dst->addr + move->doff + done);

	return umem_read_nowait(move->src, move->soff + done,
				page_address(page) + at, len);
}

static int from_pinned_page(const struct move *move, size_t done, size_t len)
{
	struct page *page = umem_pinned_page(move->src, move->soff + done);
	size_t at = offset_in_page(move->src->addr + move->soff + done);

	return umem_write_nowait(move->dst, move->doff + done,
				 page_address(page) + at, len);
}

/* Page by page of the pinned one of the two, which begins at @addr. */
static int move_pinned(const struct move *move, unsigned long addr, size_t len)
{
	size_t n, done;
	int err = 0;

	for (done = 0; !err && done < len; done += n) {
		n = min_t(size_t, len - done,
			  PAGE_SIZE - offset_in_page(addr + done));
		err = move->dst->pinned ? to_pinned_page(move, done, n) :
					  from_pinned_page(move, done, n);
	}
	return err;
}

/* The caller runs in one of the two, the other's pages are noted as resident. */
static int move_resident(const struct move *move, size_t len)
{
	struct umem *dst = move->dst, *src = move->src;
	int err = -EAGAIN;

	if (umem_on_owner(src))
		err = umem_resident_exchange(dst, move->doff,
					     src->addr + move->soff, len,
					     TO_USER);
	if (err && umem_on_owner(dst))
		err = umem_resident_exchange(src, move->soff,
					     dst->addr + move->doff, len,
					     FROM_USER);
	return err;
}

int umem_move_nowait(struct umem *dst, size_t doff, struct umem *src,
		     size_t soff, size_t len)
{
	const struct move move = {
		.dst = dst, .doff = doff, .src = src, .soff = soff,
	};

	if (umem_check(dst, doff, len, TO_USER) ||
	    umem_check(src, soff, len, FROM_USER))
		return -EFAULT;
	if (dst->pinned)
		return move_pinned(&move, dst->addr + doff, len);
	if (src->pinned)
		return move_pinned(&move, src->addr + soff, len);
	return move_resident(&move, len);
}
EXPORT_SYMBOL_GPL(umem_move_nowait);

bool umem_at_hand(struct umem *umem, size_t off, size_t len, bool write)
{
	return umem->pinned || umem->dmabuf ||
	       umem_resident_covers(umem, off, len,
				    write ? TO_USER : FROM_USER) ||
	       (umem_on_owner(umem) && !(current->flags & PF_KTHREAD));
}
EXPORT_SYMBOL_GPL(umem_at_hand);
