// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The table of all that the core may call, and the verbs too small for a file of
 * their own.
 */
#include <linux/module.h>

#include "advise.h"
#include "ah.h"
#include "counters.h"
#include "cq.h"
#include "fast.h"
#include "mad.h"
#include "mcast.h"
#include "mw.h"
#include "policy.h"
#include "port.h"
#include "qp.h"
#include "reg.h"
#include "restrack.h"
#include "srq.h"

/* What librxe asks of the kernel: the rings start with their own description. */
#define URXE_ABI_VERSION	2

static int alloc_ucontext(struct ib_ucontext *ibuc, struct ib_udata *udata)
{
	struct urxe_ucontext *uuc = to_uuc(ibuc);

	uuc->wq = urxe_wq_create(dev_name(&ibuc->device->dev), 0);
	return uuc->wq ? 0 : -ENOMEM;
}

/* All that could queue anything is gone. */
static void dealloc_ucontext(struct ib_ucontext *ibuc)
{
	destroy_workqueue(to_uuc(ibuc)->wq);
}

/*
 * With this hook a link can go while programs have it open. The rings that they
 * have mapped are ordinary pages, which live until they are unmapped.
 */
static void disassociate_ucontext(struct ib_ucontext *ibuc)
{
}

static int alloc_pd(struct ib_pd *ibpd, struct ib_udata *udata)
{
	return 0;
}

static int dealloc_pd(struct ib_pd *ibpd, struct ib_udata *udata)
{
	return 0;
}

/* What rdma-ndd(8) writes: which host this is. */
static int modify_device(struct ib_device *ibdev, int mask,
			 struct ib_device_modify *modify)
{
	if (mask & ~IB_DEVICE_MODIFY_NODE_DESC)
		return -EOPNOTSUPP;
	if (mask & IB_DEVICE_MODIFY_NODE_DESC)
		memcpy(ibdev->node_desc, modify->node_desc,
		       sizeof(ibdev->node_desc));
	return 0;
}

const struct ib_device_ops urxe_ops = {
	.owner			= THIS_MODULE,
	.driver_id		= RDMA_DRIVER_RXE,
	.uverbs_abi_ver		= URXE_ABI_VERSION,
	.device_group		= &urxe_policy_group,

	.enable_driver		= urxe_enable_driver,
	.dealloc_driver		= urxe_dealloc_driver,
	.query_device		= urxe_query_device,
	.modify_device		= modify_device,
	.get_dev_fw_str		= urxe_get_dev_fw_str,
	.get_netdev		= urxe_get_netdev,
	.query_port		= urxe_query_port,
	COMPAT_QUERY_PORT_SPEED(urxe_query_port_speed)
	.query_pkey		= urxe_query_pkey,
	.get_port_immutable	= urxe_get_port_immutable,
	.get_link_layer		= urxe_get_link_layer,
	.process_mad		= urxe_process_mad,

	.alloc_hw_port_stats	= urxe_alloc_hw_port_stats,
	.get_hw_stats		= urxe_get_hw_stats,
	.fill_res_mr_entry	= urxe_fill_res_mr,
	.fill_stat_mr_entry	= urxe_fill_stat_mr,
	.fill_res_cq_entry	= urxe_fill_res_cq,
	.fill_res_qp_entry	= urxe_fill_res_qp,
	COMPAT_FILL_RES_SRQ(urxe_fill_res_srq)

	.alloc_ucontext		= alloc_ucontext,
	.dealloc_ucontext	= dealloc_ucontext,
	.disassociate_ucontext	= disassociate_ucontext,
	.mmap			= urxe_mmap,
	.mmap_free		= urxe_mmap_free,

	.alloc_pd		= alloc_pd,
	.dealloc_pd		= dealloc_pd,

	.create_ah		= urxe_create_ah,
	.create_user_ah		= urxe_create_ah,
	.modify_ah		= urxe_modify_ah,
	.query_ah		= urxe_query_ah,
	.destroy_ah		= urxe_destroy_ah,

	.create_cq		= urxe_create_cq,
	.resize_user_cq		= urxe_resize_cq,
	.destroy_cq		= urxe_destroy_cq,
	.poll_cq		= urxe_poll_cq,
	.peek_cq		= urxe_peek_cq,
	.req_notify_cq		= urxe_req_notify_cq,

	.create_srq		= urxe_create_srq,
	.modify_srq		= urxe_modify_srq,
	.query_srq		= urxe_query_srq,
	.destroy_srq		= urxe_destroy_srq,
	.post_srq_recv		= urxe_post_srq_recv,

	.get_dma_mr		= urxe_get_dma_mr,
	.reg_user_mr		= urxe_reg_user_mr,
	.reg_user_mr_dmabuf	= urxe_reg_user_mr_dmabuf,
	.rereg_user_mr		= urxe_rereg_user_mr,
	.dereg_mr		= urxe_dereg_mr,
	.advise_mr		= urxe_advise_mr,
	.alloc_mr		= urxe_alloc_mr,
	.map_mr_sg		= urxe_map_mr_sg,

	.alloc_mw		= urxe_alloc_mw,
	.dealloc_mw		= urxe_dealloc_mw,

	.create_qp		= urxe_create_qp,
	.modify_qp		= urxe_modify_qp,
	.query_qp		= urxe_query_qp,
	.destroy_qp		= urxe_destroy_qp,
	.post_send		= urxe_post_send,
	.post_recv		= urxe_post_recv,
	.attach_mcast		= urxe_attach_mcast,
	.detach_mcast		= urxe_detach_mcast,

	INIT_RDMA_OBJ_SIZE(ib_ah, urxe_ah, ibah),
	INIT_RDMA_OBJ_SIZE(ib_cq, urxe_cq, ibcq),
	INIT_RDMA_OBJ_SIZE(ib_mw, urxe_mw, ibmw),
	INIT_RDMA_OBJ_SIZE(ib_pd, urxe_pd, ibpd),
	INIT_RDMA_OBJ_SIZE(ib_qp, urxe_qp, ibqp),
	INIT_RDMA_OBJ_SIZE(ib_srq, urxe_srq, ibsrq),
	INIT_RDMA_OBJ_SIZE(ib_ucontext, urxe_ucontext, ibuc),
};
