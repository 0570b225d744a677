// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The cases that need nothing but an address space. Each one enters the loader's,
 * maps memory of its own there, and leaves nothing behind.
 */
#define pr_fmt(fmt) fmt

#include <linux/bvec.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "test.h"

#define PAGES	8UL
#define SIZE	(PAGES * PAGE_SIZE)
#define HUGE_RANGE BIT(41)

/**
 * struct stay - a case's stay in the loader's mm; static, as timers are not for stacks
 * @worker: the stay itself
 * @addr: SIZE bytes of private anonymous memory, never touched
 */
struct stay {
	struct umem_worker	worker;
	unsigned long		addr;
};

static unsigned long map(unsigned long addr, size_t len, int prot)
{
	return vm_mmap(NULL, addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS |
		       (addr ? MAP_FIXED : 0), 0);
}

static bool begin(struct kunit *test, struct stay *s)
{
	int err;

	/* left behind by the case before */
	KUNIT_EXPECT_TRUE(test, !signal_pending(current));
	flush_signals(current);

	umem_worker_init(&s->worker);
	err = umem_worker_enter(&s->worker, umem_test_mm);
	KUNIT_EXPECT_EQ(test, err, 0);
	if (err)
		return false;
	s->addr = map(0, SIZE, PROT_READ | PROT_WRITE);
	KUNIT_EXPECT_TRUE(test, !IS_ERR_VALUE(s->addr));
	if (!IS_ERR_VALUE(s->addr))
		return true;
	umem_worker_leave(&s->worker);
	return false;
}

static void end(struct stay *s)
{
	vm_munmap(s->addr, SIZE);
	umem_worker_leave(&s->worker);
}

static long open_error(unsigned long addr, size_t len, unsigned int flags)
{
	struct umem *umem = umem_open(addr, len, flags);
	long err = PTR_ERR_OR_ZERO(umem);

	umem_release(umem);
	return err;
}

static long get_error(struct device *dev, unsigned long addr, size_t len,
		      unsigned int flags)
{
	struct umem *umem = umem_get(dev, addr, len, flags, 0);
	long err = PTR_ERR_OR_ZERO(umem);

	umem_release(umem);
	return err;
}

static void refuses_bad_ranges(struct kunit *test)
{
	static struct stay s;

	if (!begin(test, &s))
		return;
	KUNIT_EXPECT_EQ(test, open_error(s.addr, 0, UMEM_WRITE), -EINVAL);
	KUNIT_EXPECT_EQ(test, open_error(s.addr, SIZE, 1 << 7), -EINVAL);
	KUNIT_EXPECT_EQ(test, open_error(s.addr, -s.addr, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, open_error(s.addr, UMEM_WHOLE_MM, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, open_error(TASK_SIZE_MAX, SIZE, 0), -EFAULT);
	KUNIT_EXPECT_EQ(test, open_error(TASK_SIZE_MAX - 1, 2, 0), -EFAULT);
	KUNIT_EXPECT_EQ(test, get_error(NULL, s.addr, 0, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, get_error(NULL, s.addr, SIZE, 1 << 7), -EINVAL);
	KUNIT_EXPECT_EQ(test, get_error(NULL, s.addr, -s.addr, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, open_error(s.addr, SIZE, UMEM_WRITE), 0);
	KUNIT_EXPECT_EQ(test, open_error(0, UMEM_WHOLE_MM, UMEM_WRITE), 0);
	KUNIT_EXPECT_EQ(test, get_error(NULL, s.addr, SIZE, UMEM_WRITE), 0);
	end(&s);
}

/* Both ways of opening answer a bad mapping with the same errno. */
static void refuses_bad_mappings(struct kunit *test)
{
	unsigned long hole, half, readonly;
	static struct stay s;

	if (!begin(test, &s))
		return;
	hole = s.addr + 4 * PAGE_SIZE;
	half = s.addr + 3 * PAGE_SIZE;
	readonly = s.addr;
	vm_munmap(hole, PAGE_SIZE);
	map(readonly, PAGE_SIZE, PROT_READ);
	KUNIT_EXPECT_EQ(test, open_error(hole, 1, 0), -EFAULT);
	KUNIT_EXPECT_EQ(test, open_error(half, PAGE_SIZE + 1, 0), -EFAULT);
	KUNIT_EXPECT_EQ(test, open_error(half, PAGE_SIZE, UMEM_WRITE), 0);
	KUNIT_EXPECT_EQ(test, open_error(s.addr, SIZE, 0), -EFAULT);
	KUNIT_EXPECT_EQ(test, open_error(readonly, 2 * PAGE_SIZE, UMEM_WRITE),
			-EFAULT);
	KUNIT_EXPECT_EQ(test, open_error(readonly, 2 * PAGE_SIZE, 0), 0);

	KUNIT_EXPECT_EQ(test, get_error(NULL, hole, 1, 0), -EFAULT);
	KUNIT_EXPECT_EQ(test, get_error(NULL, half, PAGE_SIZE + 1, 0),
			-EFAULT);
	KUNIT_EXPECT_EQ(test, get_error(NULL, half, PAGE_SIZE, UMEM_WRITE), 0);
	KUNIT_EXPECT_EQ(test, get_error(NULL, s.addr, SIZE, 0), -EFAULT);
	KUNIT_EXPECT_EQ(test, get_error(NULL, readonly, 2 * PAGE_SIZE,
					UMEM_WRITE), -EFAULT);
	KUNIT_EXPECT_EQ(test, get_error(NULL, readonly, 2 * PAGE_SIZE, 0), 0);
	end(&s);
}

static void check_bounds(struct kunit *test, struct umem *umem)
{
	char byte = 1;

	KUNIT_EXPECT_EQ(test, umem_write(umem, SIZE, &byte, 0), 0);
	KUNIT_EXPECT_EQ(test, umem_write(umem, SIZE - 1, &byte, 1), 0);
	KUNIT_EXPECT_EQ(test, umem_write(umem, SIZE, &byte, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, umem_write(umem, SIZE + 1, &byte, 0), -EFAULT);
	KUNIT_EXPECT_EQ(test, umem_write(umem, SIZE_MAX, &byte, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, umem_write(umem, 1, &byte, SIZE_MAX), -EFAULT);
	KUNIT_EXPECT_EQ(test, umem_read(umem, SIZE, &byte, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, umem_read_nowait(umem, SIZE, &byte, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, umem_write_nowait(umem, SIZE, &byte, 1),
			-EFAULT);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, SIZE, UMEM_ATOMIC_FAA, 1, 0,
					  NULL, false), -EFAULT);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, SIZE - 8, UMEM_ATOMIC_FAA, 1, 0,
					  NULL, false), 0);
}

static void keeps_to_the_range(struct kunit *test)
{
	struct umem *umem;
	static struct stay s;

	if (!begin(test, &s))
		return;
	umem = umem_open(s.addr, SIZE, UMEM_WRITE);
	check_bounds(test, umem);
	umem_release(umem);
	umem = umem_get(NULL, s.addr, SIZE, UMEM_WRITE, 0);
	check_bounds(test, umem);
	umem_release(umem);
	end(&s);
}

static void check_read_only(struct kunit *test, struct umem *umem)
{
	u64 word = 1;

	KUNIT_EXPECT_EQ(test, umem_read(umem, 0, &word, 8), 0);
	KUNIT_EXPECT_EQ(test, word, 0);
	KUNIT_EXPECT_EQ(test, umem_write(umem, 0, &word, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, umem_write_nowait(umem, 0, &word, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, 0, UMEM_ATOMIC_FAA, 1, 0, NULL,
					  false), -EFAULT);
}

/* Opened for reading is opened for reading, whatever the mapping allows. */
static void keeps_to_the_rights(struct kunit *test)
{
	struct umem *umem;
	static struct stay s;

	if (!begin(test, &s))
		return;
	umem = umem_open(s.addr, SIZE, UMEM_READ);
	check_read_only(test, umem);
	umem_release(umem);
	umem = umem_get(NULL, s.addr, SIZE, UMEM_READ, 0);
	check_read_only(test, umem);
	umem_release(umem);
	end(&s);
}

static void fill(u8 *buf, size_t len, u8 seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = seed + i * 7 + (i >> 8);
}

/* An odd number of bytes, at an odd place, over several pages. */
static void check_copies(struct kunit *test, struct umem *umem, u8 *a, u8 *b)
{
	const size_t off = PAGE_SIZE - 3, len = 3 * PAGE_SIZE + 7;
	u8 guard[2] = { 0xa5, 0xa5 }, seen;

	fill(a, len, 1);
	memset(b, 0, len);
	KUNIT_EXPECT_EQ(test, umem_write(umem, off - 1, guard, 1), 0);
	KUNIT_EXPECT_EQ(test, umem_write(umem, off + len, guard + 1, 1), 0);
	KUNIT_EXPECT_EQ(test, umem_write(umem, off, a, len), 0);
	KUNIT_EXPECT_EQ(test, umem_read(umem, off, b, len), 0);
	KUNIT_EXPECT_TRUE(test, !memcmp(a, b, len));

	fill(a, len, 99);
	memset(b, 0, len);
	KUNIT_EXPECT_EQ(test, umem_write_nowait(umem, off, a, len), 0);
	KUNIT_EXPECT_EQ(test, umem_read_nowait(umem, off, b, len), 0);
	KUNIT_EXPECT_TRUE(test, !memcmp(a, b, len));

	umem_read(umem, off - 1, &seen, 1);
	KUNIT_EXPECT_EQ(test, seen, 0xa5);
	umem_read(umem, off + len, &seen, 1);
	KUNIT_EXPECT_EQ(test, seen, 0xa5);
}

static void copies(struct kunit *test)
{
	u8 *a = kmalloc(SIZE, GFP_KERNEL), *b = kmalloc(SIZE, GFP_KERNEL);
	struct umem *umem;
	static struct stay s;

	if (!a || !b || !begin(test, &s))
		goto free;
	umem = umem_open(s.addr + 1, SIZE - 1, UMEM_WRITE);
	check_copies(test, umem, a, b);
	umem_release(umem);
	umem = umem_get(NULL, s.addr + 1, SIZE - 1, UMEM_WRITE, 0);
	check_copies(test, umem, a, b);
	umem_release(umem);
	umem = umem_open(0, UMEM_WHOLE_MM, UMEM_WRITE);
	KUNIT_EXPECT_EQ(test, umem_write(umem, s.addr, a, SIZE), 0);
	KUNIT_EXPECT_EQ(test, umem_read(umem, s.addr, b, SIZE), 0);
	KUNIT_EXPECT_TRUE(test, !memcmp(a, b, SIZE));
	KUNIT_EXPECT_EQ(test, umem_write(umem, TASK_SIZE_MAX, a, 1), -EFAULT);
	umem_release(umem);
	end(&s);
free:
	kfree(a);
	kfree(b);
}

/* Pages that are not there yet: _nowait says so, and the sleeper brings them. */
static void nowait_waits_for_nothing(struct kunit *test)
{
	struct umem *umem;
	static struct stay s;
	u64 word = 5;

	if (!begin(test, &s))
		return;
	umem = umem_open(s.addr, SIZE, UMEM_WRITE);
	KUNIT_EXPECT_EQ(test, umem_write_nowait(umem, 0, &word, 8), -EAGAIN);
	KUNIT_EXPECT_EQ(test, umem_read_nowait(umem, 0, &word, 8), -EAGAIN);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, 0, UMEM_ATOMIC_FAA, 1, 0, NULL,
					  true), -EAGAIN);
	KUNIT_EXPECT_EQ(test, umem_write(umem, 0, &word, 8), 0);
	KUNIT_EXPECT_EQ(test, umem_write_nowait(umem, 0, &word, 8), 0);
	KUNIT_EXPECT_EQ(test, umem_write_nowait(umem, PAGE_SIZE - 4, &word, 8),
			-EAGAIN);
	umem_release(umem);
	end(&s);
}

static void check_kvec(struct kunit *test, struct umem *umem, u8 *a, u8 *b)
{
	struct kvec to[4] = {
		{ b, 100 }, { b, 0 }, { b + 100, PAGE_SIZE }, { b, 0 },
	};
	struct kvec from[2] = { { a, 3 }, { a + 3, PAGE_SIZE + 97 } };
	struct iov_iter iter;

	iov_iter_kvec(&iter, ITER_SOURCE, from, 2, PAGE_SIZE + 100);
	KUNIT_EXPECT_EQ(test, umem_write_iter(umem, 11, &iter, PAGE_SIZE + 100,
					      false), 0);
	KUNIT_EXPECT_EQ(test, iov_iter_count(&iter), 0);
	iov_iter_kvec(&iter, ITER_DEST, to, 4, PAGE_SIZE + 100);
	KUNIT_EXPECT_EQ(test, umem_read_iter(umem, 11, &iter, PAGE_SIZE + 90,
					     true), 0);
	KUNIT_EXPECT_EQ(test, iov_iter_count(&iter), 10);
	KUNIT_EXPECT_TRUE(test, !memcmp(a, b, PAGE_SIZE + 90));
	KUNIT_EXPECT_EQ(test, umem_read_iter(umem, 0, &iter, 11, false),
			-EINVAL);
}

/* @b is page aligned: a piece that begins in one page and ends in the next. */
static void check_bvec(struct kunit *test, struct umem *umem, u8 *a, u8 *b)
{
	struct bio_vec to = {
		.bv_page	= virt_to_page(b),
		.bv_offset	= 100,
		.bv_len		= 2 * PAGE_SIZE - 200,
	};
	struct iov_iter iter;

	iov_iter_bvec(&iter, ITER_DEST, &to, 1, to.bv_len);
	KUNIT_EXPECT_EQ(test, umem_write(umem, 5, a, to.bv_len), 0);
	KUNIT_EXPECT_EQ(test, umem_read_iter(umem, 5, &iter, to.bv_len, false),
			0);
	KUNIT_EXPECT_TRUE(test, !memcmp(a, b + 100, to.bv_len));
}

/* The second page is not there: the first has been moved, and is accounted. */
static void check_short(struct kunit *test, unsigned long addr, u8 *b)
{
	struct umem *umem = umem_open(addr, 2 * PAGE_SIZE, UMEM_WRITE);
	struct kvec to[2] = { { b, PAGE_SIZE }, { b, PAGE_SIZE } };
	struct iov_iter iter;

	KUNIT_EXPECT_EQ(test, umem_write(umem, 0, b, PAGE_SIZE), 0);
	vm_munmap(addr + PAGE_SIZE, PAGE_SIZE);
	iov_iter_kvec(&iter, ITER_DEST, to, 2, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, umem_read_iter(umem, 0, &iter, 2 * PAGE_SIZE,
					     true), -EAGAIN);
	KUNIT_EXPECT_EQ(test, iov_iter_count(&iter), PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, umem_read_iter(umem, PAGE_SIZE, &iter, PAGE_SIZE,
					     false), -EFAULT);
	umem_release(umem);
}

static void iterates(struct kunit *test)
{
	u8 *a = kmalloc(SIZE, GFP_KERNEL), *b = kmalloc(SIZE, GFP_KERNEL);
	struct iov_iter iter;
	struct umem *umem;
	static struct stay s;

	if (!a || !b || !begin(test, &s))
		goto free;
	fill(a, SIZE, 17);
	umem = umem_open(s.addr, SIZE, UMEM_WRITE);
	check_kvec(test, umem, a, b);
	check_bvec(test, umem, a, b);
	iov_iter_discard(&iter, ITER_DEST, 8);
	KUNIT_EXPECT_EQ(test, umem_read_iter(umem, 0, &iter, 8, false),
			-EINVAL);
	umem_release(umem);
	check_short(test, s.addr, b);
	end(&s);
free:
	kfree(a);
	kfree(b);
}

static void check_atomics(struct kunit *test, struct umem *umem, bool nowait)
{
	u64 old, now;

	now = 10;
	umem_write(umem, 8, &now, 8);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, 8, UMEM_ATOMIC_FAA, 5, 0, &old,
					  nowait), 0);
	KUNIT_EXPECT_EQ(test, old, 10);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, 8, UMEM_ATOMIC_CAS, 7, 15, &old,
					  nowait), 0);
	KUNIT_EXPECT_EQ(test, old, 15);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, 8, UMEM_ATOMIC_CAS, 9, 15, &old,
					  nowait), 0);
	KUNIT_EXPECT_EQ(test, old, 7);
	umem_read(umem, 8, &now, 8);
	KUNIT_EXPECT_EQ(test, now, 7);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, 8, UMEM_ATOMIC_FAA, -8, 0, NULL,
					  nowait), 0);
	umem_read(umem, 8, &now, 8);
	KUNIT_EXPECT_EQ(test, now, U64_MAX);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, 8, UMEM_ATOMIC_WRITE, 3, 0,
					  NULL, nowait), 0);
	umem_read(umem, 8, &now, 8);
	KUNIT_EXPECT_EQ(test, now, 3);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, 12, UMEM_ATOMIC_WRITE, 3, 0,
					  NULL, nowait), -EINVAL);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, 8, UMEM_ATOMIC_WRITE + 1, 3, 0,
					  NULL, nowait), -EINVAL);
}

static void does_atomics(struct kunit *test)
{
	struct umem *umem;
	static struct stay s;
	u64 old;

	if (!begin(test, &s))
		return;
	umem = umem_open(s.addr, SIZE, UMEM_WRITE);
	check_atomics(test, umem, false);
	check_atomics(test, umem, true);
	/* a page of zeroes first read, then written: copy on write */
	umem_read(umem, PAGE_SIZE, &old, 8);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, PAGE_SIZE, UMEM_ATOMIC_FAA, 1,
					  0, &old, false), 0);
	KUNIT_EXPECT_EQ(test, old, 0);
	/* gone since the open */
	vm_munmap(s.addr + PAGE_SIZE, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, umem_atomic(umem, PAGE_SIZE, UMEM_ATOMIC_FAA, 1,
					  0, &old, false), -EFAULT);
	umem_release(umem);
	umem = umem_get(NULL, s.addr, PAGE_SIZE, UMEM_WRITE, 0);
	check_atomics(test, umem, false);
	check_atomics(test, umem, true);
	umem_release(umem);
	end(&s);
}

/* From a thread that is nowhere, only pinned memory can be reached. */
static void needs_the_owner(struct kunit *test)
{
	struct umem *pinned, *unpinned;
	static struct stay s;
	u64 word = 0;

	if (!begin(test, &s))
		return;
	unpinned = umem_open(s.addr, SIZE, UMEM_WRITE);
	pinned = umem_get(NULL, s.addr, SIZE, UMEM_WRITE, 0);
	umem_worker_leave(&s.worker);

	KUNIT_EXPECT_EQ(test, umem_read(unpinned, 0, &word, 8), -EAGAIN);
	KUNIT_EXPECT_EQ(test, umem_write(unpinned, 0, &word, 8), -EAGAIN);
	KUNIT_EXPECT_EQ(test, umem_atomic(unpinned, 0, UMEM_ATOMIC_FAA, 1, 0,
					  NULL, false), -EAGAIN);
	word = 77;
	KUNIT_EXPECT_EQ(test, umem_write_nowait(pinned, 0, &word, 8), 0);
	KUNIT_EXPECT_EQ(test, umem_atomic(pinned, 0, UMEM_ATOMIC_FAA, 1, 0,
					  NULL, true), 0);

	KUNIT_EXPECT_EQ(test, umem_worker_enter(&s.worker, umem_test_mm), 0);
	KUNIT_EXPECT_EQ(test, umem_read(unpinned, 0, &word, 8), 0);
	KUNIT_EXPECT_EQ(test, word, 78);
	umem_release(pinned);
	umem_release(unpinned);
	end(&s);
}

static void can_be_interrupted(struct kunit *test)
{
	struct umem_worker *w;
	static struct stay s;

	if (!begin(test, &s))
		return;
	w = &s.worker;
	KUNIT_EXPECT_TRUE(test, !fatal_signal_pending(current));
	umem_worker_interrupt(w);
	KUNIT_EXPECT_TRUE(test, fatal_signal_pending(current));
	umem_worker_leave(w);
	KUNIT_EXPECT_TRUE(test, !signal_pending(current));
	KUNIT_EXPECT_EQ(test, umem_worker_enter(w, umem_test_mm), -EINTR);
	KUNIT_EXPECT_TRUE(test, !signal_pending(current));
	KUNIT_EXPECT_TRUE(test, !current->mm);
	umem_worker_resume(w);
	KUNIT_EXPECT_EQ(test, umem_worker_enter(w, umem_test_mm), 0);
	end(&s);
	umem_worker_interrupt(w);
	KUNIT_EXPECT_TRUE(test, !signal_pending(current));
}

/* Every step of umem_get() fails once, and nothing stays charged or pinned. */
static void undoes_a_failed_pin(struct kunit *test)
{
	struct device *dev = umem_test_recorded();
	unsigned long huge;
	static struct stay s;
	u64 before;

	if (!begin(test, &s))
		return;
	before = atomic64_read(&current->mm->pinned_vm);

	/* the array of pages: more than can be allocated */
	huge = vm_mmap(NULL, 0, HUGE_RANGE, PROT_READ, MAP_PRIVATE |
		       MAP_ANONYMOUS | MAP_NORESERVE, 0);
	KUNIT_EXPECT_TRUE(test, !IS_ERR_VALUE(huge));
	KUNIT_EXPECT_EQ(test, get_error(NULL, huge, HUGE_RANGE, 0), -ENOMEM);
	vm_munmap(huge, HUGE_RANGE);
	/* a page in the middle: not mapped, which is seen before any is pinned */
	vm_munmap(s.addr + 4 * PAGE_SIZE, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, get_error(NULL, s.addr, SIZE, UMEM_WRITE),
			-EFAULT);
	map(s.addr + 4 * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE);
	if (dev) {
		/* the table: no page fits into a segment */
		umem_test_set_max_seg(512);
		KUNIT_EXPECT_EQ(test, get_error(dev, s.addr, SIZE, 0), -EINVAL);
		umem_test_set_max_seg(SZ_2G);
		/* the mapping: refused by the device */
		umem_test_dma.fail = true;
		KUNIT_EXPECT_EQ(test, get_error(dev, s.addr, SIZE, 0), -ENOMEM);
		KUNIT_EXPECT_TRUE(test, !umem_test_dma.fail);
	}
	/* a fatal signal */
	umem_worker_interrupt(&s.worker);
	KUNIT_EXPECT_EQ(test, get_error(NULL, s.addr, SIZE, 0), -EINTR);

	KUNIT_EXPECT_EQ(test, atomic64_read(&current->mm->pinned_vm), before);
	end(&s);
}

static void charges_while_pinned(struct kunit *test)
{
	struct umem *umem;
	static struct stay s;
	u64 before;

	if (!begin(test, &s))
		return;
	before = atomic64_read(&current->mm->pinned_vm);
	umem = umem_get(NULL, s.addr + PAGE_SIZE - 1, PAGE_SIZE + 2, 0, 0);
	KUNIT_EXPECT_EQ(test, umem_pinned_pages(umem), 3);
	KUNIT_EXPECT_EQ(test, atomic64_read(&current->mm->pinned_vm),
			before + 3);
	umem_release(umem);
	KUNIT_EXPECT_EQ(test, atomic64_read(&current->mm->pinned_vm), before);
	umem = umem_open(s.addr, SIZE, UMEM_WRITE);
	KUNIT_EXPECT_EQ(test, umem_pinned_pages(umem), 0);
	KUNIT_EXPECT_TRUE(test, !umem_sg_table(umem));
	KUNIT_EXPECT_EQ(test, atomic64_read(&current->mm->pinned_vm), before);
	umem_release(umem);
	end(&s);
}

/* The page under an address, whether it is pinned or not. */
static struct page *page_at(unsigned long addr)
{
	struct page *page = NULL;

	if (get_user_pages_fast(addr, 1, 0, &page) != 1)
		return NULL;
	put_page(page);
	return page;
}

static void pins_while_pinned(struct kunit *test)
{
	struct umem *umem;
	struct page *page;
	static struct stay s;
	char byte = 1;

	if (!begin(test, &s))
		return;
	umem = umem_get(NULL, s.addr, SIZE, UMEM_WRITE, 0);
	page = page_at(s.addr);
	KUNIT_EXPECT_TRUE(test, folio_maybe_dma_pinned(page_folio(page)));
	umem_release(umem);
	KUNIT_EXPECT_TRUE(test, !folio_maybe_dma_pinned(page_folio(page)));
	umem = umem_open(s.addr, SIZE, UMEM_WRITE);
	umem_write(umem, 0, &byte, 1);
	KUNIT_EXPECT_TRUE(test, !folio_maybe_dma_pinned(page_folio(page)));
	KUNIT_EXPECT_TRUE(test, page == page_at(s.addr));
	umem_release(umem);
	end(&s);
}

/*
 * Pinned for reading before it was ever written: the owner's first write must go
 * to the pinned page, and not to a copy.
 */
static void pin_for_reading_sees_writes(struct kunit *test)
{
	struct umem *pinned, *unpinned;
	static struct stay s;
	u64 word = 4711;

	if (!begin(test, &s))
		return;
	pinned = umem_get(NULL, s.addr, SIZE, UMEM_READ, 0);
	unpinned = umem_open(s.addr, SIZE, UMEM_WRITE);
	KUNIT_EXPECT_EQ(test, umem_write(unpinned, 24, &word, 8), 0);
	word = 0;
	KUNIT_EXPECT_EQ(test, umem_read(pinned, 24, &word, 8), 0);
	KUNIT_EXPECT_EQ(test, word, 4711);
	umem_release(unpinned);
	umem_release(pinned);
	end(&s);
}

/* The page at @addr is clean, and pinned, and let go: is it dirty then? */
static bool dirty_after(unsigned long addr, unsigned int flags)
{
	struct umem *umem = umem_get(NULL, addr, PAGE_SIZE, flags, 0);
	struct page *page = page_at(addr);

	folio_clear_dirty(page_folio(page));
	umem_release(umem);
	return folio_test_dirty(page_folio(page));
}

/* What a device writes to a pinned page no page table knows of: the release says so. */
static void release_leaves_pages_dirty(struct kunit *test)
{
	static struct stay s;

	if (!begin(test, &s))
		return;
	KUNIT_EXPECT_TRUE(test, dirty_after(s.addr, UMEM_WRITE));
	KUNIT_EXPECT_TRUE(test, !dirty_after(s.addr + PAGE_SIZE, UMEM_READ));
	end(&s);
}

static void check_table(struct kunit *test, struct umem *umem,
			unsigned long addr, size_t len, size_t max)
{
	struct scatterlist *sg;
	size_t total = 0;
	int i;

	KUNIT_EXPECT_EQ(test, umem_sg_table(umem)->sgl->offset,
			offset_in_page(addr));
	for_each_sgtable_sg(umem_sg_table(umem), sg, i) {
		KUNIT_EXPECT_TRUE(test, sg_page(sg) == page_at(addr + total));
		KUNIT_EXPECT_TRUE(test, sg->length <= max);
		total += sg->length;
	}
	KUNIT_EXPECT_EQ(test, total, len);
}

static void merges_pages(struct kunit *test)
{
	struct device *dev = umem_test_recorded();
	struct umem *umem;
	static struct stay s;

	if (!begin(test, &s))
		return;
	umem = umem_get(NULL, s.addr + 100, SIZE - 300, UMEM_WRITE, 0);
	check_table(test, umem, s.addr + 100, SIZE - 300, SIZE);
	umem_release(umem);
	if (dev) {
		umem_test_set_max_seg(PAGE_SIZE);
		umem = umem_get(dev, s.addr, SIZE, UMEM_WRITE, 0);
		check_table(test, umem, s.addr, SIZE, PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, umem_sg_table(umem)->nents, PAGES);
		umem_release(umem);
		umem_test_set_max_seg(SZ_2G);
	}
	end(&s);
}

static void check_mapping(struct kunit *test, unsigned long addr,
			  unsigned int flags, unsigned long attrs, int dir)
{
	struct umem_test_dma *dma = &umem_test_dma;
	struct umem *umem;

	memset(dma, 0, sizeof(*dma));
	umem = umem_get(umem_test_recorded(), addr, SIZE, flags, attrs);
	KUNIT_EXPECT_TRUE(test, !IS_ERR(umem));
	if (IS_ERR(umem))
		return;
	KUNIT_EXPECT_EQ(test, dma->maps, 1);
	KUNIT_EXPECT_EQ(test, dma->map_attrs, attrs);
	KUNIT_EXPECT_EQ(test, dma->dir, dir);
	KUNIT_EXPECT_EQ(test, sg_dma_address(umem_sg_table(umem)->sgl),
			sg_phys(umem_sg_table(umem)->sgl) ^ BIT_ULL(62));
	KUNIT_EXPECT_EQ(test, dma->unmaps, 0);
	umem_release(umem);
	KUNIT_EXPECT_EQ(test, dma->unmaps, 1);
	KUNIT_EXPECT_EQ(test, dma->unmap_attrs, attrs);
}

static void maps_with_the_given_attributes(struct kunit *test)
{
	static struct stay s;

	if (!umem_test_recorded())
		kunit_skip(test, "no DMA operations per device");
	if (!begin(test, &s))
		return;
	check_mapping(test, s.addr, UMEM_WRITE, 0, DMA_BIDIRECTIONAL);
	check_mapping(test, s.addr, UMEM_READ, 0, DMA_TO_DEVICE);
	check_mapping(test, s.addr, UMEM_WRITE, DMA_ATTR_WEAK_ORDERING,
		      DMA_BIDIRECTIONAL);
	check_mapping(test, s.addr, UMEM_WRITE, DMA_ATTR_SKIP_CPU_SYNC |
		      DMA_ATTR_NO_WARN, DMA_BIDIRECTIONAL);
	end(&s);
}

static void maps_directly(struct kunit *test)
{
	struct scatterlist *sg;
	struct umem *umem;
	static struct stay s;

	if (!begin(test, &s))
		return;
	umem = umem_get(umem_test_direct(), s.addr, SIZE, UMEM_WRITE, 0);
	KUNIT_EXPECT_TRUE(test, !IS_ERR(umem));
	if (!IS_ERR(umem)) {
		sg = umem_sg_table(umem)->sgl;
		KUNIT_EXPECT_TRUE(test, umem_sg_table(umem)->nents > 0);
		KUNIT_EXPECT_EQ(test, sg_dma_address(sg), sg_phys(sg));
	}
	umem_release(umem);
	end(&s);
}

struct kunit_case umem_test_cases[] = {
	KUNIT_CASE(refuses_bad_ranges),
	KUNIT_CASE(refuses_bad_mappings),
	KUNIT_CASE(keeps_to_the_range),
	KUNIT_CASE(keeps_to_the_rights),
	KUNIT_CASE(copies),
	KUNIT_CASE(nowait_waits_for_nothing),
	KUNIT_CASE(iterates),
	KUNIT_CASE(does_atomics),
	KUNIT_CASE(needs_the_owner),
	KUNIT_CASE(can_be_interrupted),
	KUNIT_CASE(undoes_a_failed_pin),
	KUNIT_CASE(charges_while_pinned),
	KUNIT_CASE(pins_while_pinned),
	KUNIT_CASE(pin_for_reading_sees_writes),
	KUNIT_CASE(release_leaves_pages_dirty),
	KUNIT_CASE(merges_pages),
	KUNIT_CASE(maps_with_the_given_attributes),
	KUNIT_CASE(maps_directly),
	{ }
};
