/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Headers of the InfiniBand transport as they are on the wire (IBTA volume 1,
 * chapter 9), and the codes they carry.
 */
#ifndef URXE_HDR_H
#define URXE_HDR_H

#include <linux/build_bug.h>
#include <linux/types.h>

#define URXE_ICRC_LEN	4

/* Base transport header, first in every packet. */
struct urxe_bth {
	__u8	opcode;
	__u8	flags;		/* SE, M, pad count, version */
	__be16	pkey;
	__be32	qpn;		/* FECN, BECN, reserved, destination QP */
	__be32	apsn;		/* acknowledge request, reserved, PSN */
};

#define BTH_SE		0x80
#define BTH_MIG		0x40
#define BTH_PAD_SHIFT	4
#define BTH_PAD_MASK	0x30
#define BTH_TVER_MASK	0x0f
#define BTH_FECN	0x80000000
#define BTH_BECN	0x40000000
#define BTH_ACK		0x80000000
#define BTH_24BITS	0x00ffffff

/* Datagram, RDMA, atomic, acknowledge and other extended headers. */
struct urxe_deth {
	__be32	qkey;
	__be32	sqpn;
};

struct urxe_reth {
	__be64	va;
	__be32	rkey;
	__be32	len;
} __packed;

struct urxe_atomic_eth {
	__be64	va;
	__be32	rkey;
	__be64	swap_add;
	__be64	compare;
} __packed;

struct urxe_aeth {
	__be32	smsn;		/* syndrome, message sequence number */
};

struct urxe_atomic_ack_eth {
	__be64	orig;
} __packed;

struct urxe_feth {
	__be32	bits;		/* selectivity level 5:4, placement type 3:0 */
};

#define FETH_LEVEL_SHIFT	4
#define FETH_LEVEL_MASK		0x30
#define FETH_TYPE_MASK		0x0f

/* Behind the BTH of a congestion notification: zeroes. */
#define URXE_CNP_RESERVED	16

static_assert(sizeof(struct urxe_bth) == 12);
static_assert(sizeof(struct urxe_reth) == 16);
static_assert(sizeof(struct urxe_atomic_eth) == 28);

/* The longest: BTH + AtomicETH. */
#define URXE_MAX_HDR	(sizeof(struct urxe_bth) + sizeof(struct urxe_atomic_eth))

/* AETH syndrome: type in bits 6:5, value in 4:0 (IBTA table 43). */
enum {
	AETH_ACK		= 0x00,
	AETH_RNR_NAK		= 0x20,
	AETH_NAK		= 0x60,
	AETH_TYPE_MASK		= 0xe0,
	AETH_VALUE_MASK		= 0x1f,
	AETH_ACK_UNLIMITED	= 0x1f,	/* no end-to-end credits kept */

	AETH_NAK_SEQ_ERR	= 0x60,
	AETH_NAK_INV_REQ	= 0x61,
	AETH_NAK_REM_ACC	= 0x62,
	AETH_NAK_REM_OP		= 0x63,
};

#endif /* URXE_HDR_H */
