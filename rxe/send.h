/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * A WQE made into packets: each call makes what is at @send_psn, and moves that on.
 * SQ side's token held.
 */
#ifndef URXE_SEND_H
#define URXE_SEND_H

#include <rdma/ib_verbs.h>

struct urxe_batch;
struct urxe_ctx;
struct urxe_qp;
struct urxe_wqe;

/* What sending the next packet came to. */
enum urxe_tx {
	TX_MORE,		/* sent; try the next */
	TX_IDLE,		/* nothing may be sent now */
	TX_SLEEP,		/* needs memory that only a worker reaches */
	TX_AGAIN,		/* enough for this turn */
	TX_AWAY,		/* as much as another processor had better send */
};

/**
 * urxe_req_send_message - the next packet of a SEND or an RDMA WRITE
 * @qp: the QP
 * @batch: takes it
 * @wqe: has its PSNs
 * @ctx: where the caller runs
 *
 * To an RC peer on this host it may refer to its bytes (ref.h), and stand for many.
 * Return: TX_IDLE when the WQE has failed.
 */
enum urxe_tx urxe_req_send_message(struct urxe_qp *qp,
				   struct urxe_batch *batch,
				   struct urxe_wqe *wqe, struct urxe_ctx *ctx);

/**
 * urxe_req_send_request - the one packet of what has a response
 * @qp: the QP
 * @batch: takes it
 * @wqe: has its PSNs; all of them, from @send_psn on, are asked for
 * Return: as urxe_req_send_message().
 */
enum urxe_tx urxe_req_send_request(struct urxe_qp *qp,
				   struct urxe_batch *batch,
				   struct urxe_wqe *wqe);

/* The WQE ends with @status when its turn comes. Return: TX_IDLE. */
enum urxe_tx urxe_req_local_error(struct urxe_wqe *wqe,
				  enum ib_wc_status status);

#endif /* URXE_SEND_H */
