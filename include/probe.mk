# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
#
# Which APIs the kernel's headers have, as -DHAVE_... for include/compat.h. A
# distribution may have an API in a kernel whose version says otherwise, so we
# look at the declarations. Included by every Kbuild that wants to know.
#
# $(call probe,HAVE_X,header,regular expression): white space in the header
# counts as one blank; write a dot where the declaration has a comma.
probe = $(if $(shell tr -s '[:space:]' ' ' <$(srctree)/include/$(2) | \
	grep -q '$(3)' && echo y),-D$(1))

ccflags-y += $(call probe,HAVE_REG_MR_DMAH,rdma/ib_verbs.h,(\*reg_user_mr)([^)]*struct ib_dmah)
ccflags-y += $(call probe,HAVE_CREATE_CQ_ATTRS,rdma/ib_verbs.h,(\*create_cq)([^)]*uverbs_attr_bundle)
ccflags-y += $(call probe,HAVE_RESIZE_USER_CQ,rdma/ib_verbs.h,(\*resize_user_cq))
ccflags-y += $(call probe,HAVE_ROCE_DEL_NETDEV_GIDS,rdma/ib_verbs.h,roce_del_all_netdev_gids)
ccflags-y += $(call probe,HAVE_QUERY_PORT_SPEED,rdma/ib_verbs.h,(\*query_port_speed))
ccflags-y += $(call probe,HAVE_FILL_RES_SRQ,rdma/ib_verbs.h,(\*fill_res_srq_entry))
ccflags-y += $(call probe,HAVE_UDP_TUNNEL_SOCK_SK,net/udp_tunnel.h,setup_udp_tunnel_sock([^)]*struct sock \*)
ccflags-y += $(call probe,HAVE_REG_DMABUF_ATTRS,rdma/ib_verbs.h,(\*reg_user_mr_dmabuf)([^)]*uverbs_attr_bundle)
ccflags-y += $(call probe,HAVE_IMPORT_NS_STRING,linux/module.h,MODULE_INFO(import_ns. ns))
ccflags-y += $(call probe,HAVE_GUP_VMAS,linux/mm.h,long get_user_pages([^)]*struct vm_area_struct)
ccflags-y += $(call probe,HAVE_ODP_ATOMIC_WRITE,rdma/ib_verbs.h,IB_ODP_SUPPORT_ATOMIC_WRITE)

# Likewise for what is missing: $(call probe-not,HAVE_NO_X,header,expression)
probe-not = $(if $(shell tr -s '[:space:]' ' ' <$(srctree)/include/$(2) | \
	grep -q '$(3)' || echo y),-D$(1))

ccflags-y += $(call probe-not,HAVE_NO_WR_ATOMIC_WRITE,rdma/ib_verbs.h,IB_WR_ATOMIC_WRITE)
ccflags-y += $(call probe-not,HAVE_NO_WQ_PERCPU,linux/workqueue.h,WQ_PERCPU)
ccflags-y += $(call probe-not,HAVE_NO_HRTIMER_SETUP,linux/hrtimer.h,hrtimer_setup)
ccflags-y += $(call probe-not,HAVE_NO_DMA_BUF_VMAP_UNLOCKED,linux/dma-buf.h,dma_buf_vmap_unlocked)
