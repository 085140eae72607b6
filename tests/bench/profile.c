// SPDX-License-Identifier: GPL-2.0
/*
 * A QEMU plugin that counts the instructions which one thread of the guest executes, by block of
 * code. It can see addresses only, so bench says the rest: it calls profile_begin() and
 * profile_end() where it times, and whatever runs between two context switches is the reading
 * thread's if it passes through the section of bench's code that takes bytes. What the processor
 * does for others meanwhile (interrupts) counts, as it does in the thread's CPU time.
 *
 * Arguments: out=FILE begin=, end=, first=, last=, switch= (addresses in hex). Each end writes
 * FILE.1, FILE.2 ... with lines of address and instructions. For guests with one processor.
 *
 * Debian has no package with QEMU's header for plugins; what of it is used is declared here.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_info_t;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
					  void (*cb)(unsigned int, void *),
					  enum qemu_plugin_cb_flags flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

int qemu_plugin_version = PLUGIN_VERSION;

#define BLOCKS	(1ul << 20)

struct block {
	uint64_t addr, insns;
	uint64_t now, sum;	/* instructions since the last switch, and the thread's */
	struct block *next;	/* of those that ran since the last switch */
};

static struct block blocks[BLOCKS], *ran;
static bool counting, is_readers;
static const char *out;
static uint64_t begin, end, first, last, switch_to;

static void end_slice(void)
{
	for (; ran; ran = ran->next) {
		ran->sum += is_readers ? ran->now : 0;
		ran->now = 0;
	}
	is_readers = false;
}

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
		if (b->sum)
			fprintf(f, "%016llx %llu\n", (unsigned long long)b->addr,
				(unsigned long long)b->sum);
		b->sum = 0;
	}
	fclose(f);
}

static void executed(unsigned int cpu, void *data)
{
	struct block *b = data;

	(void)cpu;
	if (b->addr == begin) {
		counting = true;
		is_readers = true;
	}
	if (!counting)
		return;
	if (b->addr == end) {
		end_slice();
		counting = false;
		write_counts();
		return;
	}
	if (b->addr == switch_to)
		end_slice();
	if (b->addr >= first && b->addr < last)
		is_readers = true;
	if (!b->now) {
		b->next = ran;
		ran = b;
	}
	b->now += b->insns;
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
	struct block *b = find_block(qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb));

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, b);
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
	static const struct { const char *name; uint64_t *addr; } known[] = {
		{ "begin=", &begin }, { "end=", &end }, { "first=", &first }, { "last=", &last },
		{ "switch=", &switch_to },
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
	if (!out || !begin || !end || !first || !last || !switch_to) {
		fputs("profile: needs out=, begin=, end=, first=, last= and switch=\n", stderr);
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
