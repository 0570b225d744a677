// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * How UC senders are held up on their own host.
 */
#include <linux/delay.h>
#include <linux/jhash.h>

#include "pressure.h"
#include "qp.h"

#define PLACE_BITS	8

/* With more than that there is pressure, with less there is none any more. */
#define PRESSURE_BYTES	(URXE_INBOX_LIMIT / 2)
#define RELIEF_BYTES	(URXE_INBOX_LIMIT / 4)

/* How long it is felt when nothing more is heard; and when the receiver does not get on. */
#define PRESSURE_TICKS	((unsigned long)HZ / 20 + 1)
#define PATIENCE_TICKS	((unsigned long)HZ)

#define PAUSE_US	100

/**
 * struct place - a receiver that can't keep up
 * @who: it is; 0: nobody
 * @least: of what has waited for it since
 * @since: when that began, or @least became less, jiffies
 * @heard: when it was heard of last
 *
 * Read and written without a lock: what does not fit together is worth a pause, or one
 * that is missed.
 */
struct place {
	u32		who;
	int		least;
	unsigned long	since;
	unsigned long	heard;
};

static struct place places[1 << PLACE_BITS];

/* @addr: one of the two that @av has, of either family */
static u32 receiver(const struct urxe_av *av, const void *addr, u32 qpn)
{
	return jhash(addr, av->family == AF_INET ? sizeof(av->s4) :
						   sizeof(av->s6), qpn) ?: 1;
}

static u32 own_end(const struct urxe_qp *qp)
{
	return receiver(&qp->path.av, &qp->path.av.s6, qp->ibqp.qp_num);
}

static u32 far_end(const struct urxe_qp *qp)
{
	return receiver(&qp->path.av, &qp->path.av.d6, qp->attr.dest_qp_num);
}

static struct place *place_of(u32 who)
{
	return &places[who >> (32 - PLACE_BITS)];
}

void urxe_pressure_note(const struct urxe_qp *qp)
{
	int waiting = atomic_read(&qp->resp.inbox.bytes);
	u32 who = own_end(qp);
	struct place *place = place_of(who);
	bool known = READ_ONCE(place->who) == who;

	if (!known && waiting <= PRESSURE_BYTES)
		return;
	if (waiting < RELIEF_BYTES) {
		WRITE_ONCE(place->who, 0);
		return;
	}
	WRITE_ONCE(place->heard, jiffies);
	if (known && waiting >= READ_ONCE(place->least))
		return;
	WRITE_ONCE(place->least, waiting);
	WRITE_ONCE(place->since, jiffies);
	WRITE_ONCE(place->who, who);
}

bool urxe_pressure_felt(const struct urxe_qp *qp)
{
	u32 who = far_end(qp);
	const struct place *place = place_of(who);

	return READ_ONCE(place->who) == who &&
	       time_before_eq(jiffies, READ_ONCE(place->heard) + PRESSURE_TICKS) &&
	       time_before(jiffies, READ_ONCE(place->since) + PATIENCE_TICKS);
}

void urxe_pressure_pause(void)
{
	usleep_range(PAUSE_US, 2 * PAUSE_US);
}
