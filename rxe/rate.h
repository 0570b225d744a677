/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * How much a requester may have on the wire: as much as the network bears.
 * Free of kernel dependencies: also compiled and tested in user space.
 *
 * This is DCQCN (Zhu et al., SIGCOMM 2015) with a window where that has a rate:
 * acknowledgments come at the pace at which packets get through, so so many packets a
 * round trip are a rate, and no timer is needed. A round is a window's worth of
 * acknowledged packets.
 */
#ifndef URXE_RATE_H
#define URXE_RATE_H

#include <linux/types.h>

#define URXE_WINDOW_MAX	512

/**
 * struct urxe_rate - one requester's window
 * @window: packets that may be on the wire unacknowledged
 * @target: what @window was when the network last complained, and a bit more each
 *	    round since; @window makes for it
 * @alpha: how often the network has complained lately, in 1/1024
 * @acked: packets acknowledged in this round
 * @quiet: rounds since it last complained
 * @marked: it has complained in this round
 */
struct urxe_rate {
	__u32	window;
	__u32	target;
	__u32	alpha;
	__u32	acked;
	__u32	quiet;
	__u32	marked;
};

/* Nothing is known of the network: assume the best. */
void urxe_rate_init(struct urxe_rate *rate);

/* The peer has acknowledged @packets more. */
void urxe_rate_acked(struct urxe_rate *rate, __u32 packets);

/* A congestion notification has come; it counts once a round. */
void urxe_rate_congested(struct urxe_rate *rate);

/*
 * Something was lost. All that is behind it has to be sent again if the peer does not
 * keep it, so that a loss is the dearer, the wider the window was.
 */
void urxe_rate_lost(struct urxe_rate *rate, int peer_keeps);

#endif /* URXE_RATE_H */
