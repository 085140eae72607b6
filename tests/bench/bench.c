// SPDX-License-Identifier: GPL-2.0
/*
 * The benchmark: what it costs to take a stream out of a sockmap socket, by read(2) and by
 * splice(2), side by side in one guest.
 *
 * A sample is one connection of a path, read by one arm in calls of one size. Three stretches of
 * the stream go through it: one that is checked byte for byte, the one that is timed, and a last
 * one that is checked again. Each byte says where it belongs, so a stretch that lost or repeated
 * any shows in the next; a wrong or short stream ends the run. Samples are taken in turns, all of
 * them once and then all of them again, so that what drifts spoils none more than another.
 *
 * Each sample is a line of JSON with two quantities: the time from the first send to the last byte
 * received, and the CPU time of the thread that reads. Which clock that is (seconds, or executed
 * instructions) is the guest's affair.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "../cases/ko.h"
#include "../cases/net.h"
#include "../cases/pattern.h"
#include "arm.h"

#define SEND_SIZE	(128 << 10)	/* as the kernel's bench_sockmap sends */
#define MIB		(1 << 20)

/*
 * The names are bench_sockmap's. A map is for all samples: the kernel takes down one that is gone
 * when it comes to that, in the time of another sample.
 */
static struct {
	const char *name;
	int mode;
	struct sockmap *map;
} paths[] = {
	{ "plain", MODE_PLAIN, NULL },
	{ "tx-msg-ingress", MODE_MSG_INGRESS, NULL },
	{ "rx-verdict-ingress", MODE_SKB_REDIRECT, NULL },
	{ "rx-verdict-pass", MODE_SKB_PASS, NULL },
};

static const size_t blocks[] = { 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20 };

/* What the module does meanwhile. */
enum { NOT_LOADED, GIFTS, COPIES };

static const char *const module_names[] = { "none", "gift", "copy" };

static struct {
	int reps;
	size_t checked, timed;
	const char *path, *arm, *module;
	size_t block;
} options = { .reps = 7, .checked = 4 * MIB, .timed = 16 * MIB };

/* One connection, the thread that sends and, behind a proxy, the one that the bytes end at. */
struct stream {
	struct link l;
	struct arm_state arm;
	int sink;
	size_t offset, size;
	bool checked;
	pthread_barrier_t start;
	double began, ended;
};

static void run_on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % get_nprocs(), &set);
	expect(!sched_setaffinity(0, sizeof(set), &set), "affinity: %s", strerror(errno));
}

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void *run_sender(void *arg)
{
	struct stream *s = arg;
	size_t sent = 0;

	run_on_cpu(0);
	pthread_barrier_wait(&s->start);
	s->began = now();
	while (sent < s->size) {
		size_t want = s->size - sent < SEND_SIZE ? s->size - sent : SEND_SIZE;
		ssize_t n = send(s->l.tx, stream_bytes(s->offset + sent), want, MSG_NOSIGNAL);

		expect(n > 0, "send: %s", strerror(errno));
		sent += n;
	}
	return NULL;
}

/* What is behind a proxy. It looks at the bytes only where they are checked. */
static void *run_sink(void *arg)
{
	struct stream *s = arg;
	char *buf = malloc(MIB);
	size_t got = 0;

	run_on_cpu(0);
	pthread_barrier_wait(&s->start);
	while (got < s->size) {
		ssize_t n = recv(s->sink, buf, MIB, s->checked ? 0 : MSG_TRUNC);

		expect(n > 0, "sink: %s", n ? strerror(errno) : "end of file");
		if (s->checked)
			stream_check(buf, s->offset + got, n, "behind the proxy");
		got += n;
	}
	s->ended = now();
	free(buf);
	return NULL;
}

/* Returns the reading thread's CPU time. */
static double stretch(struct stream *s, const struct arm *arm, size_t size, bool checked)
{
	pthread_t sender, sink;
	double cpu;

	s->size = size;
	s->checked = checked;
	s->arm.calls = 0;
	pthread_barrier_init(&s->start, NULL, arm->is_proxy ? 3 : 2);
	thread_start(&sender, run_sender, s);
	if (arm->is_proxy)
		thread_start(&sink, run_sink, s);

	pthread_barrier_wait(&s->start);
	cpu = cpu_seconds();
	for (size_t taken = 0; taken < size;)
		taken += arm->take(&s->arm, s->offset + taken, checked);
	cpu = cpu_seconds() - cpu;
	if (arm->is_proxy)
		pthread_join(sink, NULL);
	else
		s->ended = now();
	pthread_join(sender, NULL);
	pthread_barrier_destroy(&s->start);
	s->offset += size;
	return cpu;
}

struct counters {
	long long gifted, copied, buffers;
};

static struct counters read_counters(void)
{
	if (!ko_loaded())
		return (struct counters){ 0 };
	return (struct counters){ ko_counter("GiftedBytes"), ko_counter("Copied*"),
				  ko_counter("PipeBuffers") };
}

static void sample(int path, const struct arm *arm, int module, size_t block, int rep)
{
	struct test t = { .mode = paths[path].mode, .family = AF_INET };
	struct counters before, after;
	struct stream s = {};
	double cpu;

	if (t.mode != MODE_PLAIN && !paths[path].map)
		paths[path].map = open_map(&t);
	link_open_in(&s.l, &t, paths[path].map);
	if (arm->is_proxy)
		s.sink = stream_pair(AF_INET, &s.arm.out);
	arm_open(&s.arm, s.l.rx, block);
	stretch(&s, arm, options.checked, true);
	before = read_counters();
	profile_begin();
	cpu = stretch(&s, arm, options.timed, false);
	profile_end();
	after = read_counters();
	printf("{\"path\":\"%s\",\"arm\":\"%s\",\"pages\":\"%s\",\"block\":%zu,\"rep\":%d,"
	       "\"bytes\":%zu,\"ns\":%.0f,\"cpu_ns\":%.0f,\"syscalls\":%zu,"
	       "\"gifted\":%lld,\"copied\":%lld,\"buffers\":%lld}\n",
	       paths[path].name, arm->name, module_names[module], block, rep, options.timed,
	       (s.ended - s.began) * 1e9, cpu * 1e9, s.arm.calls, after.gifted - before.gifted,
	       after.copied - before.copied, after.buffers - before.buffers);
	fflush(stdout);
	stretch(&s, arm, MIB, true);
	arm_close(&s.arm);
	if (arm->is_proxy) {
		close(s.arm.out);
		close(s.sink);
	}
	link_close(&s.l);
}

/* Without the module sockmap sockets can't be spliced; copying is a matter of splice alone. */
static bool makes_sense(int path, const struct arm *arm, int module)
{
	bool in_sockmap = paths[path].mode != MODE_PLAIN;

	if (module == NOT_LOADED)
		return !in_sockmap;
	return module == GIFTS || (in_sockmap && arm->splices);
}

static bool wanted(int path, const struct arm *arm, size_t block)
{
	return (!options.path || !strcmp(options.path, paths[path].name)) &&
	       (!options.arm || !strcmp(options.arm, arm->name)) &&
	       (!options.block || options.block == block);
}

static void set_module(int module)
{
	bool load = module != NOT_LOADED;

	if (load != ko_loaded())
		expect_result(load ? ko_load("") : ko_unload(), 0, "load or unload of the module");
	if (load)
		expect_result(ko_set_parameter("copy", module == COPIES ? "1" : "0"), 0, "copy");
}

static void one_turn(int module, int rep)
{
	if (options.module && strcmp(options.module, module_names[module]))
		return;
	set_module(module);
	for (size_t path = 0; path < sizeof(paths) / sizeof(paths[0]); path++)
		for (size_t b = 0; b < sizeof(blocks) / sizeof(blocks[0]); b++)
			for (const struct arm *arm = arms; arm->name; arm++)
				if (wanted(path, arm, blocks[b]) && makes_sense(path, arm, module))
					sample(path, arm, module, blocks[b], rep);
}

static void usage(void)
{
	fputs("usage: bench [--reps=N] [--timed=MIB] [--path=NAME] [--arm=NAME] "
	      "[--module=NAME] [--block=BYTES]\n",
	      stderr);
	exit(2);
}

static void parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "reps", required_argument, NULL, 'r' },
		{ "timed", required_argument, NULL, 't' },
		{ "path", required_argument, NULL, 'p' },
		{ "arm", required_argument, NULL, 'a' },
		{ "module", required_argument, NULL, 'm' },
		{ "block", required_argument, NULL, 'b' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'r':
			options.reps = atoi(optarg);
			break;
		case 't':
			options.timed = strtoul(optarg, NULL, 0) * MIB;
			break;
		case 'p':
			options.path = optarg;
			break;
		case 'a':
			options.arm = optarg;
			break;
		case 'm':
			options.module = optarg;
			break;
		case 'b':
			options.block = strtoul(optarg, NULL, 0);
			break;
		default:
			usage();
		}
	}
	if (optind < argc || options.reps < 1 || !options.timed)
		usage();
}

int main(int argc, char **argv)
{
	int found = ko_loaded() ? GIFTS : NOT_LOADED;

	parse_options(argc, argv);
	stream_init();
	run_on_cpu(1);
	for (int rep = 0; rep < options.reps; rep++)
		for (int module = NOT_LOADED; module <= COPIES; module++)
			one_turn(module, rep);
	set_module(found);
	return 0;
}
