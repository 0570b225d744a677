/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Pressure: a UC receiver that has fallen behind holds up a sender on its own host.
 *
 * Nothing is acknowledged over UC, and what a sender's skbs are charged to it ends
 * where the network stack takes them in (ip_rcv() orphans them): what waits for the
 * receiver would grow until it is dropped. Both ends know the receiver's address and QP
 * number, so that is where they meet, in a small table of all of the host's. Two who share
 * a place by chance share no more than a pause.
 */
#ifndef URXE_PRESSURE_H
#define URXE_PRESSURE_H

struct urxe_qp;

/**
 * urxe_pressure_note - say how much waits for a UC receiver
 * @qp: the receiver
 *
 * With half of what may wait there is pressure for some milliseconds, or until it is down
 * to a quarter. A receiver that does not get on at all, and that much more comes for
 * nevertheless, is one that is dropped for, as over any wire. Any context.
 */
void urxe_pressure_note(const struct urxe_qp *qp);

/**
 * urxe_pressure_felt - should a UC sender pause?
 * @qp: the sender
 * Any context. Return: false for a peer on another host, if nothing shares its place.
 */
bool urxe_pressure_felt(const struct urxe_qp *qp);

/* Let the receiver get on. May sleep, for a fraction of a millisecond. */
void urxe_pressure_pause(void);

#endif /* URXE_PRESSURE_H */
