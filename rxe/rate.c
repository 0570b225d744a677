// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * A requester's window. On a clean wire it is wide; where packets get lost, overrun the
 * receiver, or are marked by a router whose queue grows, it is narrow.
 */
#include "rate.h"

/* After a loss some packets still make a batch; congestion may want fewer. */
#define LOSS_MIN	16
#define CONGESTION_MIN	4
#define GROWTH		16	/* packets acknowledged for one more */
#define ALPHA_ONE	1024
#define ALPHA_GAIN	16	/* one part in so many is news */

static __u32 larger(__u32 a, __u32 b)
{
	return a > b ? a : b;
}

static __u32 smaller(__u32 a, __u32 b)
{
	return a < b ? a : b;
}

void urxe_rate_init(struct urxe_rate *rate)
{
	*rate = (struct urxe_rate){
		.window = URXE_WINDOW_MAX,
		.alpha = ALPHA_ONE,
	};
}

static void end_round(struct urxe_rate *rate)
{
	rate->acked = 0;
	if (!rate->marked)
		rate->alpha -= rate->alpha / ALPHA_GAIN;
	rate->marked = 0;
}

void urxe_rate_acked(struct urxe_rate *rate, __u32 packets)
{
	__u32 more = (packets + GROWTH - 1) / GROWTH;

	rate->acked += packets;
	if (rate->acked >= rate->window)
		end_round(rate);
	if (!rate->marked)
		rate->window = smaller(rate->window + more, URXE_WINDOW_MAX);
}

void urxe_rate_lost(struct urxe_rate *rate)
{
	rate->window = larger(rate->window / 2,
			      smaller(rate->window, LOSS_MIN));
}

void urxe_rate_congested(struct urxe_rate *rate)
{
	__u32 less = rate->window * rate->alpha / (2 * ALPHA_ONE);

	if (rate->marked)
		return;
	rate->marked = 1;
	rate->acked = 0;
	rate->alpha += (ALPHA_ONE - rate->alpha) / ALPHA_GAIN;
	rate->window = larger(rate->window - less, CONGESTION_MIN);
}
