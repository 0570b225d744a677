// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The opcode table (IBTA table 38; FLUSH and ATOMIC WRITE from its annexes).
 * Free of kernel dependencies: also compiled and tested in user space.
 */
#include "opcode.h"

#define EXT_LEN(t)							\
	(((t) & OP_RETH ? sizeof(struct urxe_reth) : 0) +		\
	 ((t) & OP_ATOMIC_ETH ? sizeof(struct urxe_atomic_eth) : 0) +	\
	 ((t) & OP_AETH ? sizeof(struct urxe_aeth) : 0) +		\
	 ((t) & OP_ATOMIC_ACK ? sizeof(struct urxe_atomic_ack_eth) : 0) + \
	 ((t) & OP_DETH ? sizeof(struct urxe_deth) : 0) +		\
	 ((t) & OP_FETH ? sizeof(struct urxe_feth) : 0) +		\
	 ((t) & OP_IMM ? sizeof(__be32) : 0) +				\
	 ((t) & OP_IETH ? sizeof(__be32) : 0))

#define OPCODE(svc, op, t)						\
	[OPC_##svc | OPC_##op] = {					\
		.name = #svc "_" #op,					\
		.traits = OP_VALID | OP_##svc | (t),			\
		.hdr_len = sizeof(struct urxe_bth) + EXT_LEN(t),	\
	}

#define RC(op, t)	OPCODE(RC, op, t)
#define UC(op, t)	OPCODE(UC, op, t)
#define UD(op, t)	OPCODE(UD, op, (t) | OP_DETH)

#define SEND	(OP_REQUEST | OP_SEND | OP_PAYLOAD)
#define WRITE	(OP_REQUEST | OP_WRITE | OP_PAYLOAD)
#define RESP	(OP_RESPONSE | OP_PAYLOAD | OP_READ)

/* What RC and UC have in common, with the same operation codes. */
#define CONNECTED(SVC)							\
	SVC(SEND_FIRST, SEND | OP_FIRST),			\
	SVC(SEND_MIDDLE, SEND),					\
	SVC(SEND_LAST, SEND | OP_LAST),				\
	SVC(SEND_LAST_IMM, SEND | OP_LAST | OP_IMM),		\
	SVC(SEND_ONLY, SEND | OP_ONLY),				\
	SVC(SEND_ONLY_IMM, SEND | OP_ONLY | OP_IMM),		\
	SVC(WRITE_FIRST, WRITE | OP_FIRST | OP_RETH),		\
	SVC(WRITE_MIDDLE, WRITE),				\
	SVC(WRITE_LAST, WRITE | OP_LAST),			\
	SVC(WRITE_LAST_IMM, WRITE | OP_LAST | OP_IMM),		\
	SVC(WRITE_ONLY, WRITE | OP_ONLY | OP_RETH),		\
	SVC(WRITE_ONLY_IMM, WRITE | OP_ONLY | OP_RETH | OP_IMM)

const struct urxe_opcode urxe_opcodes[256] = {
	CONNECTED(RC),
	RC(READ_REQUEST, OP_REQUEST | OP_READ | OP_ONLY | OP_RETH),
	RC(READ_RESP_FIRST, RESP | OP_FIRST | OP_AETH),
	RC(READ_RESP_MIDDLE, RESP),
	RC(READ_RESP_LAST, RESP | OP_LAST | OP_AETH),
	RC(READ_RESP_ONLY, RESP | OP_ONLY | OP_AETH),
	RC(ACK, OP_RESPONSE | OP_ONLY | OP_AETH),
	RC(ATOMIC_ACK,
	   OP_RESPONSE | OP_ATOMIC | OP_ONLY | OP_AETH | OP_ATOMIC_ACK),
	RC(COMPARE_SWAP,
	   OP_REQUEST | OP_ATOMIC | OP_ONLY | OP_ATOMIC_ETH),
	RC(FETCH_ADD,
	   OP_REQUEST | OP_ATOMIC | OP_ONLY | OP_ATOMIC_ETH),
	RC(SEND_LAST_INV, SEND | OP_LAST | OP_IETH),
	RC(SEND_ONLY_INV, SEND | OP_ONLY | OP_IETH),
	RC(FLUSH, OP_REQUEST | OP_FLUSH | OP_ONLY | OP_FETH | OP_RETH),
	RC(ATOMIC_WRITE,
	   OP_REQUEST | OP_ATOMIC_WRITE | OP_ONLY | OP_RETH | OP_PAYLOAD),

	CONNECTED(UC),

	UD(SEND_ONLY, SEND | OP_ONLY),
	UD(SEND_ONLY_IMM, SEND | OP_ONLY | OP_IMM),
};
