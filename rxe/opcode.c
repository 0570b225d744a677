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

#define REQ_SEND	(OP_REQUEST | OP_SEND | OP_PAYLOAD)
#define REQ_WRITE	(OP_REQUEST | OP_WRITE | OP_PAYLOAD)
#define READ_RESP	(OP_RESPONSE | OP_PAYLOAD | OP_READ)

/* Requests that nobody has thought of yet: a responder refuses them. */
#define RC_RESERVED(op)							\
	[OPC_RC | (op)] = {						\
		.name = "RC_RESERVED_" #op,				\
		.traits = OP_VALID | OP_RC | OP_REQUEST | OP_ONLY |	\
			  OP_PAYLOAD,					\
		.hdr_len = sizeof(struct urxe_bth),			\
	}

const struct urxe_opcode urxe_opcodes[256] = {
	RC(SEND_FIRST, REQ_SEND | OP_FIRST),
	RC(SEND_MIDDLE, REQ_SEND),
	RC(SEND_LAST, REQ_SEND | OP_LAST),
	RC(SEND_LAST_IMM, REQ_SEND | OP_LAST | OP_IMM),
	RC(SEND_ONLY, REQ_SEND | OP_ONLY),
	RC(SEND_ONLY_IMM, REQ_SEND | OP_ONLY | OP_IMM),
	RC(WRITE_FIRST, REQ_WRITE | OP_FIRST | OP_RETH),
	RC(WRITE_MIDDLE, REQ_WRITE),
	RC(WRITE_LAST, REQ_WRITE | OP_LAST),
	RC(WRITE_LAST_IMM, REQ_WRITE | OP_LAST | OP_IMM),
	RC(WRITE_ONLY, REQ_WRITE | OP_ONLY | OP_RETH),
	RC(WRITE_ONLY_IMM, REQ_WRITE | OP_ONLY | OP_RETH | OP_IMM),
	RC(READ_REQUEST, OP_REQUEST | OP_READ | OP_ONLY | OP_RETH),
	RC(READ_RESP_FIRST, READ_RESP | OP_FIRST | OP_AETH),
	RC(READ_RESP_MIDDLE, READ_RESP),
	RC(READ_RESP_LAST, READ_RESP | OP_LAST | OP_AETH),
	RC(READ_RESP_ONLY, READ_RESP | OP_ONLY | OP_AETH),
	RC(ACK, OP_RESPONSE | OP_ONLY | OP_AETH),
	RC(ATOMIC_ACK,
	   OP_RESPONSE | OP_ATOMIC | OP_ONLY | OP_AETH | OP_ATOMIC_ACK),
	RC(COMPARE_SWAP,
	   OP_REQUEST | OP_ATOMIC | OP_ONLY | OP_ATOMIC_ETH),
	RC(FETCH_ADD,
	   OP_REQUEST | OP_ATOMIC | OP_ONLY | OP_ATOMIC_ETH),
	RC(SEND_LAST_INV, REQ_SEND | OP_LAST | OP_IETH),
	RC(SEND_ONLY_INV, REQ_SEND | OP_ONLY | OP_IETH),
	RC(FLUSH, OP_REQUEST | OP_FLUSH | OP_ONLY | OP_FETH | OP_RETH),
	RC(ATOMIC_WRITE,
	   OP_REQUEST | OP_ATOMIC_WRITE | OP_ONLY | OP_RETH | OP_PAYLOAD),
	RC_RESERVED(0x15),
	RC_RESERVED(0x18),
	RC_RESERVED(0x19),
	RC_RESERVED(0x1a),
	RC_RESERVED(0x1b),
	RC_RESERVED(0x1e),
	RC_RESERVED(0x1f),

	UC(SEND_FIRST, REQ_SEND | OP_FIRST),
	UC(SEND_MIDDLE, REQ_SEND),
	UC(SEND_LAST, REQ_SEND | OP_LAST),
	UC(SEND_LAST_IMM, REQ_SEND | OP_LAST | OP_IMM),
	UC(SEND_ONLY, REQ_SEND | OP_ONLY),
	UC(SEND_ONLY_IMM, REQ_SEND | OP_ONLY | OP_IMM),
	UC(WRITE_FIRST, REQ_WRITE | OP_FIRST | OP_RETH),
	UC(WRITE_MIDDLE, REQ_WRITE),
	UC(WRITE_LAST, REQ_WRITE | OP_LAST),
	UC(WRITE_LAST_IMM, REQ_WRITE | OP_LAST | OP_IMM),
	UC(WRITE_ONLY, REQ_WRITE | OP_ONLY | OP_RETH),
	UC(WRITE_ONLY_IMM, REQ_WRITE | OP_ONLY | OP_RETH | OP_IMM),

	UD(SEND_ONLY, REQ_SEND | OP_ONLY),
	UD(SEND_ONLY_IMM, REQ_SEND | OP_ONLY | OP_IMM),

	[OPC_CNP] = {
		.name = "CNP",
		.traits = OP_VALID | OP_RC | OP_RESPONSE | OP_ONLY | OP_CNP,
		.hdr_len = sizeof(struct urxe_bth) + URXE_CNP_RESERVED,
	},
};
