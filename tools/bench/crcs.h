/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/* CRC-32 in the ways of the kernel, each as crc32_le(). */
#ifndef BENCH_CRCS_H
#define BENCH_CRCS_H

#include <stdbool.h>
#include <stdint.h>

/* Before all else. */
void crcs_init(void);

/* A table for each of eight bytes: what the kernel had up to 6.13. */
uint32_t crc_by_tables(uint32_t crc, const uint8_t *at, uint32_t len);

/* By carry-less multiplication, with registers of 128 bits or of 512. */
bool crc_has_clmul(void);
uint32_t crc_by_clmul(uint32_t crc, const uint8_t *at, uint32_t len);
bool crc_has_clmul512(void);
uint32_t crc_by_clmul512(uint32_t crc, const uint8_t *at, uint32_t len);

#endif /* BENCH_CRCS_H */
