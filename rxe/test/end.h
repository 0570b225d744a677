/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * One end of a connection between two kernel consumers, and what a case does with
 * it. The ends are on one link, which talks to itself.
 */
#ifndef URXE_TEST_END_H
#define URXE_TEST_END_H

#include <linux/scatterlist.h>
#include <rdma/ib_verbs.h>

#define DEPTH		64
#define BUF_ORDER	5
#define BUF_SIZE	(PAGE_SIZE << BUF_ORDER)

/* No completion came. */
#define NONE		(-1)

/**
 * struct end - a kernel consumer
 * @pd: with a local DMA lkey
 * @cq: of both queues, polled by hand
 * @srq: shared receive queue, or NULL
 * @qp: the queue pair
 * @mr: for fast registration, of as many pages as the buffer
 * @buf: BUF_SIZE bytes that lie together
 * @dma: their DMA address
 * @events: bit per enum ib_event_type that came
 * @send: status of the last completion of the send queue, or NONE
 * @recv: likewise of the receive queue
 * @send_wc: the completion itself
 * @recv_wc: likewise
 */
struct end {
	struct ib_pd	*pd;
	struct ib_cq	*cq;
	struct ib_srq	*srq;
	struct ib_qp	*qp;
	struct ib_mr	*mr;
	u8		*buf;
	u64		dma;
	unsigned long	events;
	struct ib_cqe	send_cqe;
	struct ib_cqe	recv_cqe;
	int		send;
	int		recv;
	struct ib_wc	send_wc;
	struct ib_wc	recv_wc;
};

struct link {
	struct ib_device	*ibdev;
	int			gid_index;
};

/* Two ends, connected by @type: RC or UC. Return: 0 or -errno. */
int ends_open(struct link *link, struct end *a, struct end *b,
	      enum ib_qp_type type, bool srq);
void ends_close(struct end *a, struct end *b);

/* Post, and wait. Return: the status, NONE after some seconds, or -errno. */
int end_do(struct end *end, const struct ib_send_wr *wr);
int end_receive(struct end *end);

int end_post_receive(struct end *end, u32 off, u32 len);

/* RDMA between @off of the end's buffer and somebody's @rkey and @va. */
int end_rdma(struct end *end, enum ib_wr_opcode opcode, u32 off, u32 len,
	     u32 rkey, u64 va);

/* SEND of the first @len bytes; with @inv of a key if it is not 0. */
int end_send(struct end *end, u32 len, u32 inv);

/*
 * Map @nents entries of @sg in pages of @page_size. Return: entries mapped. The key
 * is a new one.
 */
int end_map(struct end *end, struct scatterlist *sg, int nents, u32 page_size);

/* Likewise, a part of the buffer. */
int end_map_buf(struct end *end, u32 off, u32 len, u32 page_size);

int end_reg(struct end *end, u32 key, int access);
int end_inv(struct end *end, u32 key);

#endif /* URXE_TEST_END_H */
