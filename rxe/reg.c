// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Registering memory.
 *
 * A region is complete before its key can be found, and a change of it makes a new
 * one: so an access needs no lock, however long its pages take.
 */
#include <umem.h>

#include "fast.h"
#include "mr.h"
#include "reg.h"

/*
 * The rights a region may carry. Every region pages on demand, over pages of any
 * size; the optional ones have no effect here.
 */
#define URXE_MR_ACCESS	(IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE |	\
			 IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC |	\
			 IB_ACCESS_MW_BIND | IB_ACCESS_FLUSH_GLOBAL |		\
			 IB_ACCESS_FLUSH_PERSISTENT |				\
			 IB_ACCESS_ON_DEMAND | IB_ACCESS_HUGETLB |		\
			 IB_ACCESS_OPTIONAL)

static void region_free(struct urxe_mr *mr)
{
	umem_release(mr->umem);
	urxe_pages_free(mr->pages);
	urxe_pages_free(mr->next_pages);
	urxe_mr_free(mr);
}

struct ib_mr *urxe_mr_finish(struct urxe_mr *mr)
{
	int err = urxe_mr_publish(mr);

	if (err) {
		region_free(mr);
		return ERR_PTR(err);
	}
	return &mr->ibmr;
}

struct ib_mr *urxe_get_dma_mr(struct ib_pd *ibpd, int access)
{
	struct urxe_mr *mr = urxe_mr_alloc(ibpd, URXE_MR_DMA, access);

	if (!mr)
		return ERR_PTR(-ENOMEM);
	mr->state = URXE_MR_VALID;
	return urxe_mr_finish(mr);
}

static unsigned int umem_flags(int access)
{
	return (ib_access_writable(access) ? UMEM_WRITE : UMEM_READ) |
	       (access & IB_ACCESS_FLUSH_PERSISTENT ? UMEM_PERSISTENT : 0);
}

/*
 * A program that asks for on-demand paging gets it under either policy, and so it is with
 * files that are to be made persistent: those can't be pinned. All of its address space
 * is nothing that could be pinned, and not what an address of 0 and no known length mean
 * otherwise.
 */
static struct umem *open_umem(struct urxe_dev *dev, u64 start, u64 length,
			      int access)
{
	unsigned int flags = umem_flags(access);

	if (access & (IB_ACCESS_ON_DEMAND | IB_ACCESS_FLUSH_PERSISTENT))
		return umem_open(start, length, flags);
	if (length == UMEM_WHOLE_MM)
		return ERR_PTR(-EINVAL);
	if (READ_ONCE(dev->policy) == URXE_PINNED)
		return umem_get(NULL, start, length, flags, 0);
	return umem_open(start, length, flags);
}

/* Takes over @umem, also if that is an ERR_PTR(). */
static struct ib_mr *reg_umem(struct ib_pd *ibpd, struct umem *umem,
			      u64 length, u64 iova, int access)
{
	struct urxe_mr *mr;

	if (IS_ERR(umem))
		return ERR_CAST(umem);
	mr = urxe_mr_alloc(ibpd, URXE_MR_USER, access);
	if (!mr) {
		umem_release(umem);
		return ERR_PTR(-ENOMEM);
	}
	mr->umem = umem;
	mr->ibmr.iova = iova;
	mr->ibmr.length = length;
	urxe_mr_set_range(mr, iova, length);
	mr->state = URXE_MR_VALID;
	return urxe_mr_finish(mr);
}

/* The core asks again when a process ends, and windows go before regions then. */
static bool close_to_windows(struct urxe_mr *mr)
{
	int bound = atomic_cmpxchg(&mr->windows, 0, URXE_MR_CLOSED);

	return bound <= 0;
}

static int check_region(u64 length, u64 iova, int access)
{
	if (access & ~URXE_MR_ACCESS)
		return -EOPNOTSUPP;
	return iova + length < iova ? -EINVAL : 0;
}

struct ib_mr *urxe_reg_user_mr(struct ib_pd *ibpd, u64 start, u64 length,
			       u64 iova, int access, COMPAT_DMAH_ARG
			       struct ib_udata *udata)
{
	int err = check_region(length, iova, access);

	if (err)
		return ERR_PTR(err);
	return reg_umem(ibpd, open_umem(to_urxe(ibpd->device), start, length,
					access), length, iova, access);
}

struct ib_mr *urxe_reg_user_mr_dmabuf(struct ib_pd *ibpd, u64 offset,
				      u64 length, u64 iova, int fd, int access,
				      COMPAT_DMAH_ARG
				      struct compat_dmabuf_attrs *attrs)
{
	int err = check_region(length, iova, access);

	if (err)
		return ERR_PTR(err);
	return reg_umem(ibpd, umem_get_dmabuf(fd, offset, length,
					      umem_flags(access)),
			length, iova, access);
}

/*
 * A changed region is a new one: the core puts it in the old one's place, and
 * takes the old one down. Nothing that runs sees it half changed.
 */
struct ib_mr *urxe_rereg_user_mr(struct ib_mr *ibmr, int flags, u64 start,
				 u64 length, u64 iova, int access,
				 struct ib_pd *pd, struct ib_udata *udata)
{
	struct urxe_mr *mr = to_umr(ibmr);
	struct ib_mr *new;

	if (mr->type != URXE_MR_USER || mr->umem->dmabuf)
		return ERR_PTR(-EOPNOTSUPP);
	/* A child of the owner's has other memory at the same address. */
	if (!(flags & IB_MR_REREG_TRANS) && mr->umem->mm != current->mm)
		return ERR_PTR(-EINVAL);
	if (!close_to_windows(mr))
		return ERR_PTR(-EBUSY);
	if (!(flags & IB_MR_REREG_TRANS)) {
		start = mr->umem->addr;
		length = mr->umem->length;
		iova = mr->iova;
	}
	if (!(flags & IB_MR_REREG_ACCESS))
		access = mr->access;
	if (!(flags & IB_MR_REREG_PD))
		pd = mr->ibmr.pd;
	new = urxe_reg_user_mr(pd, start, length, iova, access,
			       COMPAT_NO_DMAH udata);
	if (IS_ERR(new))
		atomic_set(&mr->windows, 0);
	return new;
}

int urxe_dereg_mr(struct ib_mr *ibmr, struct ib_udata *udata)
{
	struct urxe_mr *mr = to_umr(ibmr);

	if (!close_to_windows(mr))
		return -EBUSY;
	urxe_mr_withdraw(mr);
	region_free(mr);
	return 0;
}
