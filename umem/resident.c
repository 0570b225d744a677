// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Pages known to be resident: a way to unpinned memory for a softirq that runs in
 * somebody else's mm.
 *
 * When a worker had to make an access, the pages it touched are noted here, and
 * the next access from anywhere finds them. No reference is held on them. What
 * makes that safe is the MMU notifier, and this is the proof:
 *
 *  1. Whoever takes a page away from an address, or a right to it, calls the
 *     notifier before changing the page table: unmapping, truncation, reclaim,
 *     migration, copy-on-write and what prepares it (fork, KSM), mprotect,
 *     madvise, the end of the mm.
 *  2. A page is noted only if the page table had it after
 *     mmu_interval_read_begin() and no invalidation has begun since, both
 *     decided under @lock; and the invalidation takes @lock to forget.
 *  3. A page is touched only under @lock and only while it is noted. So until
 *     the touching is over, the invalidation has not returned, the page table
 *     still has the page, and the page cannot have been freed.
 *
 * Writing has to leave a trace, as the page must not be dropped as clean. A page is
 * noted as writable after a store through the owner's address, made since (2) began:
 * its page table entry is writable and dirty. (A fault for writing would not do. It may
 * end with the entry writable and clean, as the store that it is for comes after it.)
 * Whoever cleans the entry (writeback, MADV_FREE) calls the notifier before, so for as
 * long as the page is noted, the entry says dirty, and nothing else needs to. Only if
 * translations of the old entry are not yet flushed can a store go by one of these, and
 * leave the entry clean.
 *
 * What was never written of anonymous memory is noted as well, as read-only. Its page
 * table entries name the kernel's pages of zeroes, small or huge, which are nobody's and
 * are never freed while an entry names them. (1) holds for such an entry as for any: the
 * owner's first store is a copy-on-write.
 *
 * The notes are a table with one place for each page number modulo its size: a
 * bounded amount of memory, which grows while pages drive each other out.
 */
#include <linux/log2.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmu_notifier.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "private.h"

#define MIN_NOTES	16UL
#define FIRST_NOTES	64UL
#define MAX_NOTES	65536U
#define GROWTH		4
#define BATCH		16UL

/*
 * The notes of all ranges together: not more than 1/1024 of the memory. A quarter of that
 * is for the first notes of each range; and of the rest, what is more for one range is
 * half of what is left at most. So there are always some for the next one.
 */
#define ALL_NOTES	(totalram_pages() * (PAGE_SIZE / sizeof(struct note)) / 1024)
#define MORE_NOTES	(ALL_NOTES / 4 * 3)

/* The lowest bit of a struct page's address. */
#define WRITABLE	1UL

/**
 * struct note - one page known to be resident
 * @vpn: user address / PAGE_SIZE
 * @page: struct page there, | WRITABLE; 0 when this place is free
 */
struct note {
	unsigned long	vpn;
	unsigned long	page;
};

/**
 * struct umem_resident - the pages of a range known to be resident
 * @lock: guards all but @mni's own; taken by readers for the time they touch a
 *	  page. Softirq only reads, and gets in beside a reader that it interrupts
 * @notes: the table
 * @size: places in @notes, a power of two
 * @used: places taken
 * @crowded: one note has driven out another
 * @lost: pages forgotten because the kernel took them away
 * @mni: tells of what happens to the range
 */
struct umem_resident {
	rwlock_t			lock;
	struct note			*notes;
	unsigned int			size;
	unsigned int			used;
	bool				crowded;
	u64				lost;
	struct mmu_interval_notifier	mni;
};

static atomic_long_t all_notes;

static struct note *place(struct umem_resident *r, unsigned long vpn)
{
	lockdep_assert_held(&r->lock);
	return &r->notes[vpn & (r->size - 1)];
}

static void clear(struct umem_resident *r, struct note *note)
{
	lockdep_assert_held_write(&r->lock);
	note->page = 0;
	r->used--;
	r->lost++;
}

static struct page *find(struct umem_resident *r, unsigned long vpn,
			 enum umem_dir dir)
{
	const struct note *note = place(r, vpn);

	if (!note->page || note->vpn != vpn)
		return NULL;
	if (dir == TO_USER && !(note->page & WRITABLE))
		return NULL;
	return (struct page *)(note->page & ~WRITABLE);
}

static void insert(struct umem_resident *r, unsigned long vpn,
		   unsigned long page)
{
	struct note *note = place(r, vpn);

	lockdep_assert_held_write(&r->lock);
	if (!note->page)
		r->used++;
	else if (note->vpn == vpn)
		page |= note->page & WRITABLE;
	else
		r->crowded = true;
	*note = (struct note){ .vpn = vpn, .page = page };
}

/* Forget the pages first...last: by number, or, when there are many, by place. */
static void forget(struct umem_resident *r, unsigned long first,
		   unsigned long last)
{
	const bool few = last - first < r->size;
	unsigned long i, n = few ? last - first + 1 : r->size;
	struct note *note;

	lockdep_assert_held_write(&r->lock);
	for (i = 0; i < n && r->used; i++) {
		note = few ? place(r, first + i) : &r->notes[i];
		if (note->page && note->vpn >= first && note->vpn <= last)
			clear(r, note);
	}
}

/* Never sleeps, so that any invalidation can be served. */
static bool invalidate(struct mmu_interval_notifier *mni,
		       const struct mmu_notifier_range *range,
		       unsigned long seq)
{
	struct umem_resident *r = container_of(mni, struct umem_resident, mni);

	write_lock_bh(&r->lock);
	mmu_interval_set_seq(mni, seq);
	forget(r, range->start >> PAGE_SHIFT, (range->end - 1) >> PAGE_SHIFT);
	write_unlock_bh(&r->lock);
	return true;
}

static const struct mmu_interval_notifier_ops notifier_ops = {
	.invalidate	= invalidate,
};

/* Hints: in a control group that is full nobody is to be killed to make room for them. */
static struct note *alloc_notes(unsigned int n)
{
	struct note *notes = NULL;

	if (atomic_long_add_return(n, &all_notes) <= ALL_NOTES)
		notes = kvcalloc(n, sizeof(*notes),
				 GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_NORETRY);
	if (!notes)
		atomic_long_sub(n, &all_notes);
	return notes;
}

static void free_notes(struct note *notes, unsigned int n)
{
	if (notes)
		atomic_long_sub(n, &all_notes);
	kvfree(notes);
}

/* As far as one can tell: others grow at the same time. */
static bool may_grow(unsigned int size)
{
	unsigned long taken = atomic_long_read(&all_notes);

	return size < MAX_NOTES && taken < MORE_NOTES &&
	       size * GROWTH <= (MORE_NOTES - taken) / 2;
}

/* Another worker may be at it, too: one of the two tables is used. */
static void grow(struct umem_resident *r)
{
	unsigned int i, size = READ_ONCE(r->size);
	struct note *old, *new;

	if (!may_grow(size))
		return;
	new = alloc_notes(size * GROWTH);

	write_lock_bh(&r->lock);
	/* Else there is no room: tried again when one has driven out another again. */
	r->crowded = false;
	old = new;
	if (new && r->size == size) {
		old = r->notes;
		r->notes = new;
		r->size *= GROWTH;
		r->used = 0;
		for (i = 0; i < size; i++)
			if (old[i].page)
				insert(r, old[i].vpn, old[i].page);
	}
	write_unlock_bh(&r->lock);
	free_notes(old, old == new ? size * GROWTH : size);
}

static void watch_range(const struct umem *umem, unsigned long *start,
			unsigned long *length)
{
	*start = umem->addr & PAGE_MASK;
	if (umem->length == UMEM_WHOLE_MM)
		*length = TASK_SIZE_MAX;
	else
		*length = PAGE_ALIGN(umem->addr + umem->length) - *start;
}

/* On the owner's mm, which is held by mmget(). */
static int watch(struct umem_resident *r, const struct umem *umem)
{
	unsigned long start, length;
	int err;

	watch_range(umem, &start, &length);
	err = mmap_write_lock_killable(umem->mm);
	if (err)
		return err;
	err = mmu_interval_notifier_insert_locked(&r->mni, umem->mm, start,
						  length, &notifier_ops);
	mmap_write_unlock(umem->mm);
	return err;
}

static void destroy(struct umem_resident *r)
{
	free_notes(r->notes, r->size);
	kfree(r);
}

/* So few that a range with less pages than that has one for each. */
static unsigned int first_notes(const struct umem *umem)
{
	unsigned long start, length;

	watch_range(umem, &start, &length);
	return roundup_pow_of_two(clamp(length >> PAGE_SHIFT, MIN_NOTES, FIRST_NOTES));
}

static struct umem_resident *create(const struct umem *umem)
{
	struct umem_resident *r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);

	if (!r)
		return NULL;
	rwlock_init(&r->lock);
	r->size = first_notes(umem);
	r->notes = alloc_notes(r->size);
	if (r->notes && !watch(r, umem))
		return r;
	destroy(r);
	return NULL;
}

static struct umem_resident *resident_of(const struct umem *umem)
{
	/* Pairs with cmpxchg() in provide(): what we see is complete. */
	return smp_load_acquire(&umem->resident);
}

/* Two workers may come here at once: one of the two is used. */
static struct umem_resident *provide(struct umem *umem)
{
	struct umem_resident *r = resident_of(umem);
	struct umem_resident *other;

	if (r)
		return r;
	r = create(umem);
	if (!r)
		return NULL;
	other = cmpxchg(&umem->resident, NULL, r);
	if (!other)
		return r;
	mmu_interval_notifier_remove(&r->mni);
	destroy(r);
	return other;
}

/*
 * To be called before pages are touched that are to be noted; @visit is what
 * umem_visit_end() needs of it.
 */
void umem_visit_begin(struct umem *umem, struct umem_visit *visit)
{
	visit->resident = provide(umem);
	if (!visit->resident)
		return;
	visit->seq = mmu_interval_read_begin(&visit->resident->mni);
	/* Who cleans entries has raised this before he called the notifier. */
	visit->stale = mm_tlb_flush_pending(umem->mm);
}

/*
 * The same before an access, which only a worker's leaves notes: anybody else's
 * was not handed over, so the next one will not be, either.
 */
void umem_visit_begin_access(struct umem *umem, struct umem_visit *visit)
{
	visit->resident = NULL;
	if (current->flags & PF_KTHREAD)
		umem_visit_begin(umem, visit);
}

/*
 * The slow walk, for what the fast one does not find of anonymous memory: pages of zeroes.
 * It brings in none. (Of 6.1 it would, of hugetlbfs.)
 */
static long find_zeroes(unsigned long addr, unsigned int n, struct page **pages)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long there;
	long got = 0;

	if (!mmap_read_trylock(mm))
		return 0;
	vma = vma_lookup(mm, addr);
	if (vma && vma_is_anonymous(vma)) {
		there = (vma->vm_end - addr) >> PAGE_SHIFT;
		got = compat_get_user_pages(addr, min_t(unsigned long, n, there),
					    FOLL_NOFAULT, pages);
	}
	mmap_read_unlock(mm);
	return got;
}

/*
 * The fast walk of the page tables refuses what has no struct page, or none that
 * the kernel's own mapping shows, and ends there. The references are gone before we
 * return: how many pages are seen to. @noted goes up by how many are noted.
 */
static unsigned int note_pages(const struct umem_visit *visit,
			       unsigned long vpn, unsigned int n,
			       enum umem_dir dir, unsigned long *noted)
{
	const unsigned int flags = dir == TO_USER ? FOLL_WRITE : 0;
	const unsigned long right = dir == TO_USER ? WRITABLE : 0;
	struct umem_resident *r = visit->resident;
	struct page *pages[BATCH];
	long i, got;

	got = get_user_pages_fast_only(vpn << PAGE_SHIFT, n, flags, pages);
	if (got <= 0 && dir == FROM_USER)
		got = find_zeroes(vpn << PAGE_SHIFT, n, pages);
	if (got <= 0)
		return 1;
	write_lock_bh(&r->lock);
	if (mmu_interval_read_retry(&r->mni, visit->seq))
		goto unlock;
	for (i = 0; i < got; i++) {
		if (is_zone_device_page(pages[i]))
			continue;
		insert(r, vpn + i, (unsigned long)pages[i] | right);
		++*noted;
	}
unlock:
	write_unlock_bh(&r->lock);
	for (i = 0; i < got; i++)
		put_page(pages[i]);
	return got;
}

/* Return: how many pages are noted. */
unsigned long umem_visit_end(struct umem *umem, const struct umem_visit *visit,
			     size_t off, size_t len, enum umem_dir dir)
{
	unsigned long vpn = (umem->addr + off) >> PAGE_SHIFT;
	unsigned long left = umem_pages(umem, off, len);
	unsigned long noted = 0;
	unsigned int n;

	if (!visit->resident)
		return 0;
	if (visit->stale)
		dir = FROM_USER;
	for (left = min_t(unsigned long, left, MAX_NOTES); left; left -= n) {
		if (READ_ONCE(visit->resident->crowded))
			grow(visit->resident);
		n = note_pages(visit, vpn, min(left, BATCH), dir, &noted);
		vpn += n;
	}
	return noted;
}

/* The other end of a copy: kernel memory, or user memory of who runs. */
struct far_end {
	void		*kernel;
	void __user	*user;
};

/* Return: 0; -EAGAIN when the user memory is not there without a fault. */
static int exchange_page(struct page *page, size_t at, struct far_end far, size_t n,
		     enum umem_dir dir)
{
	void *addr = page_address(page) + at;
	unsigned long left = 0;

	if (far.kernel)
		memcpy(dir == TO_USER ? addr : far.kernel,
		       dir == TO_USER ? far.kernel : addr, n);
	else if (dir == TO_USER)
		left = __copy_from_user_inatomic(addr, far.user, n);
	else
		left = __copy_to_user_inatomic(far.user, addr, n);
	return left ? -EAGAIN : 0;
}

/* Any context but hard interrupt. Return: 0; -EAGAIN for a page not noted. */
static int copy_pages(struct umem *umem, size_t off, struct far_end far,
		      size_t len, enum umem_dir dir)
{
	struct umem_resident *r = resident_of(umem);
	unsigned long addr = umem->addr + off;
	struct page *page;
	int err = -EAGAIN;
	size_t at, n;

	if (!r)
		return err;
	for (; len; addr += n, len -= n) {
		at = offset_in_page(addr);
		n = min_t(size_t, len, PAGE_SIZE - at);
		read_lock(&r->lock);
		page = find(r, addr >> PAGE_SHIFT, dir);
		err = page ? exchange_page(page, at, far, n, dir) : -EAGAIN;
		read_unlock(&r->lock);
		if (err)
			break;
		if (far.kernel)
			far.kernel += n;
		else
			far.user += n;
	}
	return err;
}

int umem_resident_copy(struct umem *umem, size_t off, void *buf, size_t len,
		       enum umem_dir dir)
{
	return copy_pages(umem, off, (struct far_end){ .kernel = buf }, len,
			  dir);
}

/*
 * As umem_resident_copy(), with user memory of who runs at @user at the other end.
 * access_ok() comes after page faults are off: it may complain about softirq.
 */
int umem_resident_exchange(struct umem *umem, size_t off, unsigned long user,
			   size_t len, enum umem_dir dir)
{
	struct far_end far = { .user = (void __user *)user };
	int err = -EAGAIN;

	pagefault_disable();
	if (access_ok(far.user, len))
		err = copy_pages(umem, off, far, len, dir);
	pagefault_enable();
	return err;
}

/* Are all pages of the range noted? */
bool umem_resident_covers(struct umem *umem, size_t off, size_t len,
			  enum umem_dir dir)
{
	struct umem_resident *r = resident_of(umem);
	unsigned long vpn = (umem->addr + off) >> PAGE_SHIFT;
	unsigned long last = (umem->addr + off + len - 1) >> PAGE_SHIFT;

	if (!r)
		return false;
	read_lock(&r->lock);
	while (vpn <= last && find(r, vpn, dir))
		vpn++;
	read_unlock(&r->lock);
	return vpn > last;
}

/* As umem_resident_copy(). */
int umem_resident_atomic(struct umem *umem, size_t off, enum umem_atomic_op op,
			 u64 a, u64 b, u64 *old)
{
	struct umem_resident *r = resident_of(umem);
	unsigned long addr = umem->addr + off;
	struct page *page;

	if (!r)
		return -EAGAIN;
	read_lock(&r->lock);
	page = find(r, addr >> PAGE_SHIFT, TO_USER);
	if (page)
		umem_atomic_page(page, offset_in_page(addr), op, a, b, old);
	read_unlock(&r->lock);
	return page ? 0 : -EAGAIN;
}

unsigned long umem_resident_count(const struct umem *umem)
{
	const struct umem_resident *r = resident_of(umem);

	return r ? READ_ONCE(r->used) : 0;
}

u64 umem_resident_lost(const struct umem *umem)
{
	const struct umem_resident *r = resident_of(umem);

	return r ? READ_ONCE(r->lost) : 0;
}

/* May sleep, until an invalidation that is under way has ended. */
void umem_resident_free(struct umem *umem)
{
	if (!umem->resident)
		return;
	mmu_interval_notifier_remove(&umem->resident->mni);
	destroy(umem->resident);
}
