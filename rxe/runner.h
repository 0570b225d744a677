/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * A runner is one state machine and the token that lets one context at a time
 * run it: a post_send caller, softirq, a timer, or the worker.
 *
 * Whoever kicks a runner that nobody runs takes the token and works until
 * nothing is left. Who kicks a busy one leaves a note, which the holder reads
 * before it lets go. A step that has to sleep, or has worked long enough,
 * passes the token itself to the worker. So the state behind a runner needs no
 * lock: holding the token is the lock.
 */
#ifndef URXE_RUNNER_H
#define URXE_RUNNER_H

#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/preempt.h>
#include <linux/timer.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <umem.h>

#include "handle.h"

/* Bytes at once that are worth a worker. */
#define URXE_BULK	(16 << 10)

struct urxe_mr;
struct urxe_runner;

/**
 * struct urxe_ctx - in what context a step runs, and what it wants
 * @may_sleep: in the worker, with @mm entered (if not NULL)
 * @claims: this caller wants the token though a worker has it, and may sleep until
 *	    that lets go
 * @yields: this is a worker of any kind: it lets a caller who claims the token have
 *	    it, and may sleep for a moment
 * @budget: units of work (about one packet each) left in this turn; see
 *	    urxe_ctx_over()
 * @until: jiffies, when a worker's turn is over in any case
 * @mm: the caller's; or which the worker entered, or tried to and found dead
 * @want: set by the step before URXE_STEP_SLEEP: the region whose memory it needs; see
 *	  urxe_ctx_want()
 * @runner: who runs
 * @next: a runner that this step has given something to do; see
 *	  urxe_runner_kick_next(). With a reference that its @put gives back
 * @aside: one that a worker has left to whoever claims it; likewise, unless it is
 *	   the worker's own
 */
struct urxe_ctx {
	bool			may_sleep;
	bool			claims;
	bool			yields;
	int			budget;
	unsigned long		until;
	struct mm_struct	*mm;
	struct urxe_mr		*want;
	struct urxe_runner	*runner;
	struct urxe_runner	*next;
	struct urxe_runner	*aside;
};

enum urxe_step {
	URXE_STEP_DONE,		/* nothing left until the next kick */
	URXE_STEP_AGAIN,	/* this turn is over: go on in a worker of some kind */
	URXE_STEP_AWAY,		/* much to do: go on, on another processor */
	URXE_STEP_SLEEP,	/* needs the memory of ctx->want, and may fault */
};

/**
 * struct urxe_runner - the token and the worker behind it
 * @state: RUN_* bits
 * @stopping: somebody waits for the token to keep it; steps are cut short
 * @claimed: a caller found the token taken, and waits a moment for it
 * @step: works until nothing is left, the budget is used, or it must sleep
 * @put: gives back a reference on what the runner is part of
 * @on_wait: may be NULL; called by the worker, with @waited 0, before an access that
 *	     may have to wait for a page, and from timer context again and again,
 *	     with the jiffies it has taken so far, until the access is over
 * @patience: makes these calls
 * @waits_since: jiffies, when the access began
 * @waits_for: the region it is made to, or NULL
 * @side: which stream workers take it: each side has its own, so that the two work
 *	  side by side
 * @cpu: where a stream worker has to go on, or WORK_CPU_UNBOUND; written by the
 *	 token's holder
 * @spread: spreads the runners over the processors
 * @worker: the worker's stay in an owner's mm
 * @mm: which mm; written by the token's holder; held by mmgrab() from the
 *	hand-over until the worker is done with it
 * @work: queued on @wq while the worker has the token
 * @wq: of workers that may wait for a page
 * @stream: queued likewise on the side's stream workers
 * @placed: or on @cpu. Each of the three has its one workqueue, which is what makes it
 *	    run in one place at a time, and flush_work() find it
 * @idle: woken when the token is put down and somebody waits for it
 */
struct urxe_runner {
	unsigned long		state;
	bool			stopping;
	bool			claimed;
	enum urxe_step		(*step)(struct urxe_runner *runner,
					struct urxe_ctx *ctx);
	void			(*put)(struct urxe_runner *runner);
	void			(*on_wait)(struct urxe_runner *runner,
					   unsigned long waited);
	struct timer_list	patience;
	unsigned long		waits_since;
	const void		*waits_for;
	enum urxe_side		side;
	int			cpu;
	unsigned int		spread;
	struct umem_worker	worker;
	struct mm_struct	*mm;
	struct work_struct	work;
	struct workqueue_struct	*wq;
	struct work_struct	stream;
	struct work_struct	placed;
	wait_queue_head_t	idle;
};

/**
 * urxe_streams_init - make the stream workers
 *
 * They do what is much rather than urgent: for either side at most half as many at a
 * time as there are processors, and one on each processor for what has to run there;
 * one QP after the other, a turn each. So what comes for
 * a QP meanwhile is done with at its next turn, all at once. None of them waits for a
 * page, nor for long for anything else.
 * What softirq has begun to send stays on its processor.
 * Return: 0 or -ENOMEM.
 */
int urxe_streams_init(void);
void urxe_streams_exit(void);

/**
 * urxe_runner_init - a side of a QP that nobody has run yet
 * @runner: the side's
 * @side: which one
 * @wq: where its worker, which may sleep in page faults, is queued
 * @step: works until nothing is left, with the token held
 * @put: gives back the reference that urxe_runner_kick_next() has been handed
 * @on_wait: told every few milliseconds that the worker waits for a page, and for how
 *	     long it has, in jiffies; from softirq, but for the first time. NULL: nobody
 */
void urxe_runner_init(struct urxe_runner *runner, enum urxe_side side,
		      struct workqueue_struct *wq,
		      enum urxe_step (*step)(struct urxe_runner *runner,
					     struct urxe_ctx *ctx),
		      void (*put)(struct urxe_runner *runner),
		      void (*on_wait)(struct urxe_runner *runner,
				      unsigned long waited));

/**
 * urxe_runner_kick - there is something to do
 * @runner: the side's
 *
 * Runs the step here and now, if nobody does.
 * Context: process or softirq; not with interrupts disabled.
 */
void urxe_runner_kick(struct urxe_runner *runner);

/**
 * urxe_runner_kick_call - likewise, from a system call
 * @runner: the side's
 * @mm: of the caller, which is where a worker should go on; may be NULL
 * @claims: the caller is the one to do it, and may sleep: a worker that is at it already
 *	    is to let go of it
 */
void urxe_runner_kick_call(struct urxe_runner *runner, struct mm_struct *mm,
			   bool claims);

/**
 * urxe_runner_kick_next - there is something to do for another runner
 * @ctx: of the step that says so
 * @runner: the other one, with a reference for its @put
 *
 * It is kicked in the same context when the step is over and its token put down:
 * two ends that keep each other busy take turns, and neither is called with the
 * other's token held. What the budget does not suffice for a worker does.
 */
void urxe_runner_kick_next(struct urxe_ctx *ctx, struct urxe_runner *runner);

/**
 * urxe_ctx_leave_next - leave what has been kicked to a worker
 * @ctx: of somebody who sends, and runs no step: a timer
 * Context: any.
 */
void urxe_ctx_leave_next(struct urxe_ctx *ctx);

/**
 * urxe_runner_defer - there is something to do, but not in this context
 * @runner: the side's
 * Context: any.
 */
void urxe_runner_defer(struct urxe_runner *runner);

/**
 * urxe_runner_stream - there is much to do, and more to come
 * @runner: the side's
 * @away: not on this processor, which has enough to do with what brought it
 *
 * A stream worker does it.
 * Context: any.
 * Return: whether one had to be called.
 */
bool urxe_runner_stream(struct urxe_runner *runner, bool away);

/**
 * urxe_runner_stop - take the token away from everyone
 * @runner: the side's
 *
 * A fault that the worker waits in is interrupted; the step sees -EAGAIN and can
 * do the same access again later. After the return nobody runs the step and
 * nobody will, until urxe_runner_start(). One stopper at a time. May sleep.
 */
void urxe_runner_stop(struct urxe_runner *runner);

/* Give the token back, and run what was left meanwhile. Process context. */
void urxe_runner_start(struct urxe_runner *runner);

/* True when this turn has done enough, or taken long enough. */
static inline bool urxe_ctx_over(const struct urxe_ctx *ctx)
{
	return ctx->budget <= 0 ||
	       (ctx->yields && time_after(jiffies, ctx->until));
}

/* True when the step should end with URXE_STEP_AGAIN: it is somebody else's turn. */
static inline bool urxe_ctx_spent(const struct urxe_ctx *ctx)
{
	return urxe_ctx_over(ctx) ||
	       (ctx->yields && READ_ONCE(ctx->runner->claimed));
}

/**
 * urxe_is_bulk - whether another processor had better see to so much
 * @bytes: at once
 *
 * Then this one can go on with what brought it, or what it brings in turn.
 */
static inline bool urxe_is_bulk(u32 bytes)
{
	return bytes >= URXE_BULK && num_online_cpus() > 1;
}

/* Likewise, of something that is to be sent: true for URXE_STEP_AWAY. */
static inline bool urxe_send_away(u32 bytes)
{
	return in_serving_softirq() && urxe_is_bulk(bytes);
}

/**
 * urxe_ctx_begin_wait - the access that follows may have to wait for a page
 * @ctx: the context; nothing is done unless it is a worker's
 * @what: the region; for urxe_runner_break()
 */
void urxe_ctx_begin_wait(struct urxe_ctx *ctx, const void *what);

/* It is over. */
void urxe_ctx_end_wait(struct urxe_ctx *ctx);

/**
 * urxe_runner_break - let no access wait for pages of a region any more
 * @runner: the side's
 * @what: the region, which nobody finds any more
 *
 * An access under way is cut short, and the step is run again. One that begins at
 * this moment may be missed: call again.
 * Context: any.
 */
void urxe_runner_break(struct urxe_runner *runner, const void *what);

/**
 * urxe_ctx_want - the step can't go on without the memory of a region
 * @ctx: the context
 * @mr: the region, held by the caller; NULL: of none any more
 *
 * A reference is kept until the work is handed over: the region may be what keeps the
 * owner's mm. So nothing may wait for long while one is wanted.
 */
void urxe_ctx_want(struct urxe_ctx *ctx, struct urxe_mr *mr);

/**
 * urxe_ctx_fault - what an access that failed in this context means
 * @ctx: the context
 * @mr: the region
 * @err: what the accessor of ib_umem returned
 *
 * Return: -EAGAIN when the step should end with URXE_STEP_SLEEP and do it again;
 * any other error is final.
 */
int urxe_ctx_fault(struct urxe_ctx *ctx, struct urxe_mr *mr, int err);

#endif /* URXE_RUNNER_H */
