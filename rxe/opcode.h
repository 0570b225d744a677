/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * Opcodes of the wire and their traits. The state machines branch on traits,
 * never on lists of opcodes; a new opcode is one line in opcode.c.
 */
#ifndef URXE_OPCODE_H
#define URXE_OPCODE_H

#include "hdr.h"

/* Operation, bits 4:0; the service is added to it (IBTA table 38). */
enum urxe_operation {
	OPC_SEND_FIRST		= 0x00,
	OPC_SEND_MIDDLE		= 0x01,
	OPC_SEND_LAST		= 0x02,
	OPC_SEND_LAST_IMM	= 0x03,
	OPC_SEND_ONLY		= 0x04,
	OPC_SEND_ONLY_IMM	= 0x05,
	OPC_WRITE_FIRST		= 0x06,
	OPC_WRITE_MIDDLE	= 0x07,
	OPC_WRITE_LAST		= 0x08,
	OPC_WRITE_LAST_IMM	= 0x09,
	OPC_WRITE_ONLY		= 0x0a,
	OPC_WRITE_ONLY_IMM	= 0x0b,
	OPC_READ_REQUEST	= 0x0c,
	OPC_READ_RESP_FIRST	= 0x0d,
	OPC_READ_RESP_MIDDLE	= 0x0e,
	OPC_READ_RESP_LAST	= 0x0f,
	OPC_READ_RESP_ONLY	= 0x10,
	OPC_ACK			= 0x11,
	OPC_ATOMIC_ACK		= 0x12,
	OPC_COMPARE_SWAP	= 0x13,
	OPC_FETCH_ADD		= 0x14,
	OPC_SEND_LAST_INV	= 0x16,
	OPC_SEND_ONLY_INV	= 0x17,
	OPC_FLUSH		= 0x1c,
	OPC_ATOMIC_WRITE	= 0x1d,

	/* services, bits 7:5 */
	OPC_RC			= 0x00,
	OPC_UC			= 0x20,
	OPC_UD			= 0x60,

	/* a service of its own (annex A17.9.3) */
	OPC_CNP			= 0x81,
};

enum urxe_trait {
	OP_VALID	= 1 << 0,
	/* what it is */
	OP_REQUEST	= 1 << 1,
	OP_RESPONSE	= 1 << 2,
	OP_SEND		= 1 << 3,	/* consumes receive WQE bytes */
	OP_WRITE	= 1 << 4,
	OP_READ		= 1 << 5,
	OP_ATOMIC	= 1 << 6,	/* CAS or FAA */
	OP_ATOMIC_WRITE	= 1 << 7,
	OP_FLUSH	= 1 << 8,
	/* where in its message it stands */
	OP_FIRST	= 1 << 9,
	OP_LAST		= 1 << 10,
	/* what it carries */
	OP_PAYLOAD	= 1 << 11,
	OP_RETH		= 1 << 12,
	OP_ATOMIC_ETH	= 1 << 13,
	OP_AETH		= 1 << 14,
	OP_ATOMIC_ACK	= 1 << 15,
	OP_IMM		= 1 << 16,
	OP_IETH		= 1 << 17,
	OP_DETH		= 1 << 18,
	OP_FETH		= 1 << 19,
	/* which services use it */
	OP_RC		= 1 << 20,
	OP_UC		= 1 << 21,
	OP_UD		= 1 << 22,
	/* not part of any message: the way to the peer is congested */
	OP_CNP		= 1 << 23,
};

/* Both ends of a message in one packet. */
#define OP_ONLY		(OP_FIRST | OP_LAST)
/* What is answered by more than an acknowledgment, or later than it arrives. */
#define OP_RD_ATOMIC	(OP_READ | OP_ATOMIC | OP_ATOMIC_WRITE | OP_FLUSH)

/**
 * struct urxe_opcode - one opcode of the wire
 * @name: for the tests
 * @traits: enum urxe_trait
 * @hdr_len: BTH and extended headers, bytes
 */
struct urxe_opcode {
	const char	*name;
	__u32		traits;
	__u8		hdr_len;
};

extern const struct urxe_opcode urxe_opcodes[256];

static inline __u32 urxe_traits(__u8 opcode)
{
	return urxe_opcodes[opcode].traits;
}

static inline __u8 urxe_hdr_len(__u8 opcode)
{
	return urxe_opcodes[opcode].hdr_len;
}

#endif /* URXE_OPCODE_H */
