/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Memory that packets are written into: pieces of large pages, cut off one after
 * the other, so that many packets make one fragment of an skb. Each processor that
 * has sent keeps up to 1 MiB of such pages until the module goes.
 */
#ifndef URXE_FRAG_H
#define URXE_FRAG_H

#include <linux/mm_types_task.h>
#include <linux/types.h>

/**
 * urxe_frag_need - have a page with room for @len bytes at its offset
 * @frag: the caller's alone, with a reference; zeroed, or what an earlier call
 *	  left, which is given up when the room there is too small
 * @len: bytes, in one piece
 * @gfp: how memory may be had here
 *
 * Who has used the room moves the offset on, and has a reference of his own.
 * Context: process or softirq.
 * Return: false when there is no memory; @frag is then empty.
 */
bool urxe_frag_need(struct page_frag *frag, u32 len, gfp_t gfp);

/* Done with @frag: keep what is left of it for the next one on this CPU. */
void urxe_frag_return(struct page_frag *frag);

/* At the end of the module: give back what is kept. */
void urxe_frags_exit(void);

#endif /* URXE_FRAG_H */
