// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * How UC senders are held up on their own host.
 */
#include <linux/delay.h>
#include <linux/jhash.h>

#include "pressure.h"
#include "qp.h"

#define PLACE_BITS	8

/* What is left of this waits for the receiver until it is over. */
#define PRESSURE_BYTES	(URXE_INBOX_LIMIT / 2)
#define RELIEF_BYTES	(URXE_INBOX_LIMIT / 4)

/* For as long as nothing is heard of the receiver. */
#define PRESSURE_TICKS	2
#define PAUSE_US	100

/* When there was pressure; 0: it is over. Two ends write one word of it each. */
static unsigned long places[1 << PLACE_BITS];

static unsigned long *place4(__be32 addr, u32 qpn)
{
	return &places[jhash_2words((__force u32)addr, qpn, 0) >>
		       (32 - PLACE_BITS)];
}

static unsigned long *place6(const struct in6_addr *addr, u32 qpn)
{
	return &places[__ipv6_addr_jhash(addr, qpn) >> (32 - PLACE_BITS)];
}

static unsigned long *own_place(const struct urxe_qp *qp)
{
	const struct urxe_av *av = &qp->path.av;

	return av->family == AF_INET ? place4(av->s4, qp->ibqp.qp_num) :
				       place6(&av->s6, qp->ibqp.qp_num);
}

static unsigned long *peers_place(const struct urxe_qp *qp)
{
	const struct urxe_av *av = &qp->path.av;

	return av->family == AF_INET ? place4(av->d4, qp->attr.dest_qp_num) :
				       place6(&av->d6, qp->attr.dest_qp_num);
}

void urxe_pressure_note(const struct urxe_qp *qp)
{
	int waiting = atomic_read(&qp->resp.inbox.bytes);
	unsigned long *place = own_place(qp);

	if (waiting > PRESSURE_BYTES)
		WRITE_ONCE(*place, jiffies | 1);
	else if (waiting < RELIEF_BYTES && READ_ONCE(*place))
		WRITE_ONCE(*place, 0);
}

bool urxe_pressure_felt(const struct urxe_qp *qp)
{
	unsigned long since = READ_ONCE(*peers_place(qp));

	return since && time_before(jiffies, since + 1 + PRESSURE_TICKS);
}

void urxe_pressure_pause(void)
{
	usleep_range(PAUSE_US, 2 * PAUSE_US);
}
