/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The RQ side of a QP: its state, and its parts, all run with that side's token held:
 *	resp.c		what comes when: order, acknowledgment, failing; RC
 *	uc.c ud.c	where UC and UD differ
 *	exec.c		doing what a request asks for
 *	answer.c	acknowledgments
 *	read.c		READ responses
 */
#ifndef URXE_RESP_H
#define URXE_RESP_H

#include <linux/timer.h>

#include "inbox.h"
#include "pkt.h"
#include "rq.h"
#include "runner.h"

struct urxe_qp;

/**
 * struct urxe_rd_res - a READ or atomic that was answered and can be again
 * @traits: OP_READ or OP_ATOMIC; 0 when unused
 * @first_psn: of the request, and of its first response
 * @packets: PSNs that the responses take
 * @rkey: READ: what was read
 * @va: likewise
 * @len: likewise
 * @orig: atomic: the answer
 */
struct urxe_rd_res {
	u32	traits;
	u32	first_psn;
	u32	packets;
	u32	rkey;
	u64	va;
	u32	len;
	u64	orig;
};

/**
 * struct urxe_read - READ responses being sent
 * @active: there are some left
 * @first: the next one opens a run of responses
 * @again: the peer may have had them, and asks once more
 * @by_value: the peer, on this host, has refused references
 * @psn: of the next one
 * @rkey: where the bytes come from
 * @va: likewise
 * @resid: bytes left; 0 with @active for a READ of nothing
 * @unsent: responses before that one that are made and not sent yet
 */
struct urxe_read {
	bool	active;
	bool	first;
	bool	again;
	bool	by_value;
	u32	psn;
	u32	rkey;
	u64	va;
	u32	resid;
	u32	unsent;
};

/**
 * struct urxe_resp - responder
 * @psn: expected next
 * @ack_psn: behind the last SEND or WRITE: what is acknowledged is before that
 * @msn: messages completed, 24 bits
 * @in_msg: OP_SEND or OP_WRITE while between first and last packet, else 0
 * @nak_sent: the gap at @psn has been reported
 * @not_ready: it is one where the peer has to wait, and sends again all that is behind
 * @resumed: the gap at @psn is behind what had been kept
 * @comm_est: told the consumer that the peer is there
 * @ack_due: an acknowledgment is owed
 * @unacked: packets since the last one sent
 * @va: RDMA WRITE: where the next byte goes
 * @rkey: likewise
 * @resid: RDMA WRITE: bytes to come
 * @length: bytes of the message so far
 * @have_rqe: @rqe is in use
 * @last_wqe: in error, with an SRQ: told the consumer that we take no more of it
 * @rqe: the receive work request of the message
 * @read: READ responses under way
 * @res: ring of answered READs and atomics
 * @num_res: entries there
 * @next_res: the oldest, to be used next
 * @refused: the requester, on this host, wants the bytes of the READ that it asks for
 *	     again; bit 0, set from its side
 * @slow_seen: of @inbox, looked at for repeated requests; see slow.c
 * @flush_timer: in error: when to look for receive requests again
 * @flush_wait: jiffies from the last look to that one
 * @inbox: requests that arrived
 */
struct urxe_resp {
	u32			psn;
	u32			ack_psn;
	u32			msn;
	u32			in_msg;
	bool			nak_sent;
	bool			not_ready;
	bool			resumed;
	bool			comm_est;
	bool			ack_due;
	u32			unacked;
	u64			va;
	u32			rkey;
	u32			resid;
	u32			length;
	bool			have_rqe;
	bool			last_wqe;
	struct urxe_rqe		rqe;
	struct urxe_read	read;
	struct urxe_rd_res	*res;
	u32			num_res;
	u32			next_res;
	unsigned long		refused;
	u32			slow_seen;
	struct timer_list	flush_timer;
	unsigned long		flush_wait;
	struct urxe_inbox	inbox;
};

/*
 * How a request can fail, as a negative number besides -EAGAIN: the syndrome to
 * answer with. An RC QP goes to error with all but the first two.
 */
#define NAK(syndrome)	(-(int)(syndrome) - MAX_ERRNO)
#define FAIL_RNR	NAK(AETH_RNR_NAK)
#define FAIL_SEQ	NAK(AETH_NAK_SEQ_ERR)
#define FAIL_INV_REQ	NAK(AETH_NAK_INV_REQ)
#define FAIL_ACCESS	NAK(AETH_NAK_REM_ACC)
#define FAIL_OP		NAK(AETH_NAK_REM_OP)
#define FAIL_TOLD	NAK(0xff)	/* all has been said and done */

/* The step of the RQ side; beginning and end, while nobody runs it. */
enum urxe_step urxe_rq_step(struct urxe_runner *runner, struct urxe_ctx *ctx);
void urxe_resp_init(struct urxe_qp *qp);
void urxe_resp_reset(struct urxe_qp *qp);

/**
 * urxe_resp_get_rqe - have a receive work request at hand: @qp->resp.rqe
 * @qp: the QP
 * @least: bytes that it has to have room for; if it has not, it stays in its queue,
 *	   where other QPs may find it
 * @ctx: where the caller runs
 * Return: 0; FAIL_RNR when there is none; FAIL_INV_REQ when it is too short; FAIL_TOLD
 * when it is no good, which ends the QP. What is not used up stays for the next message.
 */
int urxe_resp_get_rqe(struct urxe_qp *qp, u32 least, struct urxe_ctx *ctx);

/**
 * urxe_resp_fail_rqe - the receive work request at hand is at fault
 * @qp: the QP
 * @ctx: where the caller runs
 * @status: what it completes with, which says all there is to say on this side (no
 *	    event, IBTA 11.6.3.2)
 * @syndrome: what the peer of an RC QP is told
 * Return: FAIL_TOLD: the QP has ended.
 */
int urxe_resp_fail_rqe(struct urxe_qp *qp, struct urxe_ctx *ctx,
		       enum ib_wc_status status, u8 syndrome);

/**
 * urxe_resp_complete - complete the receive work request at hand
 * @qp: the QP
 * @wc: status, opcode, length and all that depends on the service; the rest is
 *	filled in
 * @pkt: the packet that completes it, or NULL
 */
void urxe_resp_complete(struct urxe_qp *qp, struct ib_wc *wc,
			const struct urxe_pkt *pkt);

/* The end of a request that fails: tell the peer what @why says, and end the QP. */
void urxe_resp_fail(struct urxe_qp *qp, struct urxe_ctx *ctx, int why);

/* May the packet follow the last one? Return: 0, FAIL_SEQ or FAIL_INV_REQ. */
int urxe_resp_check(const struct urxe_qp *qp, const struct urxe_pkt *pkt);

/* The packet has been executed: the state moves on behind it. */
void urxe_resp_take_in(struct urxe_qp *qp, const struct urxe_pkt *pkt);

/* A request to a UC QP. Return: 0 also for what is dropped, -EAGAIN, FAIL_TOLD. */
int urxe_uc_request(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		    struct urxe_ctx *ctx);

/* --- exec.c --- */

/* Does this packet use up a receive work request? */
static inline bool pkt_needs_rqe(const struct urxe_pkt *pkt)
{
	return (pkt->traits & OP_SEND) ||
	       ((pkt->traits & OP_WRITE) && (pkt->traits & OP_IMM));
}

/**
 * urxe_resp_execute - do what a request asks for
 * @qp: the QP
 * @pkt: the one expected, and permitted
 * @ctx: where the caller runs
 *
 * READs and those that are answered alike are begun only: see urxe_read_respond().
 * Return: 0; -EAGAIN when the worker has to do it; URXE_NO_SOURCE; how it fails.
 */
int urxe_resp_execute(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		      struct urxe_ctx *ctx);

/* --- answer.c --- */

/* An AETH with @syndrome at @at. */
void urxe_put_aeth(void *at, const struct urxe_qp *qp, u8 syndrome);

/*
 * Everything before the expected PSN has been done: say so, if that is owed. False when
 * there is no memory for that: it is still owed.
 */
bool urxe_send_ack(struct urxe_qp *qp, struct urxe_ctx *ctx);
void urxe_send_nak(struct urxe_qp *qp, struct urxe_ctx *ctx, u8 syndrome);
void urxe_send_atomic_ack(struct urxe_qp *qp, struct urxe_ctx *ctx, u32 psn,
			  u64 orig);

/*
 * Ask the peer to wait with what is being done and all behind it, as long as an RNR
 * timer code says. Timer context, while the worker that has the token waits.
 */
void urxe_resp_send_rnr(struct urxe_qp *qp, u8 code);

/* --- read.c --- */

/* A READ or an atomic is answered: remember it for when it comes again. */
void urxe_res_remember(struct urxe_qp *qp, const struct urxe_rd_res *res);

/* Which one was answered at @psn? NULL when that is forgotten. */
struct urxe_rd_res *urxe_res_recall(struct urxe_qp *qp, u32 psn);

/* Responses to a READ of @len bytes are to be sent from now on. */
void urxe_read_start(struct urxe_qp *qp, u32 psn, u32 rkey, u64 va, u32 len);

/* Likewise the answer, which has no content, to a FLUSH or an ATOMIC WRITE. */
static inline void urxe_answer_empty(struct urxe_qp *qp, u32 psn)
{
	urxe_read_start(qp, psn, 0, 0, 0);
}

/* The same READ again, all of it or from somewhere in it on. */
void urxe_read_replay(struct urxe_qp *qp, const struct urxe_pkt *pkt,
		      const struct urxe_rd_res *res);

/* Go on with the READ under way. Return: as a step; DONE also when held up. */
enum urxe_step urxe_read_respond(struct urxe_qp *qp, struct urxe_ctx *ctx);

#endif /* URXE_RESP_H */
