// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * Doorbells: whether what is posted leaves in the call that says so.
 */
#include <linux/cpumask.h>
#include <linux/irqflags.h>
#include <linux/minmax.h>
#include <linux/preempt.h>
#include <linux/sched.h>

#include "doorbell.h"
#include "opcode.h"
#include "qp.h"

/* So long a streak is a stream, and so is so much that is not acknowledged. */
#define STREAM_RINGS	8
#define STREAM_DEPTH	16
/* Some waits end any streak. */
#define STREAK_MAX	64

/* Work requests posted and not completed. */
static u32 depth(const struct urxe_sq *sq)
{
	u32 taken = READ_ONCE(sq->head) - READ_ONCE(sq->una);

	return sq->ring.buf ? taken + urxe_ring_pending(&sq->ring) : taken;
}

/* Has the consumer taken completions since, and has none left? */
static bool has_polled(struct urxe_doorbell *bell, struct urxe_cq *cq)
{
	unsigned long flags;
	u32 index, unread;

	spin_lock_irqsave(&cq->lock, flags);
	index = cq->ring.index;
	unread = urxe_ring_unread(&cq->ring);
	spin_unlock_irqrestore(&cq->lock, flags);
	if (unread || index == READ_ONCE(bell->cq_index))
		return false;
	WRITE_ONCE(bell->cq_index, index);
	return true;
}

static bool is_stream(struct urxe_qp *qp)
{
	struct urxe_doorbell *bell = &qp->doorbell;
	u32 streak = min_t(u32, READ_ONCE(bell->streak) + 1, STREAK_MAX);

	if (!(qp->service & OP_RC) || READ_ONCE(bell->refers) ||
	    num_online_cpus() == 1)
		return false;
	if (depth(&qp->sq) > STREAM_DEPTH)
		return true;
	if (READ_ONCE(bell->heard) ||
	    has_polled(bell, to_ucq(qp->ibqp.send_cq)))
		streak /= 2;
	WRITE_ONCE(bell->heard, false);
	WRITE_ONCE(bell->streak, streak);
	return streak > STREAM_RINGS;
}

/*
 * With interrupts off the network stack can't be entered. Bytes that are referred to
 * are best copied by the caller, whose they are.
 */
void urxe_doorbell_ring(struct urxe_qp *qp)
{
	if (is_stream(qp))
		urxe_qp_stream(qp, &qp->sq_runner, false);
	else if (irqs_disabled() || in_hardirq())
		urxe_runner_defer(&qp->sq_runner);
	else if (qp_is_user(qp))
		urxe_runner_kick_call(&qp->sq_runner, current->mm,
				      READ_ONCE(qp->doorbell.refers));
	else
		urxe_runner_kick(&qp->sq_runner);
}
