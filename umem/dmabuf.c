// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Ranges of a dma-buf: memory of another driver, which its exporter keeps in place
 * for as long as it is mapped into the kernel, and a device is attached to it. For
 * the one or the other alone not all of them do; so there is a device, which does
 * no DMA.
 *
 * Through that mapping the bytes are reached from any context. What a device does
 * to them is seen as far as its accesses are coherent: no access of ours is
 * bracketed by dma_buf_begin_cpu_access(), which may sleep.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/iosys-map.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

#include "compat.h"
#include "private.h"

MODULE_IMPORT_NS(COMPAT_NS_DMA_BUF);

/**
 * struct umem_dmabuf - what a range of a dma-buf holds
 * @buf: the buffer, with a reference
 * @attach: of @anchor
 * @sgt: for it; NULL where the attachment is enough
 * @map: all of it
 */
struct umem_dmabuf {
	struct dma_buf			*buf;
	struct dma_buf_attachment	*attach;
	struct sg_table			*sgt;
	struct iosys_map		map;
};

static struct platform_device *anchor;

/* Who got the file for reading only does not get to write through it. */
static int check_file(const struct dma_buf *buf, const struct umem *umem)
{
	size_t end;

	if (check_add_overflow(umem->addr, umem->length, &end) ||
	    end > buf->size)
		return -EINVAL;
	if (umem->writable && !(buf->file->f_mode & FMODE_WRITE))
		return -EACCES;
	return 0;
}

/* An exporter that moves buffers does so until one is mapped for the device. */
static int keep_in_place(struct umem_dmabuf *d)
{
	d->attach = dma_buf_attach(d->buf, &anchor->dev);
	if (IS_ERR(d->attach))
		return PTR_ERR(d->attach);
	if (!dma_buf_is_dynamic(d->buf))
		return 0;
	d->sgt = dma_buf_map_attachment_unlocked(d->attach, DMA_BIDIRECTIONAL);
	if (!IS_ERR(d->sgt))
		return 0;
	dma_buf_detach(d->buf, d->attach);
	return PTR_ERR(d->sgt);
}

static void let_move(struct umem_dmabuf *d)
{
	if (d->sgt)
		dma_buf_unmap_attachment_unlocked(d->attach, d->sgt,
						  DMA_BIDIRECTIONAL);
	dma_buf_detach(d->buf, d->attach);
}

int umem_dmabuf_map(struct umem *umem, int fd)
{
	struct umem_dmabuf *d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	int err;

	if (!d)
		return -ENOMEM;
	d->buf = dma_buf_get(fd);
	if (IS_ERR(d->buf)) {
		err = PTR_ERR(d->buf);
		goto free;
	}
	err = check_file(d->buf, umem);
	if (err)
		goto put;
	err = keep_in_place(d);
	if (err)
		goto put;
	err = dma_buf_vmap_unlocked(d->buf, &d->map);
	if (err)
		goto let_move;
	umem->dmabuf = d;
	return 0;

let_move:
	let_move(d);
put:
	dma_buf_put(d->buf);
free:
	kfree(d);
	return err;
}

void umem_dmabuf_unmap(struct umem *umem)
{
	struct umem_dmabuf *d = umem->dmabuf;

	dma_buf_vunmap_unlocked(d->buf, &d->map);
	let_move(d);
	dma_buf_put(d->buf);
	kfree(d);
}

void umem_dmabuf_copy(const struct umem *umem, size_t off, void *buf,
		      size_t len, enum umem_dir dir)
{
	struct iosys_map *map = &umem->dmabuf->map;

	if (dir == TO_USER)
		iosys_map_memcpy_to(map, umem->addr + off, buf, len);
	else
		iosys_map_memcpy_from(buf, map, umem->addr + off, len);
}

int umem_dmabuf_atomic(const struct umem *umem, size_t off,
		       enum umem_atomic_op op, u64 a, u64 b, u64 *old)
{
	const struct iosys_map *map = &umem->dmabuf->map;

	if (map->is_iomem)
		return -EFAULT;
	umem_atomic_word(map->vaddr + umem->addr + off, op, a, b, old);
	return 0;
}

int __init umem_dmabuf_init(void)
{
	const struct platform_device_info info = {
		.name = "ib_umem",
		.id = PLATFORM_DEVID_NONE,
		.dma_mask = DMA_BIT_MASK(64),
	};

	anchor = platform_device_register_full(&info);
	return PTR_ERR_OR_ZERO(anchor);
}

void umem_dmabuf_exit(void)
{
	platform_device_unregister(anchor);
}
