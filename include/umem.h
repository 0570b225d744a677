/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * User memory for RDMA drivers: pinned, or not pinned, and a way to the bytes
 * either way.
 *
 * Glossary
 *	umem		one range of one process's memory, or of a dma-buf, opened
 *			by a driver
 *	owner		the mm whose addresses the range is made of
 *	pinned		every page held long term, charged to RLIMIT_MEMLOCK
 *	unpinned	nothing held per page; each access goes through the
 *			owner's page tables, faults included
 *	resident	an unpinned page that the kernel has in memory, and has not
 *			taken back: a note of it, which holds nothing, is a way to
 *			the bytes for whoever is not on the owner's page tables
 *	stay		a worker's time in an owner's mm
 *
 * The rule of contexts: who may call what
 *	owner's own system call	sleeping flavour
 *	softirq, timer, atomic	_nowait flavour only
 *	worker			sleeping flavour, between umem_worker_enter() and
 *				umem_worker_leave()
 *
 * A _nowait accessor that answers -EAGAIN has lost nothing: hand the work to a
 * worker that enters umem->mm and call the sleeping flavour there. An accessor
 * that fails half-way may have moved part of the bytes; doing it again is right.
 * When the owner is dead umem_worker_enter() says so (-ESRCH), and the access has
 * failed: the accessors can't tell, and answer -EAGAIN.
 */
#ifndef UMEM_H
#define UMEM_H

#include <linux/spinlock_types.h>
#include <linux/timer.h>
#include <linux/types.h>

struct device;
struct iov_iter;
struct mem_cgroup;
struct mm_struct;
struct sg_table;
struct task_struct;
struct umem_dmabuf;
struct umem_pinned;
struct umem_resident;

/**
 * enum umem_flags - how a range is opened
 * @UMEM_READ: it will only be read
 * @UMEM_WRITE: it may be written
 * @UMEM_PERSISTENT: only if all of it can be made to outlive the machine; see
 *		     umem_persist(). Part of an address space only, and not pinned
 */
enum umem_flags {
	UMEM_READ	= 0,
	UMEM_WRITE	= 1 << 0,
	UMEM_PERSISTENT	= 1 << 1,
};

/* The range is the owner's whole address space: offset is address. */
#define UMEM_WHOLE_MM	SIZE_MAX

/**
 * struct umem - a range of user memory
 * @mm: the owner; held by mmgrab(), so the struct is valid while the umem is,
 *	but the address space behind it may be gone. NULL for a dma-buf
 * @addr: user address of the first byte; its offset in a dma-buf
 * @length: bytes in the range
 * @writable: opened with UMEM_WRITE
 * @pinned: pages, scatter table and DMA mapping; NULL when nothing is pinned
 * @dmabuf: the buffer and its mapping; NULL for a process's memory
 * @resident: pages known to be mapped, copied from without a fault; NULL until
 *	    the first prefetch, or access that was handed to a worker
 *
 * The fields are constant after the open, @resident excepted.
 */
struct umem {
	struct mm_struct	*mm;
	unsigned long		addr;
	size_t			length;
	bool			writable;
	struct umem_pinned	*pinned;
	struct umem_dmabuf	*dmabuf;
	struct umem_resident	*resident;
};

/**
 * umem_get - pin user memory of the calling process
 * @dma_dev: device to DMA-map the pages for, or NULL when no DMA is done
 * @addr: user address of the first byte; need not be page aligned
 * @length: bytes; not 0
 * @flags: enum umem_flags
 * @dma_attrs: DMA_ATTR_* passed to the mapping as they are
 *
 * The pages are pinned long term (FOLL_LONGTERM) and charged to the caller's
 * pinned_vm; whether RLIMIT_MEMLOCK allows that is not asked of who has CAP_IPC_LOCK.
 * Contiguous pages are merged in the scatter table.
 *
 * The accessors below work on the pages, and do not dma_sync_sgtable_*() for a device
 * whose mapping needs that: their caller has to.
 *
 * Context: process, may sleep; a fatal signal ends it.
 * Return: the umem, to be given to umem_release(), or ERR_PTR():
 * -EINVAL (range empty or wraps, unknown flags), -ENOMEM (limit or memory), -EFAULT
 * (unmapped, or not writable with UMEM_WRITE), -EOPNOTSUPP (a file that can't be pinned
 * long term), -EINTR, and what dma_map_sgtable() says.
 */
struct umem *umem_get(struct device *dma_dev, unsigned long addr, size_t length,
		      unsigned int flags, unsigned long dma_attrs);

/**
 * umem_open - open user memory of the calling process without pinning it
 * @addr: user address of the first byte
 * @length: bytes, not 0; UMEM_WHOLE_MM (with @addr 0) for all of the process
 * @flags: enum umem_flags
 *
 * Costs O(VMAs) and holds nothing per page. The range must be mapped now, and be
 * writable with UMEM_WRITE, so that a bad registration fails at once, as in
 * umem_get(). What pinning refuses for its own reasons, a copy does not: device
 * memory mapped into the process, files on DAX.
 *
 * Context: process, may sleep.
 * Return: the umem, to be given to umem_release(), or ERR_PTR():
 * -EINVAL (also for @UMEM_PERSISTENT and memory that is none), -ENOMEM, -EFAULT, -EINTR.
 */
struct umem *umem_open(unsigned long addr, size_t length, unsigned int flags);

/**
 * umem_get_dmabuf - map a range of a dma-buf
 * @fd: the caller's file descriptor of it
 * @offset: in the buffer, of the first byte
 * @length: bytes, not 0
 * @flags: enum umem_flags
 *
 * The exporter keeps the buffer in place, in whatever way it does that; nothing is
 * charged to the caller. Every accessor works from any context, except that atomic
 * operations fail with -EFAULT where the buffer is device memory.
 *
 * Context: process, may sleep; without the buffer's reservation held.
 * Return: the umem, to be given to umem_release(), or ERR_PTR(): -EBADF, -EINVAL
 * (no dma-buf, out of its range, or its exporter has no mapping to offer), -EACCES
 * (open for reading only, with UMEM_WRITE), -ENOMEM, -EOPNOTSUPP (a kernel without), and
 * what the exporter says.
 */
struct umem *umem_get_dmabuf(int fd, unsigned long offset, size_t length,
			     unsigned int flags);

/**
 * umem_release - close a range
 * @umem: from umem_get(), umem_open() or umem_get_dmabuf(); may be NULL or ERR_PTR()
 *
 * Unmaps, dirties (when writable), unpins and uncharges; works after the owner's
 * exit. No access may be under way.
 *
 * Context: may sleep, until a change of the owner's mappings that is under way has
 * ended; without its mmap_lock held.
 */
void umem_release(struct umem *umem);

/**
 * umem_sg_table - the scatter table of a pinned range
 * @umem: from umem_get()
 *
 * Context: any.
 * Return: the table, DMA-mapped if a device was given; NULL when unpinned.
 */
struct sg_table *umem_sg_table(const struct umem *umem);

/**
 * umem_pinned_pages - pages this range holds pinned
 * @umem: any range
 *
 * Context: any.
 * Return: number of pages, 0 when unpinned.
 */
unsigned long umem_pinned_pages(const struct umem *umem);

/**
 * umem_resident_pages - pages of an unpinned range that are known to be resident
 * @umem: any range
 *
 * Nothing holds them where they are; they can be reached without waiting until
 * the kernel takes one of them away.
 *
 * Context: any.
 * Return: number of pages.
 */
unsigned long umem_resident_pages(const struct umem *umem);

/**
 * umem_lost_pages - how often the kernel took such a page away
 * @umem: any range
 *
 * Context: any.
 * Return: number of pages since the open.
 */
u64 umem_lost_pages(const struct umem *umem);

/**
 * enum umem_fetch - what umem_prefetch() brings in
 * @UMEM_FETCH_READ: all pages, for reading
 * @UMEM_FETCH_WRITE: all pages, for writing: no page is shared any more
 * @UMEM_FETCH_PRESENT: no page; those there become known as resident
 */
enum umem_fetch {
	UMEM_FETCH_READ,
	UMEM_FETCH_WRITE,
	UMEM_FETCH_PRESENT,
};

/**
 * umem_prefetch - bring pages in ahead of an access
 * @umem: the range
 * @off: offset of the first byte
 * @len: bytes, any number
 * @how: see the enum
 *
 * Changes no byte. The pages are then known as resident, as many as the range has
 * notes for, and can leave again at any time. Does nothing for a pinned range or a
 * dma-buf.
 *
 * Context: may sleep; the caller runs on the owner's mm. A fatal signal, or
 * umem_worker_interrupt(), ends it.
 * Return: number of pages that are there now: with UMEM_FETCH_PRESENT those that became
 * known as resident, else all that the bytes are on; 0 for a pinned range or a dma-buf.
 * -EFAULT (out of the range, unmapped, read-only, fault interrupted); -EINTR; -EAGAIN
 * when the caller is not on the owner's mm.
 */
long umem_prefetch(struct umem *umem, size_t off, size_t len,
		   enum umem_fetch how);

/**
 * umem_persist - have what was written outlive the machine
 * @umem: the range, not pinned
 * @off: offset of the first byte
 * @len: bytes, any number
 *
 * As msync(2) with MS_SYNC, for shared mappings of files that are on storage; whether by
 * way of the page cache or of DAX. What else is mapped there can't be made to last.
 *
 * Context: may sleep, as long as the storage takes; the caller runs on the owner's mm.
 * Return: 0; -EFAULT (out of the range, nothing that lasts, pinned, a dma-buf); -EINTR;
 * -EAGAIN when the caller is not on the owner's mm; and what the file system says (-EIO).
 */
int umem_persist(struct umem *umem, size_t off, size_t len);

/**
 * umem_read - copy from a range to a kernel buffer, may fault
 * @umem: the range
 * @off: offset of the first byte in the range
 * @dst: kernel buffer
 * @len: bytes, at most INT_MAX
 *
 * Context: may sleep; the caller runs on the owner's mm, or @umem is pinned or a
 * dma-buf.
 * Return: 0; -EFAULT (out of the range, unmapped, read-only, worker interrupted);
 * -EAGAIN when the caller is not on the owner's mm.
 */
int umem_read(struct umem *umem, size_t off, void *dst, size_t len);

/**
 * umem_write - copy from a kernel buffer to a range, may fault
 * @umem: the range, opened with UMEM_WRITE
 * @off: offset of the first byte in the range
 * @src: kernel buffer
 * @len: bytes, at most INT_MAX
 *
 * Context: as umem_read().
 * Return: as umem_read().
 */
int umem_write(struct umem *umem, size_t off, const void *src, size_t len);

/**
 * umem_read_nowait - as umem_read(), never sleeping
 * @umem: the range
 * @off: offset of the first byte in the range
 * @dst: kernel buffer
 * @len: bytes, at most INT_MAX
 *
 * Context: any but hard interrupt and NMI.
 * Return: as umem_read(); -EAGAIN when a worker has to do it.
 */
int umem_read_nowait(struct umem *umem, size_t off, void *dst, size_t len);

/**
 * umem_write_nowait - as umem_write(), never sleeping
 * @umem: the range, opened with UMEM_WRITE
 * @off: offset of the first byte in the range
 * @src: kernel buffer
 * @len: bytes, at most INT_MAX
 *
 * Context: any but hard interrupt and NMI.
 * Return: as umem_read_nowait().
 */
int umem_write_nowait(struct umem *umem, size_t off, const void *src,
		      size_t len);

/**
 * umem_move_nowait - copy from one range straight into another
 * @dst: where to
 * @doff: offset of the first byte there
 * @src: where from
 * @soff: likewise
 * @len: bytes, at most INT_MAX
 *
 * Never sleeps, and takes no buffer in between: one of the two must be pinned, or
 * resident while the caller runs on the other one's owner.
 *
 * Context: any but hard interrupt and NMI.
 * Return: 0; -EFAULT (out of a range, read-only); -EAGAIN when it has to be done in
 * two steps, which says nothing about either range.
 */
int umem_move_nowait(struct umem *dst, size_t doff, struct umem *src,
		     size_t soff, size_t len);

/**
 * umem_at_hand - could a _nowait accessor reach a range here, as far as we know?
 * @umem: the range
 * @off: offset of the first byte
 * @len: bytes, not 0, in the range
 * @write: to write it, else to read
 *
 * In a worker only what any other context could reach: its own way to the rest is the
 * sleeping one, after which the others have one, too.
 *
 * Context: any but hard interrupt and NMI.
 * Return: a hint, true or not a moment later.
 */
bool umem_at_hand(struct umem *umem, size_t off, size_t len, bool write);

/**
 * umem_read_iter - copy from a range to what an iov_iter says
 * @umem: the range
 * @off: offset of the first byte in the range
 * @iter: of kernel memory (ITER_KVEC or ITER_BVEC), with @len bytes left at
 *	  least; advanced by what was moved, even on failure
 * @len: bytes, at most INT_MAX
 * @nowait: never sleep
 *
 * For drivers whose bytes are in pieces: bio_vecs, or the fragments of an skb.
 *
 * Context: as umem_read(), or umem_read_nowait() if @nowait.
 * Return: likewise; -EINVAL for another kind of @iter or one too short.
 */
int umem_read_iter(struct umem *umem, size_t off, struct iov_iter *iter,
		   size_t len, bool nowait);

/**
 * umem_write_iter - copy from what an iov_iter says to a range
 * @umem: the range, opened with UMEM_WRITE
 * @off: offset of the first byte in the range
 * @iter: as for umem_read_iter()
 * @len: bytes, at most INT_MAX
 * @nowait: never sleep
 *
 * Context: as umem_read_iter().
 * Return: as umem_read_iter().
 */
int umem_write_iter(struct umem *umem, size_t off, struct iov_iter *iter,
		    size_t len, bool nowait);

/**
 * enum umem_atomic_op - operations on 8 bytes of user memory, in host byte order
 * @UMEM_ATOMIC_CAS: store the first operand if the old value equals the second
 * @UMEM_ATOMIC_FAA: add the first operand
 * @UMEM_ATOMIC_WRITE: store the first operand; no old value needed
 */
enum umem_atomic_op {
	UMEM_ATOMIC_CAS,
	UMEM_ATOMIC_FAA,
	UMEM_ATOMIC_WRITE,
};

/**
 * umem_atomic - one atomic operation on 8 aligned bytes of a range
 * @umem: the range, opened with UMEM_WRITE
 * @off: offset; the address must be a multiple of 8
 * @op: what to do
 * @a: first operand, see enum umem_atomic_op
 * @b: second operand
 * @old: the value before, may be NULL
 * @nowait: never sleep
 *
 * Atomic against the owner's own atomic instructions on that word. No page is
 * held.
 *
 * Context: as umem_write(), or umem_write_nowait() if @nowait.
 * Return: likewise; -EINVAL when not aligned.
 */
int umem_atomic(struct umem *umem, size_t off, enum umem_atomic_op op, u64 a,
		u64 b, u64 *old, bool nowait);

/**
 * struct umem_worker - one kernel thread's stay in an owner's mm
 * @lock: guards @task and @stop
 * @task: the thread that is inside, or NULL
 * @mm: the mm it is in, held by mmget() for the stay
 * @watch: looks now and then whether @mm is still anybody's
 * @memcg: the owner's memory control group, which pays for what a fault takes
 * @before: whom the thread charged before
 * @keys: the thread's own rights by protection key, to be given back
 * @stop: enter no more
 */
struct umem_worker {
	spinlock_t		lock;	/* guards @task and @stop */
	struct task_struct	*task;
	struct mm_struct	*mm;
	struct timer_list	watch;
	struct mem_cgroup	*memcg;
	struct mem_cgroup	*before;
	u32			keys;
	bool			stop;
};

/**
 * umem_worker_init - a worker that is in no mm yet
 * @w: the worker
 *
 * Context: any.
 */
void umem_worker_init(struct umem_worker *w);

/**
 * umem_worker_enter - let this kernel thread (a work item will do) use @mm
 * @w: the worker; not inside yet
 * @mm: the owner, held by mmgrab() at least
 *
 * Once per batch of accesses. While inside, the thread is killable by
 * umem_worker_interrupt() and umem_worker_break() only. When the last process leaves
 * @mm, a fault under way ends as by umem_worker_break(), within a tenth of a second; not
 * on a kernel without CONFIG_MEMCG, which does not tell.
 *
 * Context: a kernel thread, may sleep.
 * Return: 0; -ESRCH when the owner's address space is gone, or no process runs on
 * it any more; -EINTR after umem_worker_interrupt(); -EINVAL for a thread that is in an
 * mm already.
 */
int umem_worker_enter(struct umem_worker *w, struct mm_struct *mm);

/**
 * umem_worker_leave - end the stay
 * @w: the worker, inside
 *
 * Context: may sleep (last user of the mm).
 */
void umem_worker_leave(struct umem_worker *w);

/**
 * umem_worker_interrupt - end a fault that takes its time, for tear-down
 * @w: the worker
 *
 * A fault under way (userfaultfd, FUSE, swap) ends with -EFAULT as soon as it
 * can be killed, and no umem_worker_enter() succeeds until umem_worker_resume().
 * Does not wait.
 *
 * Context: any.
 */
void umem_worker_interrupt(struct umem_worker *w);

/**
 * umem_worker_break - end a fault that takes its time, and no more than that
 * @w: the worker
 *
 * As umem_worker_interrupt(), but the worker may enter again. What it does until it
 * leaves fails where it would have to wait, with signal_pending() in its thread.
 *
 * Context: any.
 */
void umem_worker_break(struct umem_worker *w);

/**
 * umem_worker_resume - allow stays again after umem_worker_interrupt()
 * @w: the worker
 *
 * Context: any.
 */
void umem_worker_resume(struct umem_worker *w);

#endif /* UMEM_H */
