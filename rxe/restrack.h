/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * What `rdma resource show` tells of our objects (with -dd: driver details).
 */
#ifndef URXE_RESTRACK_H
#define URXE_RESTRACK_H

struct ib_cq;
struct ib_mr;
struct ib_qp;
struct ib_srq;
struct sk_buff;

/* Hooks for the core. Return: 0 or -EMSGSIZE. */
int urxe_fill_res_mr(struct sk_buff *msg, struct ib_mr *ibmr);
int urxe_fill_res_cq(struct sk_buff *msg, struct ib_cq *ibcq);
int urxe_fill_res_qp(struct sk_buff *msg, struct ib_qp *ibqp);
int urxe_fill_res_srq(struct sk_buff *msg, struct ib_srq *ibsrq);

/* `rdma statistic show mr`, likewise. */
int urxe_fill_stat_mr(struct sk_buff *msg, struct ib_mr *ibmr);

#endif /* URXE_RESTRACK_H */
