/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * What unreliable datagrams have of their own: every message has a destination,
 * and a header that says who sent it and may.
 */
#ifndef URXE_UD_H
#define URXE_UD_H

#include "pkt.h"
#include "qp.h"

struct urxe_batch;

/**
 * urxe_ud_aim - have the next packet go where its WQE says
 * @qp: the QP
 * @batch: sent first, if it is on its way somewhere else
 * @wqe: has the destination
 * Return: not IB_WC_SUCCESS when the message can't be sent. SQ side's token held.
 */
enum ib_wc_status urxe_ud_aim(struct urxe_qp *qp, struct urxe_batch *batch,
			      const struct urxe_wqe *wqe);

/* Write the DETH at @at. Return: where the next header begins. */
void *urxe_ud_put_deth(void *at, const struct urxe_qp *qp,
		       const struct urxe_dest *dest);

/* Is the port where @skb was sent to, or a group that the QP is in? */
bool urxe_ud_is_ours(const struct urxe_qp *qp, struct sk_buff *skb);

/**
 * urxe_ud_request - take a datagram in
 * @qp: the QP
 * @pkt: in order or not: there is none
 * @ctx: where the caller runs
 * Return: as a request's in resp.h: 0, -EAGAIN or FAIL_TOLD. RQ side's token held.
 */
int urxe_ud_request(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		    struct urxe_ctx *ctx);

#endif /* URXE_UD_H */
