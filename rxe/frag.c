// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Memory that packets are written into.
 *
 * The kernel's skb_page_frag_refill() may answer with a single page whatever the
 * length asked for, and a packet of MTU 4096 is longer. So the size is looked at
 * here. What is left of a page waits for the next batch on the same CPU; when all
 * that was cut off has come back, cutting begins anew, in memory that is still in
 * the cache.
 *
 * A page that is used up before that waits in a ring for its pieces, and is cut
 * anew when its turn comes: the kernel zeroes every fresh page, a third pass over
 * the bytes. One that is still in use then has to wait for another turn, and a
 * fresh one is taken.
 */
#include <linux/gfp.h>
#include <linux/local_lock.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/skbuff.h>

#include "frag.h"

#define FRAG_ORDER	get_order(32768)
#define FRAG_SIZE	(PAGE_SIZE << FRAG_ORDER)

/* 1 MiB: what two QPs have under way. */
#define RING_PAGES	32

/**
 * struct spare - what was cut off, per processor
 * @lock: guards all else; taken with bottom halves off
 * @frag: what is left of a page
 * @ring: pages that are used up, each with a reference of ours
 * @oldest: index of the first of them; only ever grows
 * @count: how many there are
 */
struct spare {
	local_lock_t		lock;
	struct page_frag	frag;
	struct page		*ring[RING_PAGES];
	unsigned int		oldest;
	unsigned int		count;
};

static DEFINE_PER_CPU(struct spare, spare) = {
	.lock = INIT_LOCAL_LOCK(lock),
};

static void drop(struct page_frag *frag)
{
	if (frag->page)
		put_page(frag->page);
	*frag = (struct page_frag){};
}

static void drop_spare(struct spare *of)
{
	drop(&of->frag);
	for (; of->count; of->count--)
		put_page(of->ring[of->oldest++ % RING_PAGES]);
}

void urxe_frags_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		drop_spare(per_cpu_ptr(&spare, cpu));
}

static bool has_room(struct page_frag *frag, u32 len)
{
	if (!frag->page)
		return false;
	if (page_ref_count(frag->page) == 1)
		frag->offset = 0;
	return len <= frag->size - frag->offset;
}

/* Into the ring with a used-up page, if there is room. */
static void retire(struct spare *mine, struct page_frag *frag)
{
	if (frag->page && frag->size == FRAG_SIZE &&
	    dev_page_is_reusable(frag->page) && mine->count < RING_PAGES) {
		mine->ring[(mine->oldest + mine->count++) % RING_PAGES] =
			frag->page;
		frag->page = NULL;
	}
	drop(frag);
}

/* The oldest page of the ring, if all its pieces have come back. */
static void take_oldest(struct spare *mine, struct page_frag *frag)
{
	if (!mine->count)
		return;
	*frag = (struct page_frag){
		.page = mine->ring[mine->oldest++ % RING_PAGES],
		.size = FRAG_SIZE,
	};
	mine->count--;
	if (page_ref_count(frag->page) > 1)
		retire(mine, frag);
}

/* For @frag, which is empty or used up, what this processor has; or nothing. */
static void take_spare(struct page_frag *frag, u32 len)
{
	struct spare *mine;

	local_bh_disable();
	local_lock(&spare.lock);
	mine = this_cpu_ptr(&spare);
	retire(mine, frag);
	swap(mine->frag, *frag);
	if (!has_room(frag, len)) {
		retire(mine, frag);
		take_oldest(mine, frag);
	}
	local_unlock(&spare.lock);
	local_bh_enable();
}

static bool alloc(struct page_frag *frag, unsigned int order, gfp_t gfp)
{
	frag->page = alloc_pages(gfp | __GFP_COMP | __GFP_NOWARN, order);
	frag->offset = 0;
	frag->size = PAGE_SIZE << order;
	return frag->page;
}

bool urxe_frag_need(struct page_frag *frag, u32 len, gfp_t gfp)
{
	const gfp_t at_once = (gfp & ~__GFP_DIRECT_RECLAIM) | __GFP_NORETRY;

	if (has_room(frag, len))
		return true;
	take_spare(frag, len);
	if (has_room(frag, len))
		return true;
	drop(frag);
	return alloc(frag, max(FRAG_ORDER, get_order(len)), at_once) ||
	       alloc(frag, get_order(len), gfp);
}

void urxe_frag_return(struct page_frag *frag)
{
	struct spare *mine;

	if (!frag->page)
		return;
	local_bh_disable();
	local_lock(&spare.lock);
	mine = this_cpu_ptr(&spare);
	if (!mine->frag.page)
		swap(mine->frag, *frag);
	retire(mine, frag);
	local_unlock(&spare.lock);
	local_bh_enable();
}
