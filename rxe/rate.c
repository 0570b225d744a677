// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * A requester's window. On a clean wire it is wide; where packets get lost, overrun the
 * receiver, or are marked by a router whose queue grows, it is narrow.
 */
#include <linux/math.h>
#include <linux/minmax.h>

#include "rate.h"

/* After a loss some packets still make a batch; congestion may want fewer. */
#define LOSS_MIN	16U
#define CONGESTION_MIN	4U
/* One part in so many, or so many, are few. */
#define FEW_OF		16
#define FEW		8U
#define GROWTH		16	/* packets acknowledged for one more */
#define ALPHA_ONE	1024
#define ALPHA_GAIN	16	/* one part in so many is news */

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
	__u32 more = DIV_ROUND_UP(packets, GROWTH);

	rate->acked += packets;
	if (rate->acked >= rate->window)
		end_round(rate);
	if (!rate->marked)
		rate->window = min(rate->window + more, URXE_WINDOW_MAX);
}

void urxe_rate_lost(struct urxe_rate *rate)
{
	rate->window = max(rate->window / 2, min(rate->window, LOSS_MIN));
}

void urxe_rate_recovered(struct urxe_rate *rate, __u32 packets)
{
	if (packets > max(rate->window / FEW_OF, FEW))
		urxe_rate_lost(rate);
}

void urxe_rate_congested(struct urxe_rate *rate)
{
	__u32 less = rate->window * rate->alpha / (2 * ALPHA_ONE);

	if (rate->marked)
		return;
	rate->marked = 1;
	rate->acked = 0;
	rate->alpha += (ALPHA_ONE - rate->alpha) / ALPHA_GAIN;
	rate->window = max(rate->window - less, CONGESTION_MIN);
}
