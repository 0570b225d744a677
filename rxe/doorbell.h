/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * A consumer says that it has posted: who sends, and when?
 */
#ifndef URXE_DOORBELL_H
#define URXE_DOORBELL_H

#include <linux/compiler.h>
#include <linux/types.h>

struct urxe_qp;

/**
 * struct urxe_doorbell - how a QP's doorbell is rung
 * @streak: how often in a row, with nothing that the consumer may have waited for;
 *	    halved by each time that there was something
 * @cq_index: where the send CQ was the last time
 * @heard: the peer has sent something since then
 * @refers: bytes are referred to now, to a peer on this host (ref.h)
 *
 * Written by whoever posts, and by the RQ side (@heard), without a lock: what is
 * lost makes a packet leave a little later.
 */
struct urxe_doorbell {
	u32	streak;
	u32	cq_index;
	bool	heard;
	bool	refers;
};

/**
 * urxe_doorbell_ring - there is something new in the send queue
 * @qp: the QP
 *
 * A consumer that waits for what it has posted has it sent here and now. One that
 * posts and posts to an RC peer is not slowed down: a stream worker sends, and what
 * is posted meanwhile goes into one batch. Not where the bytes are only referred to,
 * since nobody but the caller reaches his memory without a detour; nor for UC and UD,
 * where nothing is acknowledged, and the time that sending takes is all that slows
 * down a consumer; nor on the only processor there is, which a worker would take from
 * the caller at each doorbell.
 * Context: any.
 */
void urxe_doorbell_ring(struct urxe_qp *qp);

/* What is sent now refers to its bytes, or does not. */
static inline void urxe_doorbell_refers(struct urxe_doorbell *bell, bool refers)
{
	if (READ_ONCE(bell->refers) != refers)
		WRITE_ONCE(bell->refers, refers);
}

/* Something has come from the peer, which may be what the consumer waits for. */
static inline void urxe_doorbell_heard(struct urxe_doorbell *bell)
{
	if (!READ_ONCE(bell->heard))
		WRITE_ONCE(bell->heard, true);
}

#endif /* URXE_DOORBELL_H */
