/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * What a link can do, in numbers. They are reported as they are, those that have a
 * place in an answer, and can be reached: nothing here is larger than what create calls
 * accept.
 */
#ifndef URXE_LIMITS_H
#define URXE_LIMITS_H

#define URXE_MAX_QP		(1 << 20)
#define URXE_MAX_QP_WR		((1 << 14) - 1)
#define URXE_MAX_SGE		32
#define URXE_MAX_INLINE		(URXE_MAX_SGE * sizeof(struct rxe_sge))
#define URXE_MAX_CQ		(1 << 20)
#define URXE_MAX_CQE		((1 << 20) - 1)
#define URXE_MAX_KEY_INDEX	((1 << 24) - 1)	/* regions and windows together */
#define URXE_MAX_MR		(1 << 23)
#define URXE_MAX_MW		(URXE_MAX_KEY_INDEX - URXE_MAX_MR)
#define URXE_MAX_PD		(1 << 20)
#define URXE_MAX_AH		(1 << 20)
#define URXE_MAX_SRQ		(1 << 16)
#define URXE_MAX_SRQ_WR		((1 << 14) - 1)
#define URXE_MAX_RD_ATOMIC	128
#define URXE_MAX_RES_RD_ATOMIC	(URXE_MAX_QP * URXE_MAX_RD_ATOMIC)
#define URXE_MAX_MCAST_ATTACH	8192	/* QPs in groups, whatever groups */
#define URXE_MAX_FRMR_PAGES	512
#define URXE_MAX_MSG		(1U << 31)
#define URXE_ACK_DELAY		15	/* 4.096 us * 2^15: what a busy host may take */
#define URXE_MAX_MTU		4096	/* payload bytes of a packet */

/* Wire numbers: 24 bits; rdma_rxe has those below 2^20, see intake.c. */
#define URXE_GSI_QPN		1
#define URXE_MIN_QPN		0x200000
#define URXE_MAX_QPN		0xfffffe
#define URXE_PKEY		0xffff
#define URXE_PKEY_TBL_LEN	1
#define URXE_GID_TBL_LEN	256

/* Neither 0 nor 0xffffff: some programs switch features off for those. */
#define URXE_VENDOR_ID		0x757278
#define URXE_VENDOR_PART_ID	1

#endif /* URXE_LIMITS_H */
