// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The cases. Each has two ends of its own, and may leave them in error.
 */
#define pr_fmt(fmt) "urxe_test: " fmt

#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "cases.h"

#define ALL (IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ)
#define BAD_BIND IB_WC_MW_BIND_ERR

#define EXPECT(cond) do {						\
	if (!(cond)) {							\
		*failed = true;						\
		pr_info("# %s:%d: %s\n", __func__, __LINE__, #cond);	\
	}								\
} while (0)

#define EXPECT_EQ(left, right) do {					\
	long long __l = (left), __r = (right);				\
									\
	if (__l != __r) {						\
		*failed = true;						\
		pr_info("# %s:%d: %s is %lld, not %lld\n", __func__,	\
			__LINE__, #left, __l, __r);			\
	}								\
} while (0)

static void fill(struct end *end)
{
	get_random_bytes(end->buf, BUF_SIZE);
}

/* Give the peer @len bytes at @off. Return: the status of the work request. */
static int open_buf(struct end *end, u32 off, u32 len, u32 page_size)
{
	if (end_map_buf(end, off, len, page_size) != 1)
		return -EIO;
	return end_reg(end, end->mr->rkey, ALL);
}

/* Does a WRITE, and a READ, of what @b has opened at @off move it? */
static bool moves(struct end *a, struct end *b, u32 off, u32 len)
{
	u64 va = b->mr->iova;

	fill(a);
	fill(b);
	if (end_rdma(a, IB_WR_RDMA_WRITE, 0, len, b->mr->rkey, va) ||
	    memcmp(a->buf, b->buf + off, len))
		return false;
	fill(b);
	return !end_rdma(a, IB_WR_RDMA_READ, 0, len, b->mr->rkey, va) &&
	       !memcmp(a->buf, b->buf + off, len);
}

/* --- registration ------------------------------------------------------- */

static void page_sizes(struct end *a, struct end *b, bool *failed)
{
	static const u32 sizes[] = { 512, 4096, 8192, 65536 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(open_buf(b, 0, BUF_SIZE, sizes[i]), 0);
		EXPECT(moves(a, b, 0, BUF_SIZE));
		EXPECT_EQ(end_inv(b, b->mr->rkey), 0);
		/* Begins and ends inside of a page. */
		EXPECT_EQ(open_buf(b, 1234, 70000, sizes[i]), 0);
		EXPECT_EQ(b->mr->length, 70000);
		EXPECT(moves(a, b, 1234, 70000));
		EXPECT_EQ(end_inv(b, b->mr->rkey), 0);
	}
}

static void range(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(open_buf(b, 5000, 1000, PAGE_SIZE), 0);
	EXPECT_EQ(end_rdma(a, IB_WR_RDMA_WRITE, 0, 1, b->mr->rkey,
			   b->mr->iova + 999), 0);
	EXPECT_EQ(end_rdma(a, IB_WR_RDMA_WRITE, 0, 2, b->mr->rkey,
			   b->mr->iova + 999), IB_WC_REM_ACCESS_ERR);
}

static void before_range(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(open_buf(b, 5000, 1000, PAGE_SIZE), 0);
	EXPECT_EQ(end_rdma(a, IB_WR_RDMA_READ, 0, 8, b->mr->rkey,
			   b->mr->iova - 1), IB_WC_REM_ACCESS_ERR);
}

/* As NFS does: the region gets another address after its pages are mapped. */
static void own_address(struct end *a, struct end *b, bool *failed)
{
	u64 mapped;

	EXPECT_EQ(end_map_buf(b, 1234, 70000, PAGE_SIZE), 1);
	mapped = b->mr->iova;
	b->mr->iova = lower_32_bits(mapped) | 0x7654321ULL << 32;
	EXPECT_EQ(end_reg(b, b->mr->rkey, ALL), 0);
	EXPECT(moves(a, b, 1234, 70000));
	EXPECT_EQ(end_rdma(a, IB_WR_RDMA_READ, 0, 8, b->mr->rkey, mapped),
		  IB_WC_REM_ACCESS_ERR);
}

/* Pages that lie apart, in another order than in memory. */
static void scattered(struct end *a, struct end *b, bool *failed)
{
	static const u8 order[] = { 7, 2, 30, 11, 0 };
	struct scatterlist sg[ARRAY_SIZE(order)];
	unsigned int i;

	sg_init_table(sg, ARRAY_SIZE(order));
	for (i = 0; i < ARRAY_SIZE(order); i++)
		sg_set_buf(&sg[i], b->buf + order[i] * PAGE_SIZE, PAGE_SIZE);
	EXPECT_EQ(ib_dma_map_sg(b->pd->device, sg, ARRAY_SIZE(order),
				DMA_BIDIRECTIONAL), ARRAY_SIZE(order));
	EXPECT_EQ(end_map(b, sg, ARRAY_SIZE(order), PAGE_SIZE),
		  ARRAY_SIZE(order));
	EXPECT_EQ(end_reg(b, b->mr->rkey, ALL), 0);
	fill(a);
	EXPECT_EQ(end_rdma(a, IB_WR_RDMA_WRITE, 0, sizeof(order) * PAGE_SIZE,
			   b->mr->rkey, b->mr->iova), 0);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		EXPECT(!memcmp(a->buf + i * PAGE_SIZE,
			       b->buf + order[i] * PAGE_SIZE, PAGE_SIZE));
}

/* The region's key in a gather list of the owner's. */
static void local_key(struct end *a, struct end *b, bool *failed)
{
	struct ib_sge sge = { .length = 3000 };
	struct ib_send_wr wr = {
		.wr_cqe = &a->send_cqe,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
		.sg_list = &sge,
		.num_sge = 1,
	};

	fill(a);
	EXPECT_EQ(open_buf(a, 700, 5000, PAGE_SIZE), 0);
	EXPECT_EQ(end_post_receive(b, 0, 4096), 0);
	sge.addr = a->mr->iova + 17;
	sge.lkey = a->mr->lkey;
	EXPECT_EQ(end_do(a, &wr), 0);
	EXPECT_EQ(end_receive(b), 0);
	EXPECT(!memcmp(a->buf + 717, b->buf, 3000));
}

static void register_twice(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(open_buf(b, 0, PAGE_SIZE, PAGE_SIZE), 0);
	EXPECT_EQ(end_reg(b, b->mr->rkey, ALL), BAD_BIND);
}

static void register_unmapped(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(end_reg(b, b->mr->rkey, ALL), BAD_BIND);
}

static void register_wrong_index(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(end_map_buf(b, 0, PAGE_SIZE, PAGE_SIZE), 1);
	EXPECT_EQ(end_reg(b, b->mr->rkey + 0x100, ALL), BAD_BIND);
}

static void register_bad_access(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(end_map_buf(b, 0, PAGE_SIZE, PAGE_SIZE), 1);
	EXPECT_EQ(end_reg(b, b->mr->rkey, IB_ACCESS_REMOTE_WRITE), BAD_BIND);
}

/* The same pages, mapped once. */
static void register_again(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(open_buf(b, 0, 3 * PAGE_SIZE, PAGE_SIZE), 0);
	EXPECT_EQ(end_inv(b, b->mr->rkey), 0);
	EXPECT_EQ(end_reg(b, b->mr->rkey, ALL), 0);
	EXPECT(moves(a, b, 0, 3 * PAGE_SIZE));
}

/* The end of an old key, and the registration of what is mapped now, in one list. */
struct renewal {
	struct ib_send_wr	inv;
	struct ib_reg_wr	reg;
};

static void prepare(struct renewal *both, struct end *end, u32 old_key)
{
	*both = (struct renewal){
		.inv = {
			.wr_cqe = &end->send_cqe,
			.opcode = IB_WR_LOCAL_INV,
			.next = &both->reg.wr,
			.ex.invalidate_rkey = old_key,
		},
		.reg = {
			.wr = {
				.wr_cqe = &end->send_cqe,
				.opcode = IB_WR_REG_MR,
			},
			.mr = end->mr,
			.key = end->mr->rkey,
			.access = ALL,
		},
	};
}

/*
 * What storage does: map anew and take a new key while what was registered before
 * is in use, then post its invalidation and the registration together.
 */
static void map_while_registered(struct end *a, struct end *b, bool *failed)
{
	struct renewal both;
	u32 old_key;
	u64 old_va;

	EXPECT_EQ(open_buf(b, 0, PAGE_SIZE, PAGE_SIZE), 0);
	old_key = b->mr->rkey;
	old_va = b->mr->iova;
	EXPECT_EQ(end_map_buf(b, 4 * PAGE_SIZE, 2 * PAGE_SIZE, PAGE_SIZE), 1);
	fill(a);
	EXPECT_EQ(end_rdma(a, IB_WR_RDMA_WRITE, 0, PAGE_SIZE, old_key, old_va),
		  0);
	EXPECT(!memcmp(a->buf, b->buf, PAGE_SIZE));
	prepare(&both, b, old_key);
	both.reg.wr.send_flags = IB_SEND_SIGNALED;
	EXPECT_EQ(end_do(b, &both.inv), 0);
	EXPECT(moves(a, b, 4 * PAGE_SIZE, 2 * PAGE_SIZE));
	EXPECT_EQ(end_rdma(a, IB_WR_RDMA_WRITE, 0, 8, old_key, old_va),
		  IB_WC_REM_ACCESS_ERR);
}

/* --- invalidation ------------------------------------------------------- */

static void invalidate(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(open_buf(b, 0, PAGE_SIZE, PAGE_SIZE), 0);
	EXPECT_EQ(end_inv(b, b->mr->rkey), 0);
	EXPECT_EQ(end_rdma(a, IB_WR_RDMA_WRITE, 0, 8, b->mr->rkey,
			   b->mr->iova), IB_WC_REM_ACCESS_ERR);
}

/* As NFS does: local operations in a row, each of which waits for those before. */
static void invalidate_in_a_row(struct end *a, struct end *b, bool *failed)
{
	struct ib_send_wr again = {
		.wr_cqe = &b->send_cqe,
		.opcode = IB_WR_LOCAL_INV,
		.send_flags = IB_SEND_SIGNALED,
	};
	struct renewal both;
	u32 old_key;

	EXPECT_EQ(open_buf(b, 0, PAGE_SIZE, PAGE_SIZE), 0);
	old_key = b->mr->rkey;
	EXPECT_EQ(end_map_buf(b, 0, PAGE_SIZE, PAGE_SIZE), 1);
	prepare(&both, b, old_key);
	both.reg.wr.next = &again;
	again.ex.invalidate_rkey = b->mr->rkey;
	EXPECT_EQ(end_do(b, &both.inv), 0);
	EXPECT_EQ(end_inv(b, b->mr->rkey), BAD_BIND);
}

static void invalidate_twice(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(open_buf(b, 0, PAGE_SIZE, PAGE_SIZE), 0);
	EXPECT_EQ(end_inv(b, b->mr->rkey), 0);
	EXPECT_EQ(end_inv(b, b->mr->rkey), BAD_BIND);
}

static void invalidate_dma_key(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(end_inv(b, b->pd->local_dma_lkey), BAD_BIND);
}

static void send_with_invalidate(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(open_buf(b, 0, PAGE_SIZE, PAGE_SIZE), 0);
	EXPECT(moves(a, b, 0, PAGE_SIZE));
	EXPECT_EQ(end_post_receive(b, PAGE_SIZE, 100), 0);
	EXPECT_EQ(end_send(a, 100, b->mr->rkey), 0);
	EXPECT_EQ(end_receive(b), 0);
	EXPECT(b->recv_wc.wc_flags & IB_WC_WITH_INVALIDATE);
	EXPECT_EQ(b->recv_wc.ex.invalidate_rkey, b->mr->rkey);
	EXPECT_EQ(end_rdma(a, IB_WR_RDMA_READ, 0, 8, b->mr->rkey,
			   b->mr->iova), IB_WC_REM_ACCESS_ERR);
}

static void send_invalidates_nothing(struct end *a, struct end *b,
				     bool *failed)
{
	EXPECT_EQ(end_post_receive(b, PAGE_SIZE, 100), 0);
	EXPECT_EQ(end_send(a, 100, b->mr->rkey), IB_WC_REM_ACCESS_ERR);
	EXPECT_EQ(end_receive(b), IB_WC_WR_FLUSH_ERR);
}

/* A region that the peer has no right to is not his to invalidate. */
static void send_invalidates_local(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(end_map_buf(b, 0, PAGE_SIZE, PAGE_SIZE), 1);
	EXPECT_EQ(end_reg(b, b->mr->rkey, IB_ACCESS_LOCAL_WRITE), 0);
	EXPECT_EQ(end_post_receive(b, PAGE_SIZE, 100), 0);
	EXPECT_EQ(end_send(a, 100, b->mr->rkey), IB_WC_REM_ACCESS_ERR);
}

/* --- unreliably --------------------------------------------------------- */

/* Nobody is told what came of a WRITE; when the message behind it has come, it is over. */
static int write_unreliably(struct end *a, struct end *b, u32 len)
{
	fill(a);
	fill(b);
	return end_post_receive(b, BUF_SIZE - 8, 8) ?:
	       end_rdma(a, IB_WR_RDMA_WRITE, 0, len, b->mr->rkey,
			b->mr->iova) ?:
	       end_send(a, 8, 0) ?: end_receive(b);
}

static void unreliable(struct end *a, struct end *b, bool *failed)
{
	const u32 len = 3 * PAGE_SIZE;
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(open_buf(b, 0, len, PAGE_SIZE), 0);
		EXPECT_EQ(write_unreliably(a, b, len), 0);
		EXPECT(!memcmp(a->buf, b->buf, len));
		EXPECT_EQ(end_inv(b, b->mr->rkey), 0);
		EXPECT_EQ(write_unreliably(a, b, len), 0);
		EXPECT(memcmp(a->buf, b->buf, len));
	}
}

/* --- queues ------------------------------------------------------------- */

static void shared_queue(struct end *a, struct end *b, bool *failed)
{
	struct ib_srq_attr attr = { .srq_limit = 2 };
	int i;

	for (i = 0; i < 3; i++)
		EXPECT_EQ(end_post_receive(b, i * 100, 100), 0);
	EXPECT_EQ(ib_modify_srq(b->srq, &attr, IB_SRQ_LIMIT), 0);
	fill(a);
	for (i = 0; i < 3; i++) {
		EXPECT(i == 2 || !test_bit(IB_EVENT_SRQ_LIMIT_REACHED,
					   &b->events));
		b->recv = NONE;
		EXPECT_EQ(end_send(a, 100, 0), 0);
		EXPECT_EQ(end_receive(b), 0);
		EXPECT(!memcmp(a->buf, b->buf + i * 100, 100));
	}
	EXPECT(test_bit(IB_EVENT_SRQ_LIMIT_REACHED, &b->events));
	attr.max_wr = 4 * DEPTH;
	EXPECT_EQ(ib_modify_srq(b->srq, &attr, IB_SRQ_MAX_WR), 0);
	EXPECT_EQ(ib_query_srq(b->srq, &attr), 0);
	EXPECT(attr.max_wr >= 4 * DEPTH);
}

/* A QP on a shared queue ends: the consumer is told, and drains it. */
static void shared_queue_drains(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(end_post_receive(b, 0, 100), 0);
	ib_drain_qp(b->qp);
	EXPECT(test_bit(IB_EVENT_QP_LAST_WQE_REACHED, &b->events));
	EXPECT_EQ(b->recv, NONE);
}

static void drain(struct end *a, struct end *b, bool *failed)
{
	EXPECT_EQ(end_post_receive(b, 0, 100), 0);
	ib_drain_qp(b->qp);
	EXPECT_EQ(b->recv, IB_WC_WR_FLUSH_ERR);
}

/* From where the network stack can't be entered. */
static void post_with_interrupts_off(struct end *a, struct end *b,
				     bool *failed)
{
	struct ib_sge sge = {
		.addr = a->dma,
		.length = BUF_SIZE,
		.lkey = a->pd->local_dma_lkey,
	};
	struct ib_send_wr wr = {
		.wr_cqe = &a->send_cqe,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
		.sg_list = &sge,
		.num_sge = 1,
	};
	unsigned long flags;
	int err, i;

	fill(a);
	EXPECT_EQ(end_post_receive(b, 0, BUF_SIZE), 0);
	a->send = NONE;
	local_irq_save(flags);
	err = ib_post_send(a->qp, &wr, NULL);
	local_irq_restore(flags);
	EXPECT_EQ(err, 0);
	EXPECT_EQ(end_receive(b), 0);
	for (i = 0; a->send == NONE && i < 5000; i++) {
		ib_process_cq_direct(a->cq, -1);
		usleep_range(500, 1000);
	}
	EXPECT_EQ(a->send, 0);
	EXPECT(!memcmp(a->buf, b->buf, BUF_SIZE));
}

/* RDS does so with memory of its users, which is in a file with DAX. */
static void advise(struct end *a, struct end *b, bool *failed)
{
	const u32 write = IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_WRITE;
	unsigned long at = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, 0);
	struct ib_sge sge = { .addr = at, .length = PAGE_SIZE };
	struct ib_mr *mr;

	EXPECT(!IS_ERR_VALUE(at));
	mr = ib_reg_user_mr(a->pd, at, PAGE_SIZE, at,
			    IB_ACCESS_LOCAL_WRITE | IB_ACCESS_ON_DEMAND);
	EXPECT(!IS_ERR(mr));
	if (!IS_ERR(mr)) {
		sge.lkey = mr->lkey;
		EXPECT_EQ(ib_advise_mr(a->pd, write,
				       IB_UVERBS_ADVISE_MR_FLAG_FLUSH, &sge,
				       1), 0);
		EXPECT_EQ(ib_advise_mr(a->pd, write, 0, &sge, 1), 0);
		ib_dereg_mr(mr);
	}
	vm_munmap(at, PAGE_SIZE);
}

static void full(struct end *a, struct end *b, bool *failed)
{
	struct ib_recv_wr wr = { .wr_cqe = &b->recv_cqe };
	int n = 0;

	while (n < 8 * DEPTH && !ib_post_recv(b->qp, &wr, NULL))
		n++;
	EXPECT(n >= DEPTH && n < 8 * DEPTH);
}

#define CASE(fn)	{ .name = #fn, .run = fn }

const struct test_case test_cases[] = {
	CASE(page_sizes),
	CASE(range),
	CASE(before_range),
	CASE(own_address),
	CASE(scattered),
	CASE(local_key),
	CASE(register_twice),
	CASE(register_unmapped),
	CASE(register_wrong_index),
	CASE(register_bad_access),
	CASE(register_again),
	CASE(map_while_registered),
	CASE(invalidate),
	CASE(invalidate_in_a_row),
	CASE(invalidate_twice),
	CASE(invalidate_dma_key),
	CASE(send_with_invalidate),
	CASE(send_invalidates_nothing),
	CASE(send_invalidates_local),
	{ .name = "shared_queue", .run = shared_queue, .srq = true },
	{ .name = "shared_queue_drains", .run = shared_queue_drains, .srq = true },
	{ .name = "unreliable", .run = unreliable, .uc = true },
	CASE(drain),
	CASE(post_with_interrupts_off),
	CASE(advise),
	CASE(full),
	{}
};
