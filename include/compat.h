/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * What differs between the kernels we support (6.1, 6.12, 7.2), and nowhere
 * else: the rest reads like code for the newest.
 */
#ifndef URXE_COMPAT_H
#define URXE_COMPAT_H

#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/version.h>

/* 6.18: reg_user_mr is told of a DMA handle, which no one without DMA supports. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
#define URXE_DMAH_ARG	struct ib_dmah *dmah,
#define URXE_NO_DMAH	NULL,
#else
#define URXE_DMAH_ARG
#define URXE_NO_DMAH
#endif

/* 6.6: shadow stacks are VM_WRITE mappings that nobody may write. */
#ifndef VM_SHADOW_STACK
#define VM_SHADOW_STACK VM_NONE
#endif

/*
 * 6.2: a long-term pin for reading breaks copy-on-write by itself. Before, only
 * a forced pin for writing did, which a shared read-only mapping refuses; there
 * is no copy-on-write to break there.
 */
static inline int compat_pin_longterm(unsigned long start, int npages,
				      bool writable, struct page **pages)
{
	unsigned int flags = FOLL_LONGTERM;

	if (writable)
		flags |= FOLL_WRITE;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	if (!writable) {
		int n = pin_user_pages_fast(start, npages, flags | FOLL_WRITE |
					    FOLL_FORCE, pages);

		if (n != -EFAULT)
			return n;
	}
#endif
	return pin_user_pages_fast(start, npages, flags, pages);
}

#endif /* URXE_COMPAT_H */
