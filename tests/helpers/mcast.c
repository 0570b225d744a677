// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * mcast DEVICE GID_INDEX QKEY QPS: so many datagram queue pairs that a test drives by
 * lines on standard input, because Python's verbs know no multicast:
 *
 *	attach Q GROUP		a queue pair (0 is the first) enters a group
 *	detach Q GROUP		and leaves it
 *	send Q TO QPN TEXT	a datagram to an address, and wait until it is sent
 *	take Q COUNT MS		so many datagrams, and what comes until nothing did for MS
 *				milliseconds after the last of them; fewer after a long wait
 *	close Q			destroy the queue pair
 *
 * Each is answered by `ok` or `error ERRNO`; take first by lines `SOURCE_QPN GID TEXT`,
 * where the GID is the destination that the datagram's own header has.
 * Addresses are written as IPv6 has them, IPv4 as ::ffff:a.b.c.d.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE_MS	20000
#define SLOTS	64
#define SLOT	2048
#define GRH	40

struct box {
	struct ibv_qp *qp;
	struct ibv_cq *cq, *sent;
	struct ibv_mr *mr;
	char *memory;
};

static struct ibv_context *context;
static struct ibv_pd *pd;
static int gid_index;
static uint32_t qkey;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct ibv_context *open_device(const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	int i;

	for (i = 0; list && list[i]; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			return ibv_open_device(list[i]);
	return NULL;
}

static int post_receive(struct box *box, uint64_t slot)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)box->memory + slot * SLOT,
		.length = SLOT,
		.lkey = box->mr->lkey,
	};
	struct ibv_recv_wr *bad, wr = { .wr_id = slot, .sg_list = &sge, .num_sge = 1 };

	return ibv_post_recv(box->qp, &wr, &bad);
}

static void make_ready(struct ibv_qp *qp)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = qkey,
	};

	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
			  IBV_QP_QKEY))
		die("modify to INIT");
	attr.qp_state = IBV_QPS_RTR;
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE))
		die("modify to RTR");
	attr.qp_state = IBV_QPS_RTS;
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_SQ_PSN))
		die("modify to RTS");
}

/* One slot more than for receiving: it is for sending. */
static void make_box(struct box *box)
{
	struct ibv_qp_init_attr init = {
		.qp_type = IBV_QPT_UD,
		.cap = { .max_send_wr = 4, .max_recv_wr = SLOTS,
			 .max_send_sge = 1, .max_recv_sge = 1 },
	};
	uint64_t slot;

	box->memory = calloc(SLOTS + 1, SLOT);
	box->cq = ibv_create_cq(context, 2 * SLOTS, NULL, NULL, 0);
	box->sent = ibv_create_cq(context, 4, NULL, NULL, 0);
	box->mr = ibv_reg_mr(pd, box->memory, (SLOTS + 1) * SLOT, IBV_ACCESS_LOCAL_WRITE);
	if (!box->cq || !box->sent || !box->mr)
		die("completion queue or memory region");
	init.send_cq = box->sent;
	init.recv_cq = box->cq;
	box->qp = ibv_create_qp(pd, &init);
	if (!box->qp)
		die("queue pair");
	make_ready(box->qp);
	for (slot = 0; slot < SLOTS; slot++)
		if (post_receive(box, slot))
			die("receive request");
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int wait_until_sent(struct box *box)
{
	long long end = now_ms() + PATIENCE_MS;
	struct ibv_wc wc;

	while (now_ms() < end)
		if (ibv_poll_cq(box->sent, 1, &wc))
			return wc.status ? -EIO : 0;
	return -ETIMEDOUT;
}

static int send_text(struct box *box, const union ibv_gid *to, uint32_t qpn,
		     const char *text)
{
	struct ibv_ah_attr attr = {
		.is_global = 1, .port_num = 1,
		.grh = { .dgid = *to, .sgid_index = gid_index, .hop_limit = 4 },
	};
	char *slot = box->memory + SLOTS * SLOT;
	struct ibv_sge sge = {
		.addr = (uintptr_t)slot, .length = strlen(text), .lkey = box->mr->lkey,
	};
	struct ibv_send_wr *bad, wr = {
		.wr_id = SLOTS, .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED,
	};
	int err;

	strcpy(slot, text);
	wr.wr.ud.ah = ibv_create_ah(pd, &attr);
	if (!wr.wr.ud.ah)
		return -errno;
	wr.wr.ud.remote_qpn = qpn;
	wr.wr.ud.remote_qkey = qkey;
	err = -ibv_post_send(box->qp, &wr, &bad) ?: wait_until_sent(box);
	ibv_destroy_ah(wr.wr.ud.ah);
	return err;
}

static void print_datagram(struct box *box, const struct ibv_wc *wc)
{
	const char *slot = box->memory + wc->wr_id * SLOT;
	unsigned char to[16] = { [10] = 0xff, [11] = 0xff };
	char text[INET6_ADDRSTRLEN];

	if (slot[20] >> 4 == 4)
		memcpy(to + 12, slot + 36, 4);
	else
		memcpy(to, slot + 24, 16);
	printf("%u %s %.*s\n", wc->src_qp, inet_ntop(AF_INET6, to, text, sizeof(text)),
	       (int)wc->byte_len - GRH, slot + GRH);
}

static int take(struct box *box, int count, int ms)
{
	long long end = now_ms() + (count ? PATIENCE_MS : ms);
	struct ibv_wc wc;

	while (now_ms() < end) {
		if (!ibv_poll_cq(box->cq, 1, &wc))
			continue;
		if (wc.status)
			return -EIO;
		print_datagram(box, &wc);
		if (post_receive(box, wc.wr_id))
			return -EIO;
		count--;
		end = now_ms() + (count > 0 ? PATIENCE_MS : ms);
	}
	return 0;
}

static int command(struct box *box, const char *word, char *rest)
{
	union ibv_gid gid = {};
	char address[64] = "";
	unsigned int qpn;
	int count, ms, at = 0;

	if (!strcmp(word, "take") && sscanf(rest, "%d %d", &count, &ms) == 2)
		return take(box, count, ms);
	if (!strcmp(word, "close"))
		return -ibv_destroy_qp(box->qp);
	if (sscanf(rest, "%63s%n", address, &at) != 1 ||
	    inet_pton(AF_INET6, address, gid.raw) != 1)
		return -EDOM;
	if (!strcmp(word, "attach"))
		return -ibv_attach_mcast(box->qp, &gid, 0);
	if (!strcmp(word, "detach"))
		return -ibv_detach_mcast(box->qp, &gid, 0);
	if (!strcmp(word, "send") && sscanf(rest + at, "%u %n", &qpn, &at) == 1)
		return send_text(box, &gid, qpn, strrchr(rest, ' ') + 1);
	return -EDOM;
}

int main(int argc, char **argv)
{
	struct box *boxes;
	char line[256], word[16];
	unsigned int n;
	int i, at, err;

	if (argc != 5)
		return 2;
	context = open_device(argv[1]);
	pd = context ? ibv_alloc_pd(context) : NULL;
	if (!pd)
		die(argv[1]);
	gid_index = atoi(argv[2]);
	qkey = strtoul(argv[3], NULL, 0);
	boxes = calloc(atoi(argv[4]), sizeof(*boxes));
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < atoi(argv[4]); i++) {
		make_box(&boxes[i]);
		printf("%u%c", boxes[i].qp->qp_num, i == atoi(argv[4]) - 1 ? '\n' : ' ');
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, "%15s %u %n", word, &n, &at) != 2)
			return 2;
		err = command(&boxes[n], word, line + at);
		if (err)
			printf("error %d\n", -err);
		else
			printf("ok\n");
	}
	return 0;
}
