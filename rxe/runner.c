// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The token: BUSY is held by exactly one context, AGAIN is the note that a
 * newcomer leaves. Both live in one word so that "put down, unless there is a
 * note" is one compare-and-swap.
 */
#include <linux/sched/isolation.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "compat.h"
#include "mr.h"
#include "runner.h"

#define RUN_BUSY	BIT(0)
#define RUN_AGAIN	BIT(1)

/* Packets' worth of work before softirq or a system call lets others have a go. */
#define BUDGET_INLINE	512
#define BUDGET_WORKER	4096
/*
 * A stream worker's turn ends after this, too: where packets take long, others wait
 * long. One that may fault takes nobody's turn, and its pages take what they take.
 */
#define TURN_TICKS	DIV_ROUND_UP(HZ, 250)
#define FAULTS_TICKS	MAX_JIFFY_OFFSET

/* For how long a caller waits for a worker to step aside. */
#define CLAIM_TICKS	1
/* For how long a worker that has stepped aside lets him do. */
#define ASIDE_US	50

/* Between two looks at whether a worker has begun with what is to be stopped. */
#define STOP_TICKS	(HZ / 20 + 1)

/* Between two looks at an access that waits for a page. */
#define PATIENCE_TICKS	(DIV_ROUND_UP(HZ, 250) + 1)

static struct workqueue_struct *streams[URXE_SIDES];
static struct workqueue_struct *placed;
/* How many there have been; spreads them. */
static atomic_t runners;

/* True when the token is ours now; else its holder has been told. */
static bool take_or_tell(struct urxe_runner *runner)
{
	unsigned long old = READ_ONCE(runner->state);
	unsigned long new;

	do {
		new = old & RUN_BUSY ? old | RUN_AGAIN : old | RUN_BUSY;
	} while (!try_cmpxchg(&runner->state, &old, new));
	return !(old & RUN_BUSY);
}

/* For somebody who wants the token as it is: what is left is his to do. */
static void give_up(struct urxe_runner *runner)
{
	/* Pairs with cmpxchg() in take_or_tell(): he sees all that we have done. */
	smp_store_release(&runner->state, 0);
	wake_up_all(&runner->idle);
}

/* Likewise, unless somebody wants to keep it. */
static bool take(struct urxe_runner *runner, int cpu)
{
	if (!take_or_tell(runner))
		return false;
	/* With the token only: else we leave a note, which start() acts on. */
	if (READ_ONCE(runner->stopping)) {
		give_up(runner);
		return false;
	}
	runner->cpu = cpu;
	return true;
}

/*
 * What is sent from within softirq may wait on this processor until that is over;
 * what another processor sends meanwhile would overtake it.
 */
static bool take_here(struct urxe_runner *runner)
{
	return take(runner, in_serving_softirq() ? smp_processor_id() :
						   WORK_CPU_UNBOUND);
}

/* True when the token is put down; false when a note says to go on. */
static bool put_down(struct urxe_runner *runner)
{
	unsigned long old = READ_ONCE(runner->state);
	unsigned long new;

	do {
		new = old & RUN_AGAIN ? RUN_BUSY : 0;
	} while (!try_cmpxchg(&runner->state, &old, new));
	if (new)
		return false;
	/* Behind a barrier, which try_cmpxchg() is: who sleeps has looked before. */
	if (waitqueue_active(&runner->idle))
		wake_up_all(&runner->idle);
	return true;
}

/* The worker has the token from here on, and with it a reference to @mm. */
static void hand_over(struct urxe_runner *runner, struct mm_struct *mm)
{
	if (mm)
		mmgrab(mm);
	runner->mm = mm;
	queue_work(runner->wq, &runner->work);
}

/* Likewise a stream worker. */
static void hand_to_stream(struct urxe_runner *runner)
{
	if (runner->cpu != WORK_CPU_UNBOUND)
		queue_work_on(runner->cpu, placed, &runner->placed);
	else
		queue_work(streams[runner->side], &runner->stream);
}

/* A cpuset may isolate a processor at any time. */
static bool is_isolated(int cpu)
{
	bool isolated;

	rcu_read_lock();
	isolated = cpu_is_isolated(cpu);
	rcu_read_unlock();
	return isolated;
}

/*
 * The runner's own share of the processors, unless that is where we are. A
 * processor that is isolated has better things to do.
 */
static int another_cpu(const struct urxe_runner *runner)
{
	int cpu, found = WORK_CPU_UNBOUND;
	/* No processor goes meanwhile. */
	const int here = get_cpu();
	unsigned int i;

	for (i = 0; i < num_online_cpus(); i++) {
		cpu = cpumask_local_spread(runner->spread + i, NUMA_NO_NODE);
		if (cpu != here && !is_isolated(cpu)) {
			found = cpu;
			break;
		}
	}
	put_cpu();
	return found;
}

/* A worker that runs what a caller would; of one runner in a turn. */
static bool may_step_aside(const struct urxe_runner *runner,
			   const struct urxe_ctx *ctx)
{
	return ctx->yields && !ctx->aside && READ_ONCE(runner->claimed);
}

void urxe_ctx_want(struct urxe_ctx *ctx, struct urxe_mr *mr)
{
	if (mr)
		kref_get(&mr->ref);
	if (ctx->want)
		urxe_mr_put(ctx->want);
	ctx->want = mr;
}

/* The step is not over, and its end is not for this turn. */
static void pass_on(struct urxe_runner *runner, struct urxe_ctx *ctx,
		    enum urxe_step step)
{
	if (step == URXE_STEP_AGAIN && may_step_aside(runner, ctx)) {
		ctx->aside = runner;
		WRITE_ONCE(runner->claimed, false);
		give_up(runner);
	} else if (step == URXE_STEP_AWAY) {
		runner->cpu = another_cpu(runner);
		hand_to_stream(runner);
	} else if (step == URXE_STEP_AGAIN && !ctx->mm) {
		hand_to_stream(runner);
	} else {
		hand_over(runner, ctx->want ? ctx->want->umem->mm : ctx->mm);
	}
}

/* Who only leaves notes, again and again, keeps nobody here for ever. */
static bool has_had_its_turn(const struct urxe_runner *runner,
			     struct urxe_ctx *ctx)
{
	ctx->budget--;
	return urxe_ctx_over(ctx) && (READ_ONCE(runner->state) & RUN_AGAIN);
}

/* Run with the token held until it is put down or handed over. */
static void run(struct urxe_runner *runner, struct urxe_ctx *ctx)
{
	enum urxe_step step;

	ctx->runner = runner;
	do {
		urxe_ctx_want(ctx, NULL);
		step = runner->step(runner, ctx);
		if (READ_ONCE(runner->stopping)) {
			give_up(runner);
			break;
		}
		if (step == URXE_STEP_DONE && has_had_its_turn(runner, ctx))
			step = URXE_STEP_AGAIN;
		if (step != URXE_STEP_DONE) {
			pass_on(runner, ctx, step);
			break;
		}
	} while (!put_down(runner));
	urxe_ctx_want(ctx, NULL);
}

/* Leave it to a worker, in the mm where it would have been done. */
static void defer(struct urxe_runner *runner, struct mm_struct *mm)
{
	if (take(runner, WORK_CPU_UNBOUND))
		hand_over(runner, mm);
}

/* Whether to wait any longer for a worker that has the token. */
static bool settled(struct urxe_runner *runner, bool *took)
{
	*took = take_here(runner);
	return *took || READ_ONCE(runner->stopping) ||
	       READ_ONCE(runner->waits_for);
}

/* A worker steps aside after the packet at hand, if it does not wait for a page. */
static bool claim(struct urxe_runner *runner)
{
	bool took;

	WRITE_ONCE(runner->claimed, true);
	wait_event_timeout(runner->idle, settled(runner, &took), CLAIM_TICKS);
	if (took)
		WRITE_ONCE(runner->claimed, false);
	return took;
}

static void try_run(struct urxe_runner *runner, struct urxe_ctx *ctx)
{
	if (take_here(runner) || (ctx->claims && claim(runner)))
		run(runner, ctx);
}

/*
 * What the step has kicked, and what that kicks in turn. Only the first one may
 * fault: the stop() of another would not interrupt a fault that is made here.
 */
static void run_next(struct urxe_ctx *ctx)
{
	struct urxe_runner *runner, *aside;

	ctx->may_sleep = false;
	while ((runner = ctx->next)) {
		ctx->next = NULL;
		aside = ctx->aside;
		/* What is aside, come_back() sees to. */
		if (runner != aside && urxe_ctx_over(ctx))
			defer(runner, ctx->mm);
		else if (runner != aside)
			try_run(runner, ctx);
		if (ctx->aside == aside)
			runner->put(runner);
	}
}

/* The caller has the token, or had it; or something kept him, and it is ours again. */
static void come_back(const struct urxe_ctx *ctx)
{
	usleep_range(ASIDE_US, 2 * ASIDE_US);
	defer(ctx->aside, ctx->mm);
}

/* What a worker of any kind does with the token that it has been handed. */
static void run_handed(struct urxe_runner *runner, struct urxe_ctx *ctx)
{
	struct urxe_runner *own;

	ctx->yields = true;
	run(runner, ctx);
	own = ctx->aside;
	run_next(ctx);
	if (ctx->aside)
		come_back(ctx);
	if (ctx->aside != own)
		ctx->aside->put(ctx->aside);
}

static void run_worker(struct work_struct *work)
{
	struct urxe_runner *runner =
		container_of(work, struct urxe_runner, work);
	struct urxe_ctx ctx = {
		.may_sleep = true,
		.budget = BUDGET_WORKER,
		.until = jiffies + FAULTS_TICKS,
		.mm = runner->mm,
	};
	bool inside;

	/* A dead mm is not entered: it is the access that fails, then. */
	inside = ctx.mm && !umem_worker_enter(&runner->worker, ctx.mm);
	run_handed(runner, &ctx);
	if (inside)
		umem_worker_leave(&runner->worker);
	if (ctx.mm)
		mmdrop(ctx.mm);
}

static void run_turn(struct urxe_runner *runner)
{
	struct urxe_ctx ctx = {
		.budget = BUDGET_INLINE,
		.until = jiffies + TURN_TICKS,
	};

	run_handed(runner, &ctx);
}

static void run_stream(struct work_struct *work)
{
	run_turn(container_of(work, struct urxe_runner, stream));
}

static void run_placed(struct work_struct *work)
{
	run_turn(container_of(work, struct urxe_runner, placed));
}

/* The worker deletes the timer before it goes on: it waits when this runs. */
static void on_patience(struct timer_list *timer)
{
	struct urxe_runner *runner =
		container_of(timer, struct urxe_runner, patience);

	runner->on_wait(runner, jiffies - runner->waits_since);
	mod_timer(timer, jiffies + PATIENCE_TICKS);
}

void urxe_ctx_begin_wait(struct urxe_ctx *ctx, const void *what)
{
	struct urxe_runner *runner = ctx->runner;

	if (!ctx->may_sleep)
		return;
	/* Nobody else is to wait for this page. */
	urxe_ctx_leave_next(ctx);
	urxe_ctx_want(ctx, NULL);
	WRITE_ONCE(runner->waits_for, what);
	if (!runner->on_wait)
		return;
	runner->on_wait(runner, 0);
	runner->waits_since = jiffies;
	mod_timer(&runner->patience, jiffies + PATIENCE_TICKS);
}

void urxe_ctx_end_wait(struct urxe_ctx *ctx)
{
	if (!ctx->may_sleep)
		return;
	if (ctx->runner->on_wait)
		timer_delete_sync(&ctx->runner->patience);
	WRITE_ONCE(ctx->runner->waits_for, NULL);
}

void urxe_runner_break(struct urxe_runner *runner, const void *what)
{
	if (READ_ONCE(runner->waits_for) == what)
		umem_worker_break(&runner->worker);
}

int urxe_ctx_fault(struct urxe_ctx *ctx, struct urxe_mr *mr, int err)
{
	if (READ_ONCE(ctx->runner->stopping))
		return -EAGAIN;
	/* Cut short: it is not the memory's fault. */
	if (ctx->may_sleep && signal_pending(current))
		err = -EAGAIN;
	else if (err == -EAGAIN && ctx->may_sleep && ctx->mm == mr->umem->mm)
		err = -EFAULT;
	if (err != -EAGAIN)
		return err;
	urxe_ctx_want(ctx, mr);
	return -EAGAIN;
}

void urxe_streams_exit(void)
{
	int side;

	for (side = 0; side < URXE_SIDES; side++)
		if (streams[side])
			destroy_workqueue(streams[side]);
	if (placed)
		destroy_workqueue(placed);
}

/* Kernel consumers may be what memory is freed with. */
int urxe_streams_init(void)
{
	const unsigned int flags = WQ_HIGHPRI | WQ_MEM_RECLAIM;
	const int many = DIV_ROUND_UP(num_online_cpus(), 2);
	static const char *const names[URXE_SIDES] = {
		[URXE_SIDE_SQ] = "urxe-stream-sq",
		[URXE_SIDE_RQ] = "urxe-stream-rq",
	};
	bool made;
	int side;

	placed = alloc_workqueue("urxe-placed",
				 flags | WQ_PERCPU | WQ_CPU_INTENSIVE, 1);
	made = placed;
	for (side = 0; side < URXE_SIDES; side++) {
		streams[side] = alloc_workqueue("%s", flags | WQ_UNBOUND, many,
						names[side]);
		made &= !!streams[side];
	}
	if (made)
		return 0;
	urxe_streams_exit();
	return -ENOMEM;
}

void urxe_runner_init(struct urxe_runner *runner, enum urxe_side side,
		      struct workqueue_struct *wq,
		      enum urxe_step (*step)(struct urxe_runner *runner,
					     struct urxe_ctx *ctx),
		      void (*put)(struct urxe_runner *runner),
		      void (*on_wait)(struct urxe_runner *runner,
				      unsigned long waited))
{
	runner->state = 0;
	runner->stopping = false;
	runner->claimed = false;
	runner->step = step;
	runner->put = put;
	runner->on_wait = on_wait;
	timer_setup(&runner->patience, on_patience, 0);
	runner->mm = NULL;
	runner->side = side;
	runner->cpu = WORK_CPU_UNBOUND;
	runner->spread = atomic_inc_return(&runners);
	runner->wq = wq;
	umem_worker_init(&runner->worker);
	INIT_WORK(&runner->work, run_worker);
	INIT_WORK(&runner->stream, run_stream);
	INIT_WORK(&runner->placed, run_placed);
	init_waitqueue_head(&runner->idle);
}

void urxe_runner_kick_call(struct urxe_runner *runner, struct mm_struct *mm,
			   bool claims)
{
	struct urxe_ctx ctx = {
		.claims = claims, .budget = BUDGET_INLINE, .mm = mm,
	};

	try_run(runner, &ctx);
	run_next(&ctx);
}

void urxe_runner_kick(struct urxe_runner *runner)
{
	urxe_runner_kick_call(runner, NULL, false);
}

void urxe_runner_kick_next(struct urxe_ctx *ctx, struct urxe_runner *runner)
{
	swap(ctx->next, runner);
	if (!runner)
		return;
	if (runner != ctx->next)
		urxe_runner_defer(runner);
	runner->put(runner);
}

void urxe_runner_defer(struct urxe_runner *runner)
{
	defer(runner, NULL);
}

void urxe_ctx_leave_next(struct urxe_ctx *ctx)
{
	if (!ctx->next)
		return;
	urxe_runner_defer(ctx->next);
	ctx->next->put(ctx->next);
	ctx->next = NULL;
}

bool urxe_runner_stream(struct urxe_runner *runner, bool away)
{
	if (!take(runner, away ? another_cpu(runner) : WORK_CPU_UNBOUND))
		return false;
	hand_to_stream(runner);
	return true;
}

/*
 * From a worker that has been handed the token and has not begun: there are only so
 * many of a process, and if all wait for pages, what is queued has to wait for these.
 */
static bool take_back(struct urxe_runner *runner)
{
	if (!cancel_work(&runner->work))
		return false;
	if (runner->mm)
		mmdrop(runner->mm);
	return true;
}

void urxe_runner_stop(struct urxe_runner *runner)
{
	WRITE_ONCE(runner->stopping, true);
	umem_worker_interrupt(&runner->worker);
	while (!wait_event_timeout(runner->idle, take_or_tell(runner),
				   STOP_TICKS))
		if (take_back(runner))
			break;
	/* A worker may have put the token down and still be on its way out. */
	flush_work(&runner->work);
	flush_work(&runner->stream);
	flush_work(&runner->placed);
}

void urxe_runner_start(struct urxe_runner *runner)
{
	struct urxe_ctx ctx = { .budget = BUDGET_INLINE };

	umem_worker_resume(&runner->worker);
	WRITE_ONCE(runner->stopping, false);
	run(runner, &ctx);
	run_next(&ctx);
}
