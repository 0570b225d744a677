/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The kernel's own driver, rdma_rxe: is it there?
 */
#ifndef URXE_RIVAL_H
#define URXE_RIVAL_H

/**
 * urxe_rival_init - be told of rdma_rxe
 * @replaces: we stand in for it, and keep it from being loaded
 *
 * From here on urxe_ns_relisten() is called when it comes and goes.
 * Return: 0 or an error. May sleep.
 */
int urxe_rival_init(bool replaces);
void urxe_rival_exit(void);

/* Is rdma_rxe loaded, or about to be? */
bool urxe_rival_is_loaded(void);

#endif /* URXE_RIVAL_H */
