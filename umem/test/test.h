/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/* What the files of umem_test share, and what the device says to programs. */
#ifndef UMEM_TEST_H
#define UMEM_TEST_H

#include <linux/ioctl.h>
#include <linux/types.h>

#include "harness.h"
#include "umem.h"

/* How /dev/umem_test opens a range. */
enum umem_test_kind {
	KIND_UNPINNED,
	KIND_PINNED,
	KIND_PINNED_RECORDED,	/* for a device whose mappings are recorded */
	KIND_PINNED_DIRECT,	/* for a device without mapping operations */
};

/* Who makes the access. */
enum umem_test_where {
	WHERE_CALLER,		/* the system call, sleeping */
	WHERE_CALLER_NOWAIT,	/* the system call */
	WHERE_SOFTIRQ,		/* a softirq that interrupts the system call */
	WHERE_WORKER,		/* a work item inside the owner's mm */
	WHERE_KTHREAD_NOWAIT,	/* a work item outside any mm */
	WHERE_LAST = WHERE_KTHREAD_NOWAIT,
};

enum umem_test_op {
	OP_READ,
	OP_WRITE,
	OP_ATOMIC,		/* + enum umem_atomic_op */
	OP_LAST = OP_ATOMIC + UMEM_ATOMIC_WRITE,
};

struct umem_test_open {
	__u64	addr;
	__u64	length;
	__u64	attrs;
	__u32	flags;
	__u32	kind;
};

struct umem_test_access {
	__u64	off;
	__u64	buf;		/* of the caller, not the owner */
	__u64	len;
	__u64	a;
	__u64	b;
	__u64	old;
	__u32	op;
	__u32	where;
};

struct umem_test_info {
	__u64	pinned_pages;
	__u64	sg_entries;
	__u64	sg_bytes;
	__u64	dma_addr;	/* of the first segment; 0 when not mapped */
	__u64	phys_addr;	/* of the first byte, when pinned */
	__u64	maps;
	__u64	unmaps;
	__u64	map_attrs;
	__u64	unmap_attrs;
	__u64	map_dir;
	__u64	resident;	/* pages known to be resident */
};

#define UMEM_TEST_OPEN		_IOW('u', 1, struct umem_test_open)
#define UMEM_TEST_CLOSE		_IO('u', 2)
#define UMEM_TEST_ACCESS	_IOWR('u', 3, struct umem_test_access)
#define UMEM_TEST_INTERRUPT	_IO('u', 4)
#define UMEM_TEST_RESUME	_IO('u', 5)
#define UMEM_TEST_INFO		_IOR('u', 6, struct umem_test_info)
#define UMEM_TEST_FAIL_MAP	_IO('u', 7)

/**
 * struct umem_test_dma - what the recorded device saw
 * @maps: mappings made
 * @unmaps: mappings undone
 * @map_attrs: DMA_ATTR_* of the last mapping
 * @unmap_attrs: DMA_ATTR_* of the last unmapping
 * @dir: direction of the last mapping
 * @fail: refuse the next mapping
 */
struct umem_test_dma {
	unsigned long	maps;
	unsigned long	unmaps;
	unsigned long	map_attrs;
	unsigned long	unmap_attrs;
	int		dir;
	bool		fail;
};

extern struct umem_test_dma umem_test_dma;

/* NULL where the kernel has no DMA operations per device */
struct device *umem_test_recorded(void);
struct device *umem_test_direct(void);
/* limits the segments of the recorded device */
void umem_test_set_max_seg(unsigned int bytes);

int umem_test_dma_init(void);
void umem_test_dma_exit(void);
int umem_test_dev_init(void);
void umem_test_dev_exit(void);

/* the address space the cases map their memory in: the loader's */
extern struct mm_struct *umem_test_mm;
extern struct kunit_case umem_test_cases[];

#endif /* UMEM_TEST_H */
