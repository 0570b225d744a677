/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * What differs between the kernels we support (6.1, 6.12, 7.2): the rest reads like
 * code for the newest. (What they have to compute a CRC with: icrc.c.)
 */
#ifndef URXE_COMPAT_H
#define URXE_COMPAT_H

#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/version.h>
#include <rdma/ib_verbs.h>

/*
 * HAVE_...: from include/probe.mk, by looking at the kernel's headers.
 */

/* reg_user_mr is told of a DMA handle, which no one without DMA supports. */
#ifdef HAVE_REG_MR_DMAH
#define COMPAT_DMAH_ARG	struct ib_dmah *dmah,
#define COMPAT_NO_DMAH	NULL,
#else
#define COMPAT_DMAH_ARG
#define COMPAT_NO_DMAH
#endif

/* What create_cq is given besides the attributes, and the udata in it. */
#ifdef HAVE_CREATE_CQ_ATTRS
#define COMPAT_CQ_ATTRS	struct uverbs_attr_bundle
#define COMPAT_CQ_UDATA(attrs)	((attrs) ? &(attrs)->driver_udata : NULL)
#else
#define COMPAT_CQ_ATTRS	struct ib_udata
#define COMPAT_CQ_UDATA(attrs)	(attrs)
#endif

/* The kernel's own CQs can't be resized any more, and the number is unsigned. */
#ifdef HAVE_RESIZE_USER_CQ
#define COMPAT_CQE_NUM	unsigned int
#else
#define COMPAT_CQE_NUM	int
#define resize_user_cq	resize_cq
#endif

/*
 * A device that starts in a namespace, where namespaces don't share devices: what
 * the kernel's own function does where it exists.
 */
#ifndef ib_alloc_device_with_net
static inline struct ib_device *compat_set_net(struct ib_device *ibdev,
					       struct net *net)
{
	if (ibdev && !rdma_dev_access_netns(ibdev, net))
		write_pnet(&ibdev->coredev.rdma_net, net);
	return ibdev;
}

#define ib_alloc_device_with_net(drv_struct, member, net)		\
	container_of(compat_set_net(&ib_alloc_device(drv_struct,	\
						     member)->member,	\
				    net), struct drv_struct, member)
#endif

/* 6.7: a driver may tell of its SRQs. */
#ifdef HAVE_FILL_RES_SRQ
#define COMPAT_FILL_RES_SRQ(func)	.fill_res_srq_entry = func,
#else
#define COMPAT_FILL_RES_SRQ(func)
#endif

/* A port has its speed as a number too, besides the width and speed of its lanes. */
#ifdef HAVE_QUERY_PORT_SPEED
#define COMPAT_QUERY_PORT_SPEED(func)	.query_port_speed = func,
#else
#define COMPAT_QUERY_PORT_SPEED(func)
#endif

/* Forget the GIDs that a NIC's addresses have made; 6.1 can't. */
#ifdef HAVE_ROCE_DEL_NETDEV_GIDS
#define compat_del_gids		roce_del_all_netdev_gids
#else
static inline void compat_del_gids(struct ib_device *ibdev, u32 port,
				   struct net_device *ndev)
{
}
#endif

/* A namespace of symbols is named by a string since 6.13. */
#ifdef HAVE_IMPORT_NS_STRING
#define COMPAT_NS_DMA_BUF	"DMA_BUF"
#else
#define COMPAT_NS_DMA_BUF	DMA_BUF
#endif

/* 6.2: who maps a dma-buf may hold its lock, and says whether he does. */
#ifdef HAVE_NO_DMA_BUF_VMAP_UNLOCKED
#define dma_buf_vmap_unlocked	dma_buf_vmap
#define dma_buf_vunmap_unlocked	dma_buf_vunmap
#endif

/* What reg_user_mr_dmabuf is given besides its parameters. */
#ifdef HAVE_REG_DMABUF_ATTRS
#define compat_dmabuf_attrs	uverbs_attr_bundle
#else
#define compat_dmabuf_attrs	ib_udata
#endif

/* The tunnel helpers have moved from struct socket to its struct sock. */
#ifdef HAVE_UDP_TUNNEL_SOCK_SK
#define compat_tunnel_sock(sock)	((sock)->sk)
#else
#define compat_tunnel_sock(sock)	(sock)
#endif

/* 6.2: FLUSH and ATOMIC WRITE. The numbers are uapi, and the wire knows both. */
#ifdef HAVE_NO_WR_ATOMIC_WRITE
#define IB_WR_FLUSH		14
#define IB_WR_ATOMIC_WRITE	15
#define IB_WC_FLUSH		8
#define IB_WC_ATOMIC_WRITE	9
#define IB_FLUSH_GLOBAL		BIT(0)
#define IB_FLUSH_PERSISTENT	BIT(1)
#define IB_FLUSH_RANGE		0
#define IB_FLUSH_MR		1
#define IB_DEVICE_ATOMIC_WRITE	BIT_ULL(40)
/* No region can have the right: the core before refuses it. */
#define IB_DEVICE_FLUSH_GLOBAL	0
#define IB_DEVICE_FLUSH_PERSISTENT 0
#define IB_ACCESS_FLUSH_GLOBAL	BIT(8)
#define IB_ACCESS_FLUSH_PERSISTENT BIT(9)
#endif

/* wr.flush of struct rxe_send_wr: 6.2 and later. */
struct compat_flush_wr {
	__aligned_u64	remote_addr;
	__u32		length;
	__u32		rkey;
	__u8		type;
	__u8		level;
};

/* 6.15: whether FLUSH and ATOMIC WRITE page on demand can be told. */
#ifdef HAVE_ODP_ATOMIC_WRITE
#define COMPAT_ODP_EXTENDED	(IB_ODP_SUPPORT_FLUSH |			\
				 IB_ODP_SUPPORT_ATOMIC_WRITE)
#else
#define COMPAT_ODP_EXTENDED	0
#endif

/* 6.13: a timer's function is set with the timer. */
#ifdef HAVE_NO_HRTIMER_SETUP
#define hrtimer_setup(timer, func, clock, mode) do {			\
	hrtimer_init(timer, clock, mode);				\
	(timer)->function = (func);					\
} while (0)
#endif

/* 6.6: shadow stacks are VM_WRITE mappings that nobody may write. */
#ifndef VM_SHADOW_STACK
#define VM_SHADOW_STACK VM_NONE
#endif

/* 6.5: who asks for pages is not told whose mappings they are in. */
static inline long compat_get_user_pages(unsigned long start, unsigned long n,
					 unsigned int flags, struct page **pages)
{
#ifdef HAVE_GUP_VMAS
	return get_user_pages(start, n, flags, pages, NULL);
#else
	return get_user_pages(start, n, flags, pages);
#endif
}

/* 6.17: a workqueue says so when its workers stay on the processor that queued. */
#ifdef HAVE_NO_WQ_PERCPU
#define WQ_PERCPU 0
#endif

/*
 * 6.2: a long-term pin for reading breaks copy-on-write by itself. Before, only
 * a forced pin for writing did, which a shared read-only mapping refuses; there
 * is no copy-on-write to break there. What is behind its page may be private.
 */
static inline int compat_pin_longterm(unsigned long start, int npages,
				      bool writable, struct page **pages)
{
	unsigned int flags = FOLL_LONGTERM;

	if (writable)
		flags |= FOLL_WRITE;
#if KERNEL_VERSION(6, 2, 0) > LINUX_VERSION_CODE
	if (!writable) {
		int n = pin_user_pages_fast(start, npages, flags | FOLL_WRITE |
					    FOLL_FORCE, pages);

		if (n != -EFAULT)
			return n;
		npages = 1;
	}
#endif
	return pin_user_pages_fast(start, npages, flags, pages);
}

#endif /* URXE_COMPAT_H */
