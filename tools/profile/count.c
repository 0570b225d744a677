// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * count - a plugin of QEMU's that counts the instructions of the guest's kernel.
 *
 * An emulated machine has no clock to trust, but each instruction that it executes is
 * real. QEMU translates code by blocks; how often each block is executed is counted, on
 * each processor by itself, so nothing is lost and nothing is locked.
 *
 * When a file mark-NAME is in the directory DIR (dir=DIR), which is the guest's /out, the
 * counts so far go to counts-NAME there, a line for each block: address, instructions,
 * executions. Then the mark is removed.
 */
#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"

/* Of the interface, as the build has found it. */
int qemu_plugin_version = VERSION;

#define CPUS	8
#define SLOTS	(1u << 20)

/* A block that may be translated many times, and found by what it is. */
struct block {
	uint64_t address;
	uint64_t instructions;
	uint64_t executions[CPUS];
};

/* Open addressing; the lock guards who takes a slot. */
static struct block *blocks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *directory;

static struct block *find(uint64_t address, uint64_t instructions)
{
	uint32_t i = (address * 0x9e3779b97f4a7c15) >> 44;

	while (blocks[i].address &&
	       (blocks[i].address != address || blocks[i].instructions != instructions))
		i = (i + 1) % SLOTS;
	blocks[i].address = address;
	blocks[i].instructions = instructions;
	return &blocks[i];
}

static void on_execution(unsigned int cpu, void *data)
{
	struct block *block = data;

	block->executions[cpu % CPUS]++;
}

/* The upper half of the addresses is the kernel's. */
static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb);
	struct block *block;

	(void)id;
	if (!(address >> 63))
		return;
	pthread_mutex_lock(&lock);
	block = find(address, qemu_plugin_tb_n_insns(tb));
	pthread_mutex_unlock(&lock);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_execution, 0, block);
}

static uint64_t sum(const uint64_t *counts)
{
	uint64_t all = 0;
	int i;

	for (i = 0; i < CPUS; i++)
		all += counts[i];
	return all;
}

static FILE *create(const char *name)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/counts-%s", directory, name);
	file = fopen(path, "w");
	if (!file)
		perror(path);
	return file;
}

static void write_counts(const char *name)
{
	FILE *file = create(name);
	uint64_t executions;
	uint32_t i;

	for (i = 0; file && i < SLOTS; i++) {
		executions = sum(blocks[i].executions);
		if (executions)
			fprintf(file, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n",
				blocks[i].address, blocks[i].instructions, executions);
	}
	if (file)
		fclose(file);
}

static void look(DIR *dir)
{
	struct dirent *entry;

	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "mark-", 5))
			continue;
		write_counts(entry->d_name + 5);
		unlinkat(dirfd(dir), entry->d_name, 0);
	}
}

static void *watch(void *unused)
{
	DIR *dir = opendir(directory);

	while (dir) {
		look(dir);
		rewinddir(dir);
		usleep(100000);
	}
	return unused;
}

int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc, char **argv)
{
	pthread_t thread;

	(void)info;
	blocks = calloc(SLOTS, sizeof(*blocks));
	if (!blocks || argc != 1 || strncmp(argv[0], "dir=", 4))
		return -1;
	directory = strdup(argv[0] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	return pthread_create(&thread, NULL, watch, NULL);
}
