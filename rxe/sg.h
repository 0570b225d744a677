/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Gather lists: bytes here and there, as if they stood together.
 *
 * An entry's key is held while its own bytes are moved, and no longer: who ends it
 * does not wait for the rest of the list.
 */
#ifndef URXE_SG_H
#define URXE_SG_H

#include <linux/minmax.h>
#include <rdma/rdma_user_rxe.h>

struct ib_pd;
struct urxe_ctx;
struct urxe_mr;

/* A place in a gather list: byte @off of the @num entries from @sge on. */
struct urxe_sg_place {
	const struct rxe_sge	*sge;
	u32			num;
	u32			off;
};

/*
 * How many bytes, up to @len, stand together there, in what is then @at's first entry;
 * 0 at the end of the list. Who is done with them adds them to @off.
 */
static inline u32 urxe_sg_part(struct urxe_sg_place *at, u32 len)
{
	for (; at->num; at->num--, at->sge++) {
		if (at->off < at->sge->length)
			return min(len, at->sge->length - at->off);
		at->off -= at->sge->length;
	}
	return 0;
}

/**
 * urxe_sg_read - copy out of a gather list
 * @ibpd: whose keys the list may use
 * @sge: the list, a private copy
 * @num: entries in it
 * @off: offset in the bytes of the list; @off + @len is not beyond its length
 * @dst: where to
 * @len: bytes
 * @ctx: where the caller runs
 * Return: as urxe_mr_read(), and -EFAULT for a key that does not allow it.
 */
int urxe_sg_read(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		 u32 off, void *dst, u32 len, struct urxe_ctx *ctx);

/* Likewise into it, from @src. */
int urxe_sg_write(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		  u32 off, const void *src, u32 len, struct urxe_ctx *ctx);

/**
 * urxe_sg_move - copy from a region into a gather list, once if possible
 * @ibpd: whose keys the list may use
 * @sge: the list, a private copy
 * @num: entries in it
 * @off: offset in the bytes of the list
 * @src: the region
 * @sva: first byte, in the region's own addresses
 * @len: bytes
 * @ctx: where the caller runs
 * Return: as urxe_mr_move().
 */
int urxe_sg_move(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		 u32 off, struct urxe_mr *src, u64 sva, u32 len,
		 struct urxe_ctx *ctx);

/**
 * urxe_sg_at_hand - could the bytes of a gather list be read here, without waiting?
 * @ibpd: whose keys the list may use
 * @sge: the list, a private copy
 * @num: entries in it
 * @off: offset in the bytes of the list
 * @len: bytes
 * @access: rights needed besides local reading
 * A hint; see umem_at_hand().
 */
bool urxe_sg_at_hand(struct ib_pd *ibpd, const struct rxe_sge *sge, u32 num,
		     u32 off, u32 len, int access);

#endif /* URXE_SG_H */
