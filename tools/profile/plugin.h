/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * What count.c uses of QEMU's interface for plugins. QEMU's own header of it is in no
 * package of Debian 12.
 */
#ifndef PLUGIN_H
#define PLUGIN_H

#include <stddef.h>
#include <stdint.h>

struct qemu_plugin_tb;
struct qemu_info_t;

typedef uint64_t plugin_id;
typedef void (*translated_fn)(plugin_id id, struct qemu_plugin_tb *block);
typedef void (*executed_fn)(unsigned int cpu, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, translated_fn fn);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, executed_fn fn,
					  int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);

extern int qemu_plugin_version;
int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc, char **argv);

#endif /* PLUGIN_H */
