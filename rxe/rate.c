// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * A requester's window.
 */
#include "rate.h"

#define WINDOW_MIN	4
/* A loss is not made worse than this by narrowness: some packets make a batch. */
#define LOSS_MIN	16
#define ALPHA_ONE	1024
#define ALPHA_GAIN	16	/* one part in so many is news */
/* Rounds in which the window goes half the way back, before it goes for more. */
#define RECOVERY	5
#define INCREASE	8	/* packets more in each round after these */

static __u32 at_most(__u32 value, __u32 limit)
{
	return value < limit ? value : limit;
}

static __u32 at_least(__u32 value, __u32 limit)
{
	return value > limit ? value : limit;
}

void urxe_rate_init(struct urxe_rate *rate)
{
	*rate = (struct urxe_rate){
		.window = URXE_WINDOW_MAX,
		.target = URXE_WINDOW_MAX,
		.alpha = ALPHA_ONE,
		.quiet = RECOVERY,
	};
}

static void end_round(struct urxe_rate *rate)
{
	rate->acked = 0;
	if (rate->marked) {
		rate->marked = 0;
		return;
	}
	rate->alpha -= rate->alpha / ALPHA_GAIN;
	if (rate->quiet++ >= RECOVERY)
		rate->target = at_most(rate->target + INCREASE,
				       URXE_WINDOW_MAX);
	rate->window = (rate->window + rate->target + 1) / 2;
}

void urxe_rate_acked(struct urxe_rate *rate, __u32 packets)
{
	rate->acked += packets;
	if (rate->acked >= rate->window)
		end_round(rate);
}

static void fall_to(struct urxe_rate *rate, __u32 window)
{
	rate->target = rate->window;
	rate->window = window;
	rate->quiet = 0;
	rate->acked = 0;
}

void urxe_rate_congested(struct urxe_rate *rate)
{
	if (rate->marked)
		return;
	rate->alpha += (ALPHA_ONE - rate->alpha) / ALPHA_GAIN;
	fall_to(rate, at_least(rate->window - rate->window * rate->alpha /
			       (2 * ALPHA_ONE), WINDOW_MIN));
	rate->marked = 1;
}

void urxe_rate_lost(struct urxe_rate *rate, int peer_keeps)
{
	__u32 less = rate->window / (peer_keeps ? 8 : 2);

	fall_to(rate, at_least(rate->window - less,
			       at_most(rate->window, LOSS_MIN)));
}
