/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The completer: what the peer has answered, and what the consumer is told of it. It
 * belongs to the step of the SQ side: all is called with that side's token held.
 */
#ifndef URXE_COMP_H
#define URXE_COMP_H

#include <rdma/ib_verbs.h>

#include "runner.h"

struct urxe_qp;

/* The oldest WQE can't be completed but with @status. */
void urxe_req_fail(struct urxe_qp *qp, enum ib_wc_status status);

/**
 * urxe_complete_ready - complete what is done, in order
 * @qp: the QP
 * An error ends it, and the QP.
 */
void urxe_complete_ready(struct urxe_qp *qp);

/**
 * urxe_complete_responses - work on what the peer has answered
 * @qp: the QP
 * @ctx: where the caller runs
 * Return: URXE_STEP_DONE when the queue is empty, or as a step.
 */
enum urxe_step urxe_complete_responses(struct urxe_qp *qp,
				       struct urxe_ctx *ctx);

/* All that is posted completes with IB_WC_WR_FLUSH_ERR. */
void urxe_flush_sq(struct urxe_qp *qp);

#endif /* URXE_COMP_H */
