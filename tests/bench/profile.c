// SPDX-License-Identifier: GPL-2.0
/*
 * A QEMU plugin that counts the instructions which one thread of the guest executes, and those of
 * all others, by block of code. It can see addresses only, so bench says the rest: it calls
 * profile_begin() and profile_end() where it times, in the thread that is meant. Which thread runs
 * is told by what the kernel's __switch_to_asm() loads first, the stack pointer in the next one's
 * task_struct. Interrupts, and what softirqs do for others, are counted where they happen; many a
 * kernel keeps them out of the thread's CPU time.
 *
 * Arguments: out=FILE begin=, end=, switch= (addresses in hex). Each end writes FILE.1, FILE.2 ...
 * with lines of address, the thread's instructions and the others'. For guests with one processor.
 *
 * Debian has no package with QEMU's header for plugins; what of it is used is declared here.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_mem_rw { QEMU_PLUGIN_MEM_RW = 3 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
					  void (*cb)(unsigned int, void *),
					  enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      void (*cb)(unsigned int, qemu_plugin_meminfo_t, uint64_t,
						 void *),
				      enum qemu_plugin_cb_flags flags, enum qemu_plugin_mem_rw rw,
				      void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

int qemu_plugin_version = PLUGIN_VERSION;

#define BLOCKS	(1ul << 20)
#define SWITCH_BYTES	64	/* of __switch_to_asm(), in which the load is */

struct block {
	uint64_t addr, insns;
	uint64_t readers, others;
};

static struct block blocks[BLOCKS];
static bool counting, switching;
static const char *out;
static uint64_t begin, end, switch_to;
static uint64_t running, reader;	/* threads, by where their stack pointer is saved */

static void write_counts(void)
{
	static int files;
	char name[4096];
	FILE *f;

	snprintf(name, sizeof(name), "%s.%d", out, ++files);
	f = fopen(name, "w");
	if (!f) {
		perror(name);
		exit(1);
	}
	for (struct block *b = blocks; b < blocks + BLOCKS; b++) {
		if (b->readers || b->others)
			fprintf(f, "%016" PRIx64 " %" PRIu64 " %" PRIu64 "\n", b->addr,
				b->readers, b->others);
		b->readers = 0;
		b->others = 0;
	}
	fclose(f);
}

static void executed(unsigned int cpu, void *data)
{
	struct block *b = data;

	(void)cpu;
	if (b->addr == switch_to)
		switching = true;
	if (b->addr == begin) {
		reader = running;
		counting = true;
	}
	if (!counting)
		return;
	if (b->addr == end) {
		counting = false;
		write_counts();
		return;
	}
	*(running == reader ? &b->readers : &b->others) += b->insns;
}

/* Asks itself for what is a load: QEMU 7.2 takes the one for the other. */
static void accessed(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t addr, void *data)
{
	(void)cpu;
	(void)data;
	if (!switching || qemu_plugin_mem_is_store(info))
		return;
	running = addr;
	switching = false;
}

static struct block *find_block(uint64_t addr, uint64_t insns)
{
	uint64_t i = (addr * 131 + insns) * 0x9e3779b97f4a7c15ull >> 44;

	for (size_t tried = 0; tried < BLOCKS; tried++, i++) {
		struct block *b = &blocks[i % BLOCKS];

		if (!b->insns)
			*b = (struct block){ .addr = addr, .insns = insns };
		if (b->addr == addr && b->insns == insns)
			return b;
	}
	fputs("profile: too many blocks\n", stderr);
	exit(1);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t insns = qemu_plugin_tb_n_insns(tb);
	struct block *b = find_block(qemu_plugin_tb_vaddr(tb), insns);

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, b);
	for (size_t i = 0; i < insns; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_vaddr(insn) - switch_to < SWITCH_BYTES)
			qemu_plugin_register_vcpu_mem_cb(insn, accessed, QEMU_PLUGIN_CB_NO_REGS,
							 QEMU_PLUGIN_MEM_RW, NULL);
	}
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
	static const struct { const char *name; uint64_t *addr; } known[] = {
		{ "begin=", &begin }, { "end=", &end }, { "switch=", &switch_to },
	};

	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = argv[i] + 4;
		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
			size_t len = strlen(known[k].name);

			if (!strncmp(argv[i], known[k].name, len))
				*known[k].addr = strtoull(argv[i] + len, NULL, 16);
		}
	}
	if (!out || !begin || !end || !switch_to) {
		fputs("profile: needs out=, begin=, end= and switch=\n", stderr);
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
