// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * scribble DEVICE GID_INDEX DEVICE GID_INDEX SECONDS SEED: write at random over all
 * that the driver shares with user space while the driver works on it.
 *
 * Again and again a child process makes two queue pairs of RC, UC or UD, by turns, that
 * can reach each other, one of them with a shared receive queue, posts a set of good
 * work requests through libibverbs, takes a picture of the rings, and then
 *	- puts elements of the picture back, some of their bits flipped, moves the
 *	  indices somewhere, and rings the doorbell by itself (libibverbs would
 *	  trip over its own rings),
 *	- while two threads write random words, above all the indices.
 * It ends in order, or just so, or is killed. What this program does to itself
 * counts for nothing. It goes on for so many seconds, and until there were a few
 * rounds and some doorbells; it prints `going` in the middle of each round, and at
 * the end how many of both there were.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <pthread.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_user_rxe.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEPTH		16
#define BUF_SIZE	(1 << 20)
#define MAX_RINGS	16
#define QKEY		0x1234
/* What there has to be, if it takes no more than this many seconds longer. */
#define MIN_ROUNDS	3
#define MIN_DOORBELLS	100
#define PATIENCE	120

/* One mapping of the uverbs file, as it was before we spoiled it. */
struct ring {
	struct rxe_queue_buf *buf;
	size_t size;
	uint32_t shift, mask;
	void *picture;
};

struct side {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_mr *mr;
	struct ibv_mw *mw[2];
	struct ibv_srq *srq;
	struct ibv_ah *ah;
	struct ibv_qp *qp;
	union ibv_gid gid;
	int gid_index;
	uint8_t *mem;
};

/* Of the queue pairs of this round. */
static enum ibv_qp_type service;
static struct ring rings[MAX_RINGS];
static int num_rings;
static unsigned long *doorbells;
static volatile int stop;

static uint64_t xorshift(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void die(const char *what)
{
	perror(what);
	_exit(3);
}

/* --- two queue pairs ----------------------------------------------------- */

static void side_open(struct side *side, const char *name, int gid_index)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	int i;

	for (i = 0; list && list[i]; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			side->ctx = ibv_open_device(list[i]);
	if (!side->ctx)
		die("ibv_open_device");
	side->gid_index = gid_index;
	if (ibv_query_gid(side->ctx, 1, gid_index, &side->gid))
		die("ibv_query_gid");
	side->mem = mmap(NULL, BUF_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	side->pd = ibv_alloc_pd(side->ctx);
	side->cq = ibv_create_cq(side->ctx, 4 * DEPTH, NULL, NULL, 0);
	side->mr = ibv_reg_mr(side->pd, side->mem, BUF_SIZE, 0x1f);
	side->mw[0] = ibv_alloc_mw(side->pd, IBV_MW_TYPE_1);
	side->mw[1] = ibv_alloc_mw(side->pd, IBV_MW_TYPE_2);
	if (!side->pd || !side->cq || !side->mr || !side->mw[0] || !side->mw[1])
		die("pd, cq, mr, mw");
}

static void side_make_srq(struct side *side)
{
	struct ibv_srq_init_attr init = { .attr = { DEPTH, 4, 0 } };

	side->srq = ibv_create_srq(side->pd, &init);
	if (!side->srq)
		die("ibv_create_srq");
}

static void side_make_qp(struct side *side)
{
	struct ibv_qp_init_attr init = {
		.send_cq = side->cq, .recv_cq = side->cq, .qp_type = service,
		.srq = side->srq, .cap = { DEPTH, DEPTH, 4, 4, 64 },
	};

	side->qp = ibv_create_qp(side->pd, &init);
	if (!side->qp)
		die("ibv_create_qp");
}

static int in_error(const struct side *side)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;

	return !ibv_query_qp(side->qp, &attr, IBV_QP_STATE, &init) &&
	       (attr.qp_state == IBV_QPS_ERR || attr.qp_state == IBV_QPS_SQE);
}

static struct ibv_ah_attr way_to(const struct side *side, const struct side *peer)
{
	return (struct ibv_ah_attr){
		.is_global = 1, .port_num = 1,
		.grh = { .dgid = peer->gid, .sgid_index = side->gid_index,
			 .hop_limit = 64 },
	};
}

/* What the modification to each state has to say, service by service. */
static int init_mask(void)
{
	return IBV_QP_STATE | IBV_QP_PORT | IBV_QP_PKEY_INDEX |
	       (service == IBV_QPT_UD ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS);
}

static int rtr_mask(void)
{
	int mask = IBV_QP_STATE;

	if (service != IBV_QPT_UD)
		mask |= IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
	if (service == IBV_QPT_RC)
		mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
	return mask;
}

static int rts_mask(void)
{
	int mask = IBV_QP_STATE | IBV_QP_SQ_PSN;

	if (service == IBV_QPT_RC)
		mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
			IBV_QP_MAX_QP_RD_ATOMIC;
	return mask;
}

static void side_connect(struct side *side, const struct side *peer)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = 0xf,
		.qkey = QKEY,
	};

	if (ibv_modify_qp(side->qp, &attr, init_mask()))
		die("INIT");
	attr.qp_state = IBV_QPS_RTR;
	attr.path_mtu = IBV_MTU_1024;
	attr.dest_qp_num = peer->qp->qp_num;
	attr.max_dest_rd_atomic = 4;
	attr.ah_attr = way_to(side, peer);
	if (ibv_modify_qp(side->qp, &attr, rtr_mask()))
		die("RTR");
	attr.qp_state = IBV_QPS_RTS;
	attr.timeout = 8;
	attr.retry_cnt = 7;
	attr.rnr_retry = 7;
	attr.max_rd_atomic = 4;
	if (ibv_modify_qp(side->qp, &attr, rts_mask()) &&
	    /* Since RTR it is exposed to what the scribbled peer sends. */
	    !in_error(side))
		die("RTS");
}

static void side_make_ah(struct side *side, const struct side *peer)
{
	struct ibv_ah_attr attr = way_to(side, peer);

	side->ah = ibv_create_ah(side->pd, &attr);
	if (!side->ah)
		die("ibv_create_ah");
}

static void side_bind(struct side *side, struct ibv_mw *mw)
{
	struct ibv_send_wr wr = {
		.opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED,
		.bind_mw = { mw, ibv_inc_rkey(mw->rkey),
			     { side->mr, (uintptr_t)side->mem, 5000,
			       IBV_ACCESS_REMOTE_WRITE } },
	}, *bad;

	ibv_post_send(side->qp, &wr, &bad);
}

/* Where a work request goes: an address in the peer's memory, or the peer itself. */
static void aim(struct ibv_send_wr *wr, const struct side *side, const struct side *peer)
{
	int atomic = wr->opcode == IBV_WR_ATOMIC_CMP_AND_SWP ||
		     wr->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;

	wr->sg_list->length = atomic ? 8 : service == IBV_QPT_UD ? 500 : 5000;
	if (service == IBV_QPT_UD) {
		wr->wr.ud.ah = side->ah;
		wr->wr.ud.remote_qpn = peer->qp->qp_num;
		wr->wr.ud.remote_qkey = QKEY;
	} else if (atomic) {
		wr->wr.atomic.remote_addr = (uintptr_t)peer->mem;
		wr->wr.atomic.rkey = peer->mr->rkey;
	} else {
		wr->wr.rdma.remote_addr = (uintptr_t)peer->mem;
		wr->wr.rdma.rkey = peer->mr->rkey;
	}
}

/* One work request of each kind, all good where the service has them. */
static void side_post(struct side *side, const struct side *peer)
{
	static const enum ibv_wr_opcode opcodes[] = {
		IBV_WR_SEND, IBV_WR_SEND_WITH_IMM, IBV_WR_RDMA_WRITE,
		IBV_WR_RDMA_WRITE_WITH_IMM, IBV_WR_RDMA_READ,
		IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD,
		IBV_WR_SEND_WITH_INV, IBV_WR_LOCAL_INV, IBV_WR_BIND_MW, IBV_WR_TSO,
	};
	struct ibv_sge sge = { (uintptr_t)side->mem, 5000, side->mr->lkey };
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1 }, *bad;
	struct ibv_recv_wr recv = { .sg_list = &sge, .num_sge = 1 }, *bad_recv;
	unsigned int i;

	for (i = 0; i < DEPTH; i++)
		if (side->srq)
			ibv_post_srq_recv(side->srq, &recv, &bad_recv);
		else
			ibv_post_recv(side->qp, &recv, &bad_recv);
	for (i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
		wr.opcode = opcodes[i];
		wr.send_flags = i & 1 ? IBV_SEND_SIGNALED : 0;
		aim(&wr, side, peer);
		ibv_post_send(side->qp, &wr, &bad);
	}
	wr.opcode = IBV_WR_SEND;
	aim(&wr, side, peer);
	sge.length = 40;
	wr.send_flags = IBV_SEND_INLINE | IBV_SEND_FENCE | IBV_SEND_SOLICITED;
	ibv_post_send(side->qp, &wr, &bad);
	side_bind(side, side->mw[0]);
	side_bind(side, side->mw[1]);
}

/* --- the rings ---------------------------------------------------------- */

static void find_rings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[512];

	while (num_rings < MAX_RINGS && fgets(line, sizeof(line), maps)) {
		struct ring *ring = &rings[num_rings];

		if (!strstr(line, "uverbs") ||
		    sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		ring->buf = (void *)start;
		ring->size = end - start;
		ring->shift = ring->buf->log2_elem_size;
		ring->mask = ring->buf->index_mask;
		ring->picture = malloc(ring->size);
		memcpy(ring->picture, ring->buf, ring->size);
		num_rings++;
	}
	fclose(maps);
	if (num_rings < 6) {
		fprintf(stderr, "%d rings\n", num_rings);
		_exit(3);
	}
}

static void write_word(const struct ring *ring, uint64_t *dice)
{
	uint32_t *words = (uint32_t *)ring->buf;
	uint32_t value = xorshift(dice);

	switch (xorshift(dice) % 8) {
	case 0:
		ring->buf->producer_index = value;
		break;
	case 1:
		ring->buf->consumer_index = value;
		break;
	case 2:
		ring->buf->producer_index += value & 3;
		break;
	case 3:
		ring->buf->consumer_index += value & 3;
		break;
	case 4:
		words[xorshift(dice) % 32] = value;
		break;
	default:
		words[xorshift(dice) % (ring->size / 4)] = value;
	}
}

static void *scribbler(void *arg)
{
	uint64_t dice = (uintptr_t)arg | 1;

	while (!stop)
		write_word(&rings[xorshift(&dice) % num_rings], &dice);
	return NULL;
}

/* Elements as they were, but for a flipped bit or a small or huge value. */
static void put_elements(const struct ring *ring, uint64_t *dice)
{
	const struct rxe_queue_buf *picture = ring->picture;
	uint32_t n = xorshift(dice) % 8 + 1;
	size_t size = 1UL << ring->shift;

	while (n--) {
		uint32_t to = ring->buf->producer_index & ring->mask;
		uint32_t from = xorshift(dice) & ring->mask;
		uint8_t *elem = ring->buf->data + (to * size);
		uint32_t *word = (uint32_t *)elem + xorshift(dice) % (size / 4);

		if ((uint8_t *)ring->buf + ring->size < elem + size)
			return;
		memcpy(elem, picture->data + from * size, size);
		switch (xorshift(dice) % 4) {
		case 0:
			*word ^= 1U << xorshift(dice) % 32;
			break;
		case 1:
			*word = xorshift(dice) % 40;
			break;
		case 2:
			*word = -(xorshift(dice) % 4);
			break;
		}
		ring->buf->producer_index = (to + 1) & ring->mask;
	}
}

static void ring_doorbell(const struct side *side)
{
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_post_send cmd;
	} req = {
		.hdr = { IB_USER_VERBS_CMD_POST_SEND, sizeof(req) / 4, 1 },
		.cmd = { .qp_handle = side->qp->handle,
			 .wqe_size = sizeof(struct ibv_send_wr) },
	};
	struct ib_uverbs_post_send_resp resp;

	req.cmd.response = (uintptr_t)&resp;
	if (write(side->ctx->cmd_fd, &req, sizeof(req)) == sizeof(req))
		__atomic_add_fetch(doorbells, 1, __ATOMIC_RELAXED);
}

/* A queue pair in error is made to work again. */
static void revive(struct side *side, const struct side *peer)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET };

	if (!in_error(side))
		return;
	if (ibv_modify_qp(side->qp, &attr, IBV_QP_STATE))
		die("RESET");
	side_connect(side, peer);
}

/* --- one round ---------------------------------------------------------- */

static void fault(int sig)
{
	(void)sig;
	_exit(0);
}

static void quit(struct side *sides, uint64_t *dice)
{
	int i;

	if (xorshift(dice) & 1)
		_exit(0);
	for (i = 0; i < 2; i++) {
		/* While the other threads are still at it. */
		if (ibv_destroy_qp(sides[i].qp))
			die("ibv_destroy_qp");
		if (ibv_dealloc_mw(sides[i].mw[0]) ||
		    ibv_dealloc_mw(sides[i].mw[1]))
			die("ibv_dealloc_mw");
		if (ibv_dereg_mr(sides[i].mr))
			die("ibv_dereg_mr");
		if (sides[i].srq && ibv_destroy_srq(sides[i].srq))
			die("ibv_destroy_srq");
	}
	_exit(0);
}

static void child(char **argv, uint64_t seed)
{
	struct timespec end, now;
	struct side sides[2] = {};
	uint64_t dice = seed;
	pthread_t thread;
	int i;

	signal(SIGSEGV, fault);
	signal(SIGBUS, fault);
	side_open(&sides[0], argv[1], atoi(argv[2]));
	side_open(&sides[1], argv[3], atoi(argv[4]));
	side_make_srq(&sides[1]);
	for (i = 0; i < 2; i++)
		side_make_qp(&sides[i]);
	for (i = 0; i < 2; i++) {
		side_make_ah(&sides[i], &sides[!i]);
		side_connect(&sides[i], &sides[!i]);
	}
	for (i = 0; i < 2; i++)
		side_post(&sides[i], &sides[!i]);
	find_rings();
	for (i = 0; i < 2; i++)
		if (pthread_create(&thread, NULL, scribbler,
				   (void *)(uintptr_t)xorshift(&dice)))
			die("pthread_create");
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += 400000000 + xorshift(&dice) % 400000000;
	do {
		put_elements(&rings[xorshift(&dice) % num_rings], &dice);
		ring_doorbell(&sides[xorshift(&dice) & 1]);
		if (!(xorshift(&dice) % 16))
			revive(&sides[0], &sides[1]);
		if (!(xorshift(&dice) % 16))
			revive(&sides[1], &sides[0]);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - end.tv_sec) * 1000000000L + now.tv_nsec < end.tv_nsec);
	quit(sides, &dice);
}

static unsigned long doorbells_rung(void)
{
	return __atomic_load_n(doorbells, __ATOMIC_RELAXED);
}

/* Wait for the child; kill one that does not end, and say so if that fails. */
static void reap(pid_t pid, int soon)
{
	unsigned long before = doorbells_rung();
	int status, i, going = 0;

	for (i = 0; i < 600; i++) {
		if (!going && doorbells_rung() - before > 10) {
			going = 1;
			puts("going");
			fflush(stdout);
		}
		if (waitpid(pid, &status, WNOHANG) == pid) {
			if (WIFEXITED(status) && WEXITSTATUS(status))
				exit(WEXITSTATUS(status));
			return;
		}
		if (i == soon)
			kill(pid, SIGKILL);
		usleep(50000);
	}
	fprintf(stderr, "process %d can't be killed\n", pid);
	exit(4);
}

static int enough(int rounds, time_t end)
{
	time_t now = time(NULL);

	return now >= end + PATIENCE ||
	       (now >= end && rounds >= MIN_ROUNDS && doorbells_rung() > MIN_DOORBELLS);
}

int main(int argc, char **argv)
{
	static const enum ibv_qp_type services[] = {
		IBV_QPT_RC, IBV_QPT_UC, IBV_QPT_UD,
	};
	time_t end;
	uint64_t dice;
	int rounds = 0;
	pid_t pid;

	if (argc != 7) {
		fprintf(stderr, "usage: scribble DEV GID DEV GID SECONDS SEED\n");
		return 2;
	}
	doorbells = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	dice = strtoull(argv[6], NULL, 0) * 0x9e3779b97f4a7c15 | 1;
	end = time(NULL) + atoi(argv[5]);
	while (!enough(rounds, end)) {
		uint64_t seed = xorshift(&dice);

		service = services[rounds % 3];
		pid = fork();
		if (pid < 0)
			die("fork");
		if (!pid)
			child(argv, seed);
		reap(pid, seed % 3 ? 200 : seed / 3 % 16);
		rounds++;
	}
	printf("%d rounds, %lu doorbells\n", rounds, doorbells_rung());
	return 0;
}
