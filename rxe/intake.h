/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * How packets of a namespace come to us.
 */
#ifndef URXE_INTAKE_H
#define URXE_INTAKE_H

struct net;

/**
 * urxe_intake_open - have the RoCEv2 packets that arrive brought to urxe_rx()
 * @net: where
 * Return: 0 or -errno. May sleep.
 */
int urxe_intake_open(struct net *net);

/* After the return, urxe_rx() does not run for @net. May sleep. */
void urxe_intake_close(struct net *net);

#endif /* URXE_INTAKE_H */
