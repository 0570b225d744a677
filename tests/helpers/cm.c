// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * cm listen [OPTION]... ADDRESS PORT TEXT: take so many connections by rdma_cm, return
 * each message with its bits turned over, and end when the last has gone.
 * cm connect [OPTION]... ADDRESS PORT TEXT: make so many, send a message over each, see
 * that it comes back, take all down, and that again and again.
 *
 *	-n N		connections at once (1)
 *	-r ROUNDS	how often all of them (1)
 *	-w N		connections being made at a time (64)
 *	-u		datagrams: no connection, but the same resolution
 *	-b ADDRESS	connect from there
 *	-x		refuse them all
 *	-k		keep them until the device goes, here or at the peer's
 *	-v		tell of each event
 *
 * TEXT is the private data of the request, of the answer to it, or of the refusal.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <rdma/rdma_cma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE	64		/* of a message; a datagram's header stands before it */
#define ROOM	128		/* a sending and a receiving half each */
#define GRH	40
#define PATIENCE_MS	20000

struct conn {
	struct rdma_cm_id *id;
	struct ibv_ah *ah;
	uint32_t qpn, qkey;
	char *room;
	int number, done;
};

static struct {
	int listen, n, rounds, window, ud, refuse, keep, verbose;
	const char *from, *address, *port, *text;
} options = { .n = 1, .rounds = 1, .window = 64 };

static struct rdma_event_channel *events;
static struct ibv_comp_channel *completions;
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static struct ibv_mr *mr;
static char *memory;
static struct conn *conns;
static int started, echoed, gone, total_gone;

static void die(const char *what)
{
	fprintf(stderr, "cm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(int err, const char *what)
{
	if (err)
		die(what);
}

static struct rdma_addrinfo *look_up(const char *address, const char *port, int flags)
{
	struct rdma_addrinfo *found, hints = {
		.ai_flags = flags,
		.ai_port_space = options.ud ? RDMA_PS_UDP : RDMA_PS_TCP,
	};

	check(rdma_getaddrinfo(address, port, &hints, &found), address);
	return found;
}

/* --- the device --------------------------------------------------------- */

/* What all connections share, made with the first of them. */
static void open_device(struct ibv_context *context)
{
	size_t size = (size_t)options.n * 2 * ROOM;

	if (pd)
		return;
	memory = calloc(1, size);
	pd = ibv_alloc_pd(context);
	completions = ibv_create_comp_channel(context);
	if (!memory || !pd || !completions)
		die("device");
	cq = ibv_create_cq(context, 4 * options.n, NULL, completions, 0);
	mr = ibv_reg_mr(pd, memory, size, IBV_ACCESS_LOCAL_WRITE);
	if (!cq || !mr)
		die("completion queue or memory region");
	check(ibv_req_notify_cq(cq, 0), "notification");
}

static void post_receive(struct conn *conn)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)conn->room + ROOM, .length = GRH + SIZE, .lkey = mr->lkey,
	};
	struct ibv_recv_wr *bad, wr = {
		.wr_id = (uintptr_t)conn, .sg_list = &sge, .num_sge = 1,
	};

	check(ibv_post_recv(conn->id->qp, &wr, &bad), "receive request");
}

static void post_send(struct conn *conn)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)conn->room, .length = SIZE, .lkey = mr->lkey,
	};
	struct ibv_send_wr *bad, wr = {
		.wr_id = (uintptr_t)conn, .sg_list = &sge, .num_sge = 1,
		.opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED,
	};

	if (options.ud) {
		wr.wr.ud.ah = conn->ah;
		wr.wr.ud.remote_qpn = conn->qpn;
		wr.wr.ud.remote_qkey = conn->qkey;
	}
	check(ibv_post_send(conn->id->qp, &wr, &bad), "send request");
}

static void make_qp(struct conn *conn)
{
	struct ibv_qp_init_attr init = {
		.qp_type = options.ud ? IBV_QPT_UD : IBV_QPT_RC,
		.cap = { .max_send_wr = 2, .max_recv_wr = 2,
			 .max_send_sge = 1, .max_recv_sge = 1 },
	};

	open_device(conn->id->verbs);
	init.send_cq = cq;
	init.recv_cq = cq;
	check(rdma_create_qp(conn->id, pd, &init), "queue pair");
	conn->room = memory + (size_t)conn->number * 2 * ROOM;
	post_receive(conn);
}

static void close_conn(struct conn *conn)
{
	if (conn->ah)
		ibv_destroy_ah(conn->ah);
	if (conn->id->qp)
		rdma_destroy_qp(conn->id);
	rdma_destroy_id(conn->id);
	memset(conn, 0, sizeof(*conn));
	gone++;
	total_gone++;
}

/* --- messages ----------------------------------------------------------- */

static void fill(struct conn *conn)
{
	int i;

	for (i = 0; i < SIZE; i++)
		conn->room[i] = conn->number * 7 + i;
}

static void turn_over(struct conn *conn, const char *from)
{
	int i;

	for (i = 0; i < SIZE; i++)
		conn->room[i] = ~from[i];
}

static void check_echo(struct conn *conn, const char *from)
{
	int i;

	for (i = 0; i < SIZE; i++)
		if (from[i] != (char)~conn->room[i]) {
			fprintf(stderr, "cm: connection %d: byte %d\n", conn->number, i);
			exit(1);
		}
}

/* A datagram goes back to who sent it. */
static void answer_datagram(struct conn *conn, const struct ibv_wc *wc)
{
	struct ibv_qp_attr attr;
	struct ibv_qp_init_attr init;

	check(ibv_query_qp(conn->id->qp, &attr, IBV_QP_QKEY, &init), "query");
	conn->ah = ibv_create_ah_from_wc(pd, (struct ibv_wc *)wc,
					 (struct ibv_grh *)(conn->room + ROOM), 1);
	if (!conn->ah)
		die("address handle");
	conn->qpn = wc->src_qp;
	conn->qkey = attr.qkey;
}

static void on_message(struct conn *conn, const struct ibv_wc *wc)
{
	const char *text = conn->room + ROOM + (options.ud ? GRH : 0);

	if (wc->byte_len != (uint32_t)(SIZE + (options.ud ? GRH : 0))) {
		fprintf(stderr, "cm: %u bytes\n", wc->byte_len);
		exit(1);
	}
	echoed++;
	if (options.listen) {
		if (options.ud)
			answer_datagram(conn, wc);
		turn_over(conn, text);
		post_send(conn);
		return;
	}
	check_echo(conn, text);
	conn->done = 1;
}

/* What a connection that goes leaves is flushed. */
static void take_completions(void)
{
	struct ibv_cq *which;
	void *arg;
	struct ibv_wc wc;

	if (ibv_get_cq_event(completions, &which, &arg)) {
		check(errno != EIO || !options.keep, "completion event");
		/* The device has gone, and the event that says so may come after this. */
		completions = NULL;
		return;
	}
	ibv_ack_cq_events(cq, 1);
	check(ibv_req_notify_cq(cq, 0), "notification");
	while (ibv_poll_cq(cq, 1, &wc)) {
		struct conn *conn = (struct conn *)(uintptr_t)wc.wr_id;

		if (wc.status == IBV_WC_WR_FLUSH_ERR)
			continue;
		if (wc.status) {
			fprintf(stderr, "cm: status %d\n", wc.status);
			exit(1);
		}
		if (wc.opcode == IBV_WC_RECV)
			on_message(conn, &wc);
		else if (options.listen && options.ud)
			close_conn(conn);
	}
}

/* --- events ------------------------------------------------------------- */

static struct rdma_conn_param parameters(struct conn *conn)
{
	return (struct rdma_conn_param){
		.private_data = options.text,
		.private_data_len = strlen(options.text),
		.responder_resources = 1,
		.initiator_depth = 1,
		.retry_count = 7,
		.rnr_retry_count = 7,
		.qp_num = options.ud && conn->id->qp ? conn->id->qp->qp_num : 0,
	};
}

static void print_event(const struct rdma_cm_event *event)
{
	const char *data = event->param.conn.private_data;
	int len = event->param.conn.private_data_len;

	/* The room is filled up with zeros, and some carry it always. */
	if (options.verbose)
		printf("%s %d %.*s\n", rdma_event_str(event->event), event->status,
		       data ? len : 0, data ? data : "");
}

/* Where there is room for one more. */
static struct conn *vacant(void)
{
	int i;

	for (i = 0; i < options.n; i++)
		if (!conns[i].id)
			return &conns[i];
	errno = ENOSPC;
	die("connection");
	return NULL;
}

static void on_request(struct rdma_cm_id *id)
{
	struct conn *conn;
	struct rdma_conn_param param;

	if (options.refuse) {
		check(rdma_reject(id, options.text, strlen(options.text)), "refusal");
		check(rdma_destroy_id(id), "destroy");
		total_gone++;
		return;
	}
	conn = vacant();
	conn->id = id;
	conn->number = conn - conns;
	id->context = conn;
	make_qp(conn);
	param = parameters(conn);
	check(rdma_accept(id, &param), "accept");
}

static void on_established(struct conn *conn, const struct rdma_ud_param *ud)
{
	if (options.listen)
		return;
	if (options.ud) {
		conn->ah = ibv_create_ah(pd, (struct ibv_ah_attr *)&ud->ah_attr);
		if (!conn->ah)
			die("address handle");
		conn->qpn = ud->qp_num;
		conn->qkey = ud->qkey;
	}
	fill(conn);
	post_send(conn);
}

static void on_addr(struct conn *conn)
{
	check(rdma_resolve_route(conn->id, 5000), "route");
}

static void on_route(struct conn *conn)
{
	struct rdma_conn_param param;

	make_qp(conn);
	param = parameters(conn);
	check(rdma_connect(conn->id, &param), "connect");
}

static void on_event(void)
{
	struct rdma_cm_event *event;
	struct rdma_ud_param ud;
	enum rdma_cm_event_type type;
	struct rdma_cm_id *id;
	int status;

	check(rdma_get_cm_event(events, &event), "event");
	print_event(event);
	type = event->event;
	status = event->status;
	id = event->id;
	ud = event->param.ud;
	rdma_ack_cm_event(event);
	switch (type) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		on_request(id);
		break;
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		on_addr(id->context);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		on_route(id->context);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		on_established(id->context, &ud);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		if (options.listen)
			rdma_disconnect(id);
		close_conn(id->context);
		break;
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		/* A device that has gone tells nothing but that. */
		completions = NULL;
		/* Or it is the listener. */
		if (id->context)
			close_conn(id->context);
		break;
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
		break;
	default:
		fprintf(stderr, "cm: %s %d\n", rdma_event_str(type), status);
		exit(3);
	}
}

/* Wait for either, and work on it. */
static void turn(void)
{
	struct pollfd fds[2] = {
		{ .fd = events->fd, .events = POLLIN },
		{ .fd = completions ? completions->fd : -1, .events = POLLIN },
	};

	if (poll(fds, 2, PATIENCE_MS) <= 0) {
		fprintf(stderr, "cm: nothing happens; %d started, %d echoed, %d gone\n",
			started, echoed, gone);
		exit(4);
	}
	if (fds[0].revents)
		on_event();
	if (fds[1].revents && completions)
		take_completions();
}

/* --- the two programs --------------------------------------------------- */

static void serve(void)
{
	struct rdma_addrinfo *address = look_up(options.address, options.port, RAI_PASSIVE);
	struct rdma_cm_id *id;

	check(rdma_create_id(events, &id, NULL, address->ai_port_space), "identifier");
	check(rdma_bind_addr(id, address->ai_src_addr), "bind");
	check(rdma_listen(id, 1024), "listen");
	printf("listening\n");
	while (total_gone < options.n * options.rounds)
		turn();
	rdma_destroy_id(id);
	rdma_freeaddrinfo(address);
}

static void begin(struct conn *conn, const struct rdma_addrinfo *from,
		  const struct rdma_addrinfo *to)
{
	conn->number = conn - conns;
	check(rdma_create_id(events, &conn->id, conn, to->ai_port_space), "identifier");
	check(rdma_resolve_addr(conn->id, from ? from->ai_src_addr : NULL, to->ai_dst_addr,
				5000), "address");
	started++;
}

static void one_round(const struct rdma_addrinfo *from, const struct rdma_addrinfo *to)
{
	int i;

	started = echoed = gone = 0;
	while (echoed < options.n && !(options.keep && gone)) {
		while (started < options.n && started - echoed < options.window)
			begin(&conns[started], from, to);
		turn();
	}
	for (i = 0; i < options.n && !options.keep; i++)
		if (options.ud)
			close_conn(&conns[i]);
		else
			check(rdma_disconnect(conns[i].id), "disconnect");
	while (gone < options.n)
		turn();
}

static void connect_all(void)
{
	struct rdma_addrinfo *to = look_up(options.address, options.port, 0), *from = NULL;
	int i;

	if (options.from)
		from = look_up(options.from, NULL, RAI_PASSIVE);
	for (i = 0; i < options.rounds; i++)
		one_round(from, to);
}

static int *number_of(int option)
{
	switch (option) {
	case 'n':
		return &options.n;
	case 'r':
		return &options.rounds;
	default:
		return &options.window;
	}
}

static int *flag_of(int option)
{
	switch (option) {
	case 'u':
		return &options.ud;
	case 'x':
		return &options.refuse;
	case 'k':
		return &options.keep;
	default:
		return &options.verbose;
	}
}

static int parse(int argc, char **argv)
{
	int c;

	options.listen = argc > 1 && !strcmp(argv[1], "listen");
	optind = 2;
	while ((c = getopt(argc, argv, "n:r:w:ub:xkv")) != -1) {
		if (c == '?')
			return -1;
		if (c == 'b')
			options.from = optarg;
		else if (optarg)
			*number_of(c) = atoi(optarg);
		else
			*flag_of(c) = 1;
	}
	return argc - optind == 3 ? 0 : -1;
}

int main(int argc, char **argv)
{
	if (parse(argc, argv))
		return 2;
	options.address = argv[optind];
	options.port = argv[optind + 1];
	options.text = argv[optind + 2];
	setvbuf(stdout, NULL, _IOLBF, 0);
	conns = calloc(options.n, sizeof(*conns));
	events = rdma_create_event_channel();
	if (!conns || !events)
		die("event channel");
	if (options.listen)
		serve();
	else
		connect_all();
	printf("done %d\n", options.listen ? total_gone : options.n * options.rounds);
	return 0;
}
