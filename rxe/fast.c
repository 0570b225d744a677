// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Fast registration: regions of kernel memory that come and go by work requests.
 *
 * A consumer maps its pages, and posts, while what it registered before may still
 * be in use: it has posted the invalidation, and no more. So what is mapped waits
 * beside what is registered, until the work request is executed.
 */
#include <linux/mm.h>

#include "fast.h"
#include "mr.h"
#include "qp.h"
#include "reg.h"

static struct urxe_pages *pages_alloc(u32 max)
{
	struct urxe_pages *pages = kvzalloc(struct_size(pages, addr, max),
					    GFP_KERNEL);

	if (pages)
		pages->max = max;
	return pages;
}

void urxe_pages_free(struct urxe_pages *pages)
{
	kvfree(pages);
}

struct ib_mr *urxe_alloc_mr(struct ib_pd *ibpd, enum ib_mr_type type,
			    u32 max_num_sg)
{
	struct urxe_pages *pages, *next;
	struct urxe_mr *mr;

	if (type != IB_MR_TYPE_MEM_REG || !max_num_sg ||
	    max_num_sg > URXE_MAX_FRMR_PAGES)
		return ERR_PTR(-EINVAL);
	pages = pages_alloc(max_num_sg);
	next = pages_alloc(max_num_sg);
	mr = urxe_mr_alloc(ibpd, URXE_MR_FAST, 0);
	if (!pages || !next || !mr) {
		urxe_pages_free(pages);
		urxe_pages_free(next);
		kfree(mr);
		return ERR_PTR(-ENOMEM);
	}
	mr->pages = pages;
	mr->next_pages = next;
	return urxe_mr_finish(mr);
}

static int set_page(struct ib_mr *ibmr, u64 addr)
{
	struct urxe_pages *next = to_umr(ibmr)->next_pages;

	if (next->num == next->max)
		return -ENOMEM;
	next->addr[next->num++] = addr;
	return 0;
}

int urxe_map_mr_sg(struct ib_mr *ibmr, struct scatterlist *sg, int sg_nents,
		   unsigned int *sg_offset)
{
	struct urxe_pages *next = to_umr(ibmr)->next_pages;
	int mapped;

	next->num = 0;
	mapped = ib_sg_to_pages(ibmr, sg, sg_nents, sg_offset, set_page);
	next->length = ibmr->length;
	next->size = ibmr->page_size;
	return mapped;
}

/* Copied, not swapped: the consumer may register the same pages once more. */
static void use_next_pages(struct urxe_mr *mr, u64 iova)
{
	struct urxe_pages *next = mr->next_pages;

	memcpy(mr->pages, next, struct_size(next, addr, next->num));
	urxe_mr_set_range(mr, iova, next->length);
}

static bool may_register(const struct urxe_mr *mr, const struct urxe_qp *qp,
			 const struct urxe_wqe *wqe)
{
	return mr->type == URXE_MR_FAST && mr->state != URXE_MR_VALID &&
	       mr->ibmr.pd == qp->ibqp.pd &&
	       KEY_INDEX(wqe->key) == KEY_INDEX(mr->key) && mr->next_pages->num &&
	       !ib_check_mr_access(qp->ibqp.device, wqe->access);
}

static int fast_reg(const struct urxe_qp *qp, const struct urxe_wqe *wqe)
{
	struct urxe_mr *mr = to_umr(wqe->mr);
	int err = -EINVAL;

	kref_get(&mr->ref);
	spin_lock_bh(&mr->lock);
	if (may_register(mr, qp, wqe))
		err = urxe_mr_end_access(mr);
	if (!err) {
		use_next_pages(mr, wqe->remote);
		mr->key = wqe->key;
		mr->access = wqe->access;
		/* Whoever sees it valid sees what it is. */
		smp_store_release(&mr->state, URXE_MR_VALID);
	}
	spin_unlock_bh(&mr->lock);
	urxe_mr_put(mr);
	return err;
}

int urxe_mr_fast_reg(const struct urxe_qp *qp, const struct urxe_wqe *wqe,
		     struct urxe_ctx *ctx)
{
	int err;

	do {
		err = fast_reg(qp, wqe);
	} while (err == -EAGAIN && urxe_mr_wait(ctx));
	return err;
}
