// SPDX-License-Identifier: GPL-2.0
/*
 * Watchers of tcp_splice_read(): BPF's fentry and fexit, as bpftrace has them, with a program that
 * does nothing; kprobes and kretprobes; the function_graph tracer. All count the calls they see.
 *
 * Only one is there at a time.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "knobs.h"
#include "test.h"
#include "watcher.h"

#define KERNEL_ENOTSUPP	524	/* the kernel's own, which no header of ours has */

static bool is_bpf(const struct watcher *w)
{
	return w->type;
}

static struct {
	int prog, link, stats;
} bpf;

static int bpf_load(enum bpf_attach_type type)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = type);
	int id;

	if (access("/sys/kernel/btf/vmlinux", R_OK))
		skip("no BTF in this kernel");
	id = libbpf_find_vmlinux_btf_id(HOOKED, type);
	expect(id > 0, HOOKED " in the kernel's BTF: %s", result_name(id));
	opts.attach_btf_id = id;
	return bpf_prog_load(BPF_PROG_TYPE_TRACING, "neighbour", "GPL", insns,
			     sizeof(insns) / sizeof(insns[0]), &opts);
}

static int bpf_come(const struct watcher *w)
{
	bpf.stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	expect(bpf.stats >= 0, "BPF_ENABLE_STATS: %s", result_name(bpf.stats));
	bpf.prog = bpf_load(w->type);
	expect(bpf.prog >= 0, "load of a %s program: %s", w->name, result_name(bpf.prog));
	bpf.link = bpf_raw_tracepoint_open(NULL, bpf.prog);
	if (bpf.link == -KERNEL_ENOTSUPP)
		skip("no %s on this kernel", w->name);
	if (bpf.link >= 0)
		return 0;
	close(bpf.prog);
	close(bpf.stats);
	return bpf.link;
}

static void bpf_go(const struct watcher *w)
{
	(void)w;
	close(bpf.link);
	close(bpf.prog);
	close(bpf.stats);
}

static long long bpf_calls(const struct watcher *w)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int err = bpf_prog_get_info_by_fd(bpf.prog, &info, &len);

	expect(!err, "info of the %s program: %s", w->name, result_name(err));
	return info.run_cnt;
}

#define EVENT "neighbour"
#define EVENT_ENABLE TRACEFS "/events/kprobes/" EVENT "/enable"

static int kprobe_come(const struct watcher *w)
{
	if (access(KPROBE, F_OK))
		skip("no kprobe events in " TRACEFS);
	/* What a case that failed has left. */
	write_file(EVENT_ENABLE, 0, "0");
	write_file(KPROBE, O_APPEND, "-:" EVENT);
	expect_result(write_file(KPROBE, O_APPEND, w->event), 0, "%s", w->event);
	return write_file(EVENT_ENABLE, 0, "1");
}

static void kprobe_go(const struct watcher *w)
{
	int err = write_file(EVENT_ENABLE, 0, "0");

	expect(!err, "%s off: %s", w->name, result_name(err));
	expect_result(write_file(KPROBE, O_APPEND, "-:" EVENT), 0, "%s away", w->name);
}

static long long kprobe_calls(const struct watcher *w)
{
	char line[512], *at;

	grep_file(TRACEFS "/kprobe_profile", EVENT, line, sizeof(line));
	at = strstr(line, EVENT);
	expect(at, "the %s isn't in kprobe_profile", w->name);
	return strtoll(at + strlen(EVENT), NULL, 10);
}

/*
 * The reader, too: what is redirected, 5.10 takes for another function, and doesn't trace. The
 * reader is traced until it is unloaded.
 */
static int graph_come(const struct watcher *w)
{
	static const char filter[] = HOOKED " sms_tcp_splice_read";

	(void)w;
	if (access(TRACEFS "/set_ftrace_filter", F_OK))
		skip("no function tracer in " TRACEFS);
	expect_result(write_file(TRACEFS "/set_ftrace_filter", O_TRUNC, filter), 0, "%s", filter);
	return write_file(TRACEFS "/current_tracer", 0, "function_graph");
}

static void graph_go(const struct watcher *w)
{
	expect_result(write_file(TRACEFS "/current_tracer", 0, "nop"), 0, "%s off", w->name);
	write_file(TRACEFS "/set_ftrace_filter", O_TRUNC, "");
}

static long long graph_calls(const struct watcher *w)
{
	FILE *f = fopen(TRACE, "r");
	long long calls = 0;
	char line[512];

	expect(f, "%s: %s: %s", w->name, TRACE, strerror(errno));
	while (fgets(line, sizeof(line), f))
		calls += strstr(line, "()") != NULL;
	fclose(f);
	return calls;
}

static bool has_symbol(const char *name)
{
	char line[512], symbol[64];

	snprintf(symbol, sizeof(symbol), " %s\n", name);
	grep_file("/proc/kallsyms", symbol, line, sizeof(line));
	return line[0];
}

/*
 * BPF enters a function by a direct call from ftrace. Since 6.0 (5.10 hasn't got it) that lets who
 * redirects the function have his way; before, the two excluded each other.
 */
bool watcher_excludes_us(const struct watcher *w)
{
	return is_bpf(w) && !has_symbol("bpf_tramp_ftrace_ops_func");
}

const struct watcher fentry_watcher = {
	"fentry", bpf_come, bpf_go, bpf_calls, .type = BPF_TRACE_FENTRY,
};

/* A call that is under way when its trampoline is replaced may skip it: bpf_tramp_image_put(). */
const struct watcher fexit_watcher = {
	"fexit", bpf_come, bpf_go, bpf_calls, .loses = 1, .type = BPF_TRACE_FEXIT,
};

const struct watcher kprobe_watcher = {
	"kprobe", kprobe_come, kprobe_go, kprobe_calls, .event = "p:" EVENT " " HOOKED,
};

const struct watcher kretprobe_watcher = {
	"kretprobe", kprobe_come, kprobe_go, kprobe_calls, .event = "r:" EVENT " " HOOKED,
};

const struct watcher graph_watcher = {
	"function_graph tracer", graph_come, graph_go, graph_calls, .loses = 1,
};
