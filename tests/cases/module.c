// SPDX-License-Identifier: GPL-2.0
/*
 * The module itself: loading, refusing to load, its parameters, and other users of ftrace on the
 * same function. Each case leaves the module as it likes; the runner puts it back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "knobs.h"
#include "ko.h"
#include "memory.h"
#include "net.h"
#include "served.h"
#include "take.h"

#define STREAM		262144
#define ODD_CHUNK	3001

static void load_unload(const struct test *t)
{
	int log = log_open();

	(void)t;
	ko_need();
	for (int i = 0; i < 5; i++) {
		expect_served();
		ko_unload_in_time();
		expect_not_served();
		expect(log_count(log, KO_NAME ": unloaded, "), "round %d: no word on unload", i);
		expect_result(ko_load(""), 0, "load");
		expect(log_count(log, KO_NAME ": serving "), "round %d: no word on load", i);
	}
}

static void second_load(const struct test *t)
{
	(void)t;
	ko_need();
	expect_result(ko_load(""), -EEXIST, "a second load");
	expect_served();
}

static void parameter_at_load(const struct test *t)
{
	long long copy;

	(void)t;
	ko_need();
	ko_unload_in_time();
	expect_result(ko_load("copy=1"), 0, "load with copy=1");
	copy = ko_parameter("copy");
	expect(copy == 1, "copy is %lld", copy);
	ko_unload_in_time();
	expect_result(ko_load("copy=perhaps"), -EINVAL, "load with a bad value");
	expect(!ko_loaded(), "loaded with a bad value");
}

/* PERMANENT: nobody can switch the fix off without taking the module out. */
static void ftrace_stays_on(const struct test *t)
{
	int err;

	(void)t;
	ko_need();
	err = write_file(FTRACE_ENABLED, 0, "0");
	if (!err)
		write_file(FTRACE_ENABLED, 0, "1");
	/* 7.3 has given up switching it off at all. */
	expect(err == -EBUSY || err == -EOPNOTSUPP, "kernel.ftrace_enabled=0 while loaded: %s",
	       result_name(err));
	expect_served();
}

/* With ftrace switched off before, the module says so, and leaves nothing behind. */
static void refused(const struct test *t)
{
	int log = log_open(), err;

	(void)t;
	ko_need();
	ko_unload_in_time();
	err = write_file(FTRACE_ENABLED, 0, "0");
	if (err)
		skip("kernel.ftrace_enabled=0: %s", result_name(err));
	err = ko_load("");
	write_file(FTRACE_ENABLED, 0, "1");
	expect(err, "loaded with kernel.ftrace_enabled=0");
	expect(!ko_loaded(), "refused (%s) and yet there", result_name(err));
	expect(log_count(log, KO_NAME ": "), "refused (%s) without a word", result_name(err));
	expect_not_served();
	expect_result(ko_load(""), 0, "load with ftrace on again");
	expect_served();
}

/* Another module has redirected the function, as a livepatch does; here it is our own twin. */
static void redirected(const struct test *t)
{
	static const char twin[] = "sockmap_splicE";
	int log = log_open();

	(void)t;
	_Static_assert(sizeof(twin) == sizeof(KO_NAME), "the name of the twin has another length");
	ko_need();
	expect_result(ko_load_as(twin), -EBUSY, "load with tcp_splice_read redirected");
	expect(log_count(log, "not loaded: tcp_splice_read is redirected already"),
	       "refused without saying why");
	expect(access("/sys/module/sockmap_splicE", F_OK), "refused and yet there");
	expect_served();
	ko_unload_in_time();
	expect_result(ko_load_as(twin), 0, "load once it is free again");
	expect_served();
	expect_result(ko_load(""), -EBUSY, "load with tcp_splice_read redirected by the twin");
	expect(!syscall(__NR_delete_module, twin, O_NONBLOCK), "unload: %s", strerror(errno));
	expect_result(ko_load(""), 0, "load once it is free again");
	expect_served();
}

static void expect_mode(const char *name, mode_t want)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/module/" KO_NAME "/parameters/%s", name);
	expect(!stat(path, &st), "%s: %s", path, strerror(errno));
	expect((st.st_mode & 0777) == want, "%s has mode %o, expected %o", name,
	       st.st_mode & 0777, want);
}

static void parameters(const struct test *t)
{
	(void)t;
	ko_need();
	expect_mode("copy", 0644);
	expect_mode("kernel_consumes", 0444);
	ko_unload_in_time();
	expect_result(ko_load(""), 0, "load");
	expect_result(ko_parameter("copy"), 0, "copy");
	expect_result(ko_counter("*"), 0, "the counters after loading");
}

static void copies(const struct test *t)
{
	ko_need();
	ko_unload_in_time();
	expect_result(ko_load(""), 0, "load");
	expect_result(ko_set_parameter("copy", "1"), 0, "copy=1");
	stream(t, STREAM);
	expect_result(ko_counter("CopiedParamBytes"), STREAM, "bytes copied by parameter");
	expect_result(ko_counter("GiftedBytes"), 0, "bytes gifted");
}

/* Into a pipe of one slot: the end of the page that is copied to cuts short what is copied. */
static void copies_one_slot(const struct test *t)
{
	const size_t size = 20 * ODD_CHUNK;
	struct reader r;
	struct link l;

	ko_need();
	ko_unload_in_time();
	expect_result(ko_load("copy=1"), 0, "load with copy=1");
	link_open(&l, t);
	set_nonblock(l.rx);
	reader_open(&r, t);
	reader_set_pipe_size(&r, 4096);
	send_pattern(l.tx, 0, size, ODD_CHUNK);
	receive_all(&r, l.rx, 0, size, size);
	expect_result(ko_counter("CopiedParamBytes"), size, "bytes copied by parameter");
	expect_result(ko_set_parameter("copy", "0"), 0, "copy=0");
}

/*
 * The check at load found that the module's own accounting is the kernel's. It isn't on 5.10,
 * where recvmsg() finishes a message in another way.
 */
static void consumes_directly(const struct test *t)
{
	int log = log_open(), told;
	char found[64];

	(void)t;
	ko_need();
	ko_unload_in_time();
	expect_result(ko_load(""), 0, "load");
	told = log_count(log, "accounts spliced bytes in a way of its own");
	expect_result(ko_parameter("kernel_consumes"), told, "kernel_consumes, as the log says");
	grep_file("/proc/kallsyms", " __tcp_bpf_recvmsg\n", found, sizeof(found));
	expect_result(told, found[0] != '\0', "left to the kernel");
}

/* The way that kernels with an accounting of their own have. */
static void kernel_consumes(const struct test *t)
{
	struct socket_memory before;

	ko_need();
	ko_unload_in_time();
	expect_result(ko_load("kernel_consumes=1"), 0, "load");
	expect_result(ko_parameter("kernel_consumes"), 1, "kernel_consumes");
	before = socket_memory();
	stream(t, STREAM);
	await_sockets(&before);
}

#define KPROBE_ENABLE	TRACEFS "/events/kprobes/cases/enable"

/* Of all that stands behind the key and isn't an error. */
static long long sum_in_trace(const char *key)
{
	FILE *f = fopen(TRACE, "r");
	long long sum = 0;
	char line[512];

	expect(f, "%s: %s", TRACE, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, key);

		if (at && at[strlen(key)] != '-')
			sum += strtoll(at + strlen(key), NULL, 10);
	}
	fclose(f);
	return sum;
}

/* Bytes of a stream that the kernel moves into memory of kmalloc() before read(2) gets them. */
static long long linearized(const struct test *t)
{
	struct test by_read = *t;
	long long sum;

	by_read.use_read = true;
	if (write_file(KPROBE, O_APPEND, "p:cases __pskb_pull_tail bytes=$arg2:s32"))
		return 0;
	write_file(TRACE, O_TRUNC, "");
	expect_result(write_file(KPROBE_ENABLE, 0, "1"), 0, "kprobe on");
	stream(&by_read, STREAM);
	expect_result(write_file(KPROBE_ENABLE, 0, "0"), 0, "kprobe off");
	sum = sum_in_trace("bytes=");
	write_file(KPROBE, O_APPEND, "-:cases");
	return sum;
}

/*
 * Every byte is counted as one or the other; the pages of an sk_msg can all be shared. Those of an
 * skb can't where the kernel linearizes each skb that it queues (sk_psock_skb_ingress_enqueue()).
 */
static void zero_copy(const struct test *t)
{
	long long gifted, copied;

	ko_need();
	ko_unload_in_time();
	expect_result(ko_load(""), 0, "load");
	stream(t, STREAM);
	gifted = ko_counter("GiftedBytes");
	copied = ko_counter("Copied*");
	note("%lld bytes gifted, %lld copied", gifted, copied);
	expect_result(gifted + copied, STREAM, "bytes gifted and copied");
	if (gifted <= STREAM / 2 && linearized(t) > STREAM / 2)
		skip("nothing to share: this kernel linearizes skbs, for read(2) as well");
	expect(gifted > STREAM / 2, "only %lld of %d bytes gifted", gifted, STREAM);
	if (BIT(t->mode) & MSG_MODES)
		expect_result(copied, 0, "bytes copied from sk_msg pages");
}

/* `copy` changes while the stream goes on. */
static void copy_toggled(const struct test *t)
{
	struct sender s;
	struct reader r;
	struct link l;

	ko_need();
	link_open(&l, t);
	set_nonblock(l.rx);
	reader_open(&r, t);
	sender_start(&s, l.tx, 0, STREAM, 5000);
	for (int i = 0; i < 16; i++) {
		expect_result(ko_set_parameter("copy", i % 2 ? "1" : "0"), 0, "copy");
		receive(&r, l.rx, i * (STREAM / 16), STREAM / 16, 4000);
	}
	sender_join(&s);
	expect_result(ko_set_parameter("copy", "0"), 0, "copy");
}

struct tracing {
	const char *file, *text, *off_file, *off_text;
};

/* Served with the other user there first, with it coming later, and after it has gone. */
static void traced(const struct test *t)
{
	const struct tracing *tr = t->b->arg;

	ko_need();
	if (write_file(TRACEFS "/set_ftrace_filter", O_TRUNC, "tcp_splice_read"))
		skip("no function tracer in " TRACEFS);
	for (int first = 0; first < 2; first++) {
		if (first)
			ko_unload_in_time();
		expect_result(write_file(tr->file, 0, tr->text), 0, "%s to %s", tr->text, tr->file);
		if (first)
			expect_result(ko_load(""), 0, "load with the function traced");
		expect_served();
		ko_unload_in_time();
		expect_not_served();
		expect_result(ko_load(""), 0, "load with the function traced");
		expect_result(write_file(tr->off_file, 0, tr->off_text), 0, "tracing off");
		expect_served();
	}
	write_file(TRACEFS "/set_ftrace_filter", O_TRUNC, "");
}

static void kprobed(const struct test *t)
{
	(void)t;
	ko_need();
	if (write_file(KPROBE, O_APPEND, "p:cases tcp_splice_read"))
		skip("no kprobe events in " TRACEFS);
	expect_result(write_file(KPROBE_ENABLE, 0, "1"), 0, "kprobe on");
	expect_served();
	ko_unload_in_time();
	expect_not_served();
	expect_result(ko_load(""), 0, "load with a kprobe there");
	expect_served();
	expect_result(write_file(KPROBE_ENABLE, 0, "0"), 0, "kprobe off");
	expect_served();
	write_file(KPROBE, O_APPEND, "-:cases");
}

#define EVENTS_ENABLE	TRACEFS "/events/sockmap_splice/enable"

static bool in_trace(const char *text)
{
	FILE *f = fopen(TRACE, "r");
	bool found = false;
	char line[512];

	expect(f, "%s: %s", TRACE, strerror(errno));
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, text);
	fclose(f);
	return found;
}

static int port_of(int fd, bool of_peer)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	int err;

	if (of_peer)
		err = getpeername(fd, (struct sockaddr *)&at, &len);
	else
		err = getsockname(fd, (struct sockaddr *)&at, &len);
	expect(!err, "a socket's name: %s", strerror(errno));
	return ntohs(at.sin_port);
}

static void expect_call_in_trace(struct link *l, struct reader *r, size_t len, ssize_t want)
{
	char text[96], buf[16];

	expect_result(reader_take(r, l->rx, buf, len), want, "a splice of %zu bytes", len);
	snprintf(text, sizeof(text), "sport=%d dport=%d len=%zu ret=%zd", port_of(l->rx, false),
		 port_of(l->rx, true), len, want);
	expect(in_trace(text), "no '%s' in the trace", text);
}

/* Whatever a call gives, it is in the trace, with what it was asked for. */
static void expect_calls_in_trace(const struct test *t)
{
	struct reader r;
	struct link l;

	link_open(&l, t);
	set_nonblock(l.rx);
	reader_open(&r, t);
	expect_call_in_trace(&l, &r, 1, -EAGAIN);
	send_pattern(l.tx, 0, 10, 10);
	await_readable(l.rx);
	expect_call_in_trace(&l, &r, 7, 7);
	expect_call_in_trace(&l, &r, 16, 3);
}

/* Reads the trace as it comes: the module's unloading empties it. */
static void *read_trace(void *arg)
{
	static char text[1 << 16];
	size_t len = 0;
	ssize_t n;

	while ((n = read((intptr_t)arg, text + len, sizeof(text) - 1 - len)) > 0) {
		len += n;
		text[len] = '\0';
		if (strstr(text, "step=woken"))
			return text;
	}
	return NULL;
}

/* The steps of an unload in their order. */
static void unload_traced(const struct test *t)
{
	int fd = open(TRACEFS "/trace_pipe", O_RDONLY | O_CLOEXEC);
	pthread_t thread;
	void *text = NULL;
	struct link l;
	struct call c;

	if (fd < 0)
		skip("no trace_pipe in " TRACEFS);
	ko_need();
	write_file(TRACE, O_TRUNC, "");
	link_open(&l, t);
	call_start_asleep(&c, t, l.rx, 1);
	expect_result(write_file(EVENTS_ENABLE, 0, "1"), 0, "tracepoints on");
	thread_start(&thread, read_trace, (void *)(intptr_t)fd);
	ko_unload_in_time();
	for (int i = 0; i < PATIENCE_MS && pthread_tryjoin_np(thread, &text); i++)
		sleep_ms(1);
	expect(text, "no step=woken in the trace");
	expect(strstr(text, "step=unhooked"), "no step=unhooked in the trace");
	expect(!strstr(text, "step=left"), "left before they were woken");
}

static void tracepoints(const struct test *t)
{
	long long served, copied;

	ko_need();
	if (write_file(TRACE, O_TRUNC, ""))
		skip("no trace in " TRACEFS);
	expect_result(write_file(EVENTS_ENABLE, 0, "1"), 0, "tracepoints on");
	expect_result(ko_set_parameter("copy", "1"), 0, "copy=1");
	stream(t, STREAM);
	expect_result(ko_set_parameter("copy", "0"), 0, "copy=0");
	served = sum_in_trace("ret=");
	copied = sum_in_trace("bytes=");
	expect_calls_in_trace(t);
	expect_result(write_file(EVENTS_ENABLE, 0, "0"), 0, "tracepoints off");
	expect_result(served, STREAM, "bytes that calls returned, in the trace");
	expect_result(copied, STREAM, "bytes copied, in the trace");
	/* Nobody's trace may keep the module from going. */
	ko_unload_in_time();
}

/* What the counters count, one by one: bytes of both queues, calls, sleeps. */
static void counts(const struct test *t)
{
	const size_t plain = 1000, queued = 2000;
	long long kinds, buffers, waits;
	struct reader r;
	struct link l;
	struct call c;
	char buf[4096];

	ko_need();
	ko_unload_in_time();
	expect_result(ko_load(""), 0, "load");
	link_connect(&l, t);
	reader_open(&r, t);
	expect_result(sockmap_insert(l.map, l.rx), 0, "insert of rx");
	send_pattern(l.tx, 0, plain, plain);
	expect_result(sockmap_insert(l.map, l.tx), 0, "insert of tx");
	send_pattern(l.tx, plain, queued, queued);
	expect_result(reader_take(&r, l.rx, buf, sizeof(buf)), plain + queued, "a splice");
	kinds = ko_counter("GiftedBytes") + ko_counter("Copied*");
	expect_result(ko_counter("ReceiveQueueBytes"), plain, "bytes of sk_receive_queue");
	expect_result(kinds, queued, "bytes of ingress_msg");
	expect_result(ko_counter("Served"), 1, "calls served");
	buffers = ko_counter("PipeBuffers");
	expect(buffers >= 1 && buffers <= 3, "%lld pipe buffers", buffers);
	expect_result(ko_counter("Waits"), 0, "sleeps");
	call_start_asleep(&c, t, l.rx, sizeof(buf));
	send_pattern(l.tx, plain + queued, 10, 10);
	expect_result(call_end(&c, "bytes came"), 10, "a splice that waits");
	waits = ko_counter("Waits");
	expect(waits >= 1 && waits <= 3, "%lld sleeps", waits);
	expect_result(ko_counter("Served"), 2, "calls served");
	expect_result(ko_counter("Restarts"), 0, "calls that start again");
	expect_result(ko_counter("NoMemory"), 0, "pages wanting");
	link_finish(&l, 0);
	expect_result(reader_take(&r, l.rx, buf, sizeof(buf)), 0, "the end");
	expect_result(ko_counter("Served"), 2, "calls served, without the one that found the end");
}

/* The same of a unix socket in a map without programs, in which all is the kernel's function's. */
static void counts_unix(const struct test *t)
{
	struct reader r;
	struct call c;
	char buf[4096];
	int tx, rx;

	ko_need();
	if (!sockmap_takes_unix())
		skip("this kernel takes no unix stream sockets into a sockmap");
	ko_unload_in_time();
	expect_result(ko_load(""), 0, "load");
	rx = stream_pair(t->family, &tx);
	reader_open(&r, t);
	bare_sockmap_insert(rx);
	send_pattern(tx, 0, 1000, 1000);
	expect_result(reader_take(&r, rx, buf, sizeof(buf)), 1000, "a splice");
	expect_result(ko_counter("PassedUnix"), 1, "calls passed on");
	expect_result(ko_counter("Served"), 1, "calls served");
	set_blocking(rx, false);
	expect_result(reader_take(&r, rx, buf, sizeof(buf)), -EAGAIN, "nothing there");
	expect_result(ko_counter("PassedUnix"), 2, "calls passed on");
	expect_result(ko_counter("Waits"), 0, "sleeps");
	set_blocking(rx, true);
	call_start_asleep(&c, t, rx, sizeof(buf));
	send_pattern(tx, 1000, 10, 10);
	expect_result(call_end(&c, "bytes came"), 10, "a splice that waits");
	expect(ko_counter("Waits") >= 1, "no sleep was counted");
	close(tx);
	expect_result(reader_take(&r, rx, buf, sizeof(buf)), 0, "the end");
	expect_result(ko_counter("Served"), 2, "calls served, without the one that found the end");
}

/* Nobody's traffic but that of sockets in a sockmap goes through the module. */
static void plain_untouched(const struct test *t)
{
	long long before;

	ko_need();
	before = ko_counter("*");
	stream(t, STREAM);
	expect_result(ko_counter("*"), before, "counters");
}

#define LOADS	24

/* Objects in the slabs of TCP sockets. */
static long tcp_sockets(void)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	long objects = -1;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "TCP ", 4))
			objects = strtol(line + 4, NULL, 10);
	if (f)
		fclose(f);
	return objects;
}

/* The check at the load takes a socket and a psock, and gives them back. */
static void loads_leave_nothing(const struct test *t)
{
	long before = tcp_sockets();

	(void)t;
	if (before < 0)
		skip("no TCP in /proc/slabinfo");
	ko_need();
	for (int i = 0; i < LOADS; i++) {
		ko_unload_in_time();
		expect_result(ko_load(""), 0, "load %d", i);
	}
	expect(tcp_sockets() < before + LOADS / 2, "%ld TCP sockets, after %d loads %ld", before,
	       LOADS, tcp_sockets());
}

/* Each network namespace has counters of its own. */
static void namespaces(const struct test *t)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	long long before;

	ko_need();
	stream(t, STREAM);
	before = ko_counter("*");
	expect(before > 0, "nothing was counted");
	expect(!unshare(CLONE_NEWNET), "unshare: %s", strerror(errno));
	expect_result(ko_counter("*"), 0, "counters of a new namespace");
	lo_up();
	stream(t, STREAM);
	expect_result(ko_counter("GiftedBytes") + ko_counter("Copied*"), STREAM, "bytes there");
	expect(!setns(home, CLONE_NEWNET), "setns: %s", strerror(errno));
	expect_result(ko_counter("*"), before, "counters at home");
	/* The namespace has gone, or goes while this unloads. */
	ko_unload_in_time();
	expect_result(ko_load(""), 0, "load");
	expect_result(ko_counter("*"), 0, "counters after loading");
}

#define MODULE(fn, text, ...) { .group = "module", .name = text, .run = fn, .limit = 20, \
	__VA_ARGS__ }

static const struct behaviour behaviours[] = {
	MODULE(load_unload, "load-unload"),
	MODULE(second_load, "second-load"),
	MODULE(parameter_at_load, "parameter-at-load"),
	MODULE(parameters, "parameters"),
	MODULE(ftrace_stays_on, "ftrace-stays-on"),
	MODULE(refused, "refused"),
	MODULE(redirected, "redirected"),
	MODULE(consumes_directly, "consumes-directly"),
	MODULE(kernel_consumes, "kernel-consumes", .modes = SOCKMAP_MODES | AND_UNIX),
	MODULE(copies, "copy", .modes = SOCKMAP_MODES),
	MODULE(zero_copy, "zero-copy", .modes = SOCKMAP_MODES),
	MODULE(copies_one_slot, "copy-one-slot", .modes = SOCKMAP_MODES, .flags = V4_ONLY),
	MODULE(copy_toggled, "copy-toggled", .modes = SOCKMAP_MODES, .flags = V4_ONLY),
	MODULE(traced, "function-tracer", .arg = &(const struct tracing){
		TRACEFS "/current_tracer", "function", TRACEFS "/current_tracer", "nop" }),
	MODULE(traced, "graph-tracer", .arg = &(const struct tracing){
		TRACEFS "/current_tracer", "function_graph", TRACEFS "/current_tracer", "nop" }),
	MODULE(kprobed, "kprobe"),
	MODULE(tracepoints, "tracepoints", .modes = BIT(MODE_MSG_INGRESS) | BIT(MODE_SKB_PASS),
	       .flags = V4_ONLY),
	MODULE(unload_traced, "unload-traced", .modes = BIT(MODE_MSG_INGRESS), .flags = V4_ONLY),
	MODULE(counts, "counts", .modes = BIT(MODE_MSG_INGRESS), .flags = V4_ONLY),
	MODULE(counts_unix, "counts", .modes = BIT(MODE_SKB_PASS) | AND_UNIX, .flags = UNIX_ONLY),
	MODULE(plain_untouched, "untouched", .modes = BIT(MODE_PLAIN)),
	{ .group = "module", .name = "loads-leave-nothing", .run = loads_leave_nothing,
	  .limit = 60 },
	MODULE(namespaces, "namespaces", .modes = BIT(MODE_MSG_INGRESS), .flags = V4_ONLY),
};

const struct suite module_suite = SUITE(behaviours);
