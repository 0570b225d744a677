/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Pressure: a UC receiver that has fallen behind holds up a sender on its own host.
 *
 * Nothing is acknowledged over UC, and what a sender's skbs are charged to it ends
 * where the network stack takes them in (ip_rcv() orphans them): what waits for the
 * receiver would grow until it is dropped. Both ends know the receiver's address and QP
 * number, so that is where they meet, in a small table of all of the host's. If two
 * receivers have the same place in it, the one that came last has it.
 */
#ifndef URXE_PRESSURE_H
#define URXE_PRESSURE_H

struct urxe_qp;

/**
 * urxe_pressure_note - say how much waits for a UC receiver
 * @qp: the receiver
 *
 * With half of what may wait there is pressure: until it is down to a quarter, or nothing
 * has been heard for 50 ms, or it has not become less for a second. What is for a receiver
 * that has not got on until then, or that somebody else keeps busy, is dropped as over any
 * wire. Any context.
 */
void urxe_pressure_note(const struct urxe_qp *qp);

/**
 * urxe_pressure_felt - should a UC sender pause?
 * @qp: the sender
 * Any context. Return: false for a peer on another host.
 */
bool urxe_pressure_felt(const struct urxe_qp *qp);

/* Let the receiver get on. May sleep, for a fraction of a millisecond. */
void urxe_pressure_pause(void);

#endif /* URXE_PRESSURE_H */
