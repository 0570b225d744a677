// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * What librxe was compiled with, whatever kernel headers we are compiled with.
 * Also of the kernel's own use of these structs nothing is left to chance: rings
 * of them are written by programs we do not know.
 */
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_user_rxe.h>

#define SIZE_IS(type, size)	static_assert(sizeof(type) == (size))
#define AT(type, member, at)	static_assert(offsetof(type, member) == (at))

/* Rings: indices on cache lines of their own, then the elements. */
AT(struct rxe_queue_buf, log2_elem_size, 0);
AT(struct rxe_queue_buf, index_mask, 4);
AT(struct rxe_queue_buf, producer_index, 128);
AT(struct rxe_queue_buf, consumer_index, 256);
AT(struct rxe_queue_buf, data, 384);

/* Send ring. */
AT(struct rxe_send_wqe, wr.wr_id, 0);
AT(struct rxe_send_wqe, wr.opcode, 12);
AT(struct rxe_send_wqe, wr.send_flags, 16);
AT(struct rxe_send_wqe, wr.ex.imm_data, 20);
AT(struct rxe_send_wqe, wr.wr.rdma.remote_addr, 24);
AT(struct rxe_send_wqe, wr.wr.rdma.rkey, 32);
AT(struct rxe_send_wqe, wr.wr.atomic.compare_add, 32);
AT(struct rxe_send_wqe, wr.wr.atomic.swap, 40);
AT(struct rxe_send_wqe, wr.wr.atomic.rkey, 48);
AT(struct rxe_send_wqe, wr.wr.ud.remote_qpn, 24);
AT(struct rxe_send_wqe, wr.wr.ud.remote_qkey, 28);
AT(struct rxe_send_wqe, wr.wr.ud.pkey_index, 32);
AT(struct rxe_send_wqe, wr.wr.ud.ah_num, 36);
AT(struct rxe_send_wqe, wr.wr.ud.av, 56);
AT(struct rxe_send_wqe, wr.wr.mw.addr, 24);
AT(struct rxe_send_wqe, wr.wr.mw.length, 32);
AT(struct rxe_send_wqe, wr.wr.mw.mr_lkey, 40);
AT(struct rxe_send_wqe, wr.wr.mw.mw_rkey, 44);
AT(struct rxe_send_wqe, wr.wr.mw.rkey, 48);
AT(struct rxe_send_wqe, wr.wr.mw.access, 52);
AT(struct rxe_send_wqe, status, 144);
AT(struct rxe_send_wqe, state, 148);
AT(struct rxe_send_wqe, iova, 152);
AT(struct rxe_send_wqe, dma, 184);
SIZE_IS(struct rxe_send_wqe, 208);
SIZE_IS(struct rxe_av, 88);

/* Receive rings, of QPs and SRQs. */
AT(struct rxe_recv_wqe, wr_id, 0);
AT(struct rxe_recv_wqe, dma, 16);
SIZE_IS(struct rxe_recv_wqe, 40);

AT(struct rxe_dma_info, length, 0);
AT(struct rxe_dma_info, resid, 4);
AT(struct rxe_dma_info, num_sge, 12);
AT(struct rxe_dma_info, inline_data, 24);
AT(struct rxe_dma_info, sge, 24);
SIZE_IS(struct rxe_sge, 16);

/* Completion rings: a slot is 64 bytes. */
AT(struct ib_uverbs_wc, wr_id, 0);
AT(struct ib_uverbs_wc, status, 8);
AT(struct ib_uverbs_wc, opcode, 12);
AT(struct ib_uverbs_wc, byte_len, 20);
AT(struct ib_uverbs_wc, ex, 24);
AT(struct ib_uverbs_wc, qp_num, 28);
AT(struct ib_uverbs_wc, src_qp, 32);
AT(struct ib_uverbs_wc, wc_flags, 36);
AT(struct ib_uverbs_wc, pkey_index, 40);
SIZE_IS(struct ib_uverbs_wc, 48);

/* Answers to the create calls. */
SIZE_IS(struct mminfo, 16);
SIZE_IS(struct rxe_create_ah_resp, 8);
SIZE_IS(struct rxe_create_cq_resp, 16);
SIZE_IS(struct rxe_resize_cq_resp, 16);
SIZE_IS(struct rxe_create_qp_resp, 32);
SIZE_IS(struct rxe_create_srq_resp, 24);
SIZE_IS(struct rxe_modify_srq_cmd, 8);
