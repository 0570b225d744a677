/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The kernel's own driver, rdma_rxe: is it there?
 */
#ifndef URXE_RIVAL_H
#define URXE_RIVAL_H

/* From here on urxe_ns_relisten() is called when rdma_rxe comes and goes. */
int urxe_rival_init(void);
void urxe_rival_exit(void);

/* Is rdma_rxe loaded, or about to be? */
bool urxe_rival_is_loaded(void);

#endif /* URXE_RIVAL_H */
