/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * How much a requester may have on the wire: as much as the network bears.
 * Free of kernel dependencies: also compiled and tested in user space.
 *
 * Acknowledgments come at the pace at which packets get through, so many packets a
 * round trip are a rate, and it takes no timer to keep it. A round is a window's worth
 * of acknowledged packets.
 */
#ifndef URXE_RATE_H
#define URXE_RATE_H

#include <linux/types.h>

#define URXE_WINDOW_MAX	512U

/**
 * struct urxe_rate - one requester's window
 * @window: packets that may be on the wire unacknowledged
 * @alpha: how many of the last rounds were marked, in 1/1024
 * @acked: packets acknowledged in this round
 * @marked: a notification of congestion came in this round
 */
struct urxe_rate {
	__u32	window;
	__u32	alpha;
	__u32	acked;
	__u32	marked;
};

void urxe_rate_init(struct urxe_rate *rate);

/* @packets were acknowledged: some more may be sent. */
void urxe_rate_acked(struct urxe_rate *rate, __u32 packets);

/* Packets were lost: half as much will do. Once for all that was on the wire then. */
void urxe_rate_lost(struct urxe_rate *rate);

/*
 * So many packets had to be sent again until all that was on the wire had arrived. Some few
 * of many are the wire's loss, to which it is no answer to send less; more of them
 * overran something.
 */
void urxe_rate_recovered(struct urxe_rate *rate, __u32 packets);

/*
 * A congestion notification: less by a part that depends on how often they come, and
 * once a round, as DCQCN (Zhu et al., SIGCOMM 2015) has it.
 */
void urxe_rate_congested(struct urxe_rate *rate);

#endif /* URXE_RATE_H */
