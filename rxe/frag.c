// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Memory that packets are written into.
 *
 * The kernel's skb_page_frag_refill() may answer with a single page whatever the
 * length asked for, and a packet of MTU 4096 is longer. So the size is looked at
 * here. What is left of a page waits for the next batch on the same CPU; when all
 * that was cut off has come back, cutting begins anew, in memory that is still in
 * the cache.
 */
#include <linux/gfp.h>
#include <linux/local_lock.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/percpu.h>

#include "frag.h"

#define FRAG_ORDER	get_order(32768)

/**
 * struct spare - what was cut off, per processor
 * @lock: guards @frag; taken with bottom halves off
 * @frag: the memory
 */
struct spare {
	local_lock_t		lock;
	struct page_frag	frag;
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

void urxe_frags_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		drop(&per_cpu_ptr(&spare, cpu)->frag);
}

static bool has_room(struct page_frag *frag, u32 len)
{
	if (!frag->page)
		return false;
	if (page_ref_count(frag->page) == 1)
		frag->offset = 0;
	return len <= frag->size - frag->offset;
}

static void take_spare(struct page_frag *frag)
{
	local_bh_disable();
	local_lock(&spare.lock);
	*frag = *this_cpu_ptr(&spare.frag);
	*this_cpu_ptr(&spare.frag) = (struct page_frag){};
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
	drop(frag);
	take_spare(frag);
	if (has_room(frag, len))
		return true;
	drop(frag);
	return alloc(frag, max(FRAG_ORDER, get_order(len)), at_once) ||
	       alloc(frag, get_order(len), gfp);
}

void urxe_frag_return(struct page_frag *frag)
{
	if (!frag->page)
		return;
	local_bh_disable();
	local_lock(&spare.lock);
	if (!this_cpu_read(spare.frag.page))
		swap(*this_cpu_ptr(&spare.frag), *frag);
	local_unlock(&spare.lock);
	local_bh_enable();
	drop(frag);
}
