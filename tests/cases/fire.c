// SPDX-License-Identifier: GPL-2.0
/*
 * Unloading under fire: the module is loaded and unloaded again and again while hundreds of
 * connections of all modes are in use.
 *
 * In each mode, and again over unix sockets, there are
 *  - streams whose reader polls: it finds nothing while the module is out;
 *  - streams whose reader blocks: without the module it may sleep beside queued bytes, so after
 *    each load all readers get a signal, which brings those who block back into the module;
 *  - streams read by a process that is killed, whatever it is doing, and followed by another one.
 *    Its pipe outlives it: what it took is there, the rest is in the socket;
 *  - idle connections with a reader asleep, some of which leave the map and return all the time.
 *
 * Over unix sockets behind a program that passes there are idle ones only: without the module
 * splice(2) takes bytes there before the program has seen them, and they come out of order.
 *
 * Each unload has to end in time, and nobody may notice: a call ends with EINTR only for a signal
 * of ours. Every byte is checked. A stream has to go on, but for one whose bytes read(2) doesn't
 * see either: stock kernels stall behind a parser, and with a full receive buffer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ko.h"
#include "net.h"
#include "pattern.h"
#include "take.h"

#define UNLOAD_LIMIT	(2.0 * slowness)	/* seconds */
#define POLLED		4	/* connections of each kind, in each mode */
#define BLOCKED		4
#define KILLED		2
#define IDLE		30
#define CHURNED		6	/* of the idle ones */
#define MESSAGE		3001
#define IN_FLIGHT	60000
#define MOVES_WITHIN	(30.0 * slowness)	/* seconds, on a slow and busy machine */
#define NUDGE_AFTER	(2.0 * slowness)
#define READ_MS		3000	/* that read(2) is watched for */
#define MAX_SIGNALS	3	/* that one reader may be sent in vain */

struct stream {
	const char *kind;
	struct test t;
	struct link l;
	struct reader r;
	pthread_t reader;
	atomic_int child;
	atomic_size_t sent, taken;
	size_t seen;	/* of what was taken, the last time that progress was asked for */
	bool stalled;
};

struct sleeper {
	struct test t;
	struct link l;
	struct reader r;
	pthread_t reader;
	atomic_int interrupted, signalled;
	int awaited;
};

static const struct lane {
	int mode, family;
	bool is_idle;
} lanes[] = {
	{ MODE_MSG_INGRESS, AF_INET, false },
	{ MODE_MSG_APPLY, AF_INET6, false },
	{ MODE_SKB_PASS, AF_INET, false },
	{ MODE_SKB_PARSER, AF_INET6, false },
	{ MODE_SKB_REDIRECT, AF_INET, false },
	{ MODE_SKB_REDIRECT, AF_UNIX, false },
	{ MODE_SKB_PASS, AF_UNIX, true },
};

#define NR_LANES ((int)(sizeof(lanes) / sizeof(lanes[0])))
#define NR_UNIX_LANES 2

static struct fire {
	int nr_lanes;
	struct sockmap *maps[NR_LANES];
	struct stream polled[NR_LANES][POLLED], blocked[NR_LANES][BLOCKED];
	struct stream killed[NR_LANES][KILLED];
	struct sleeper idle[NR_LANES][IDLE];
	pthread_t sender, churn, killer;
	atomic_bool stop, stop_killing;
	atomic_int kills, moves, interrupted, signalled;
	int stalled;
} fire;

static void each_stream(void (*visit)(struct stream *s))
{
	for (int lane = 0; lane < fire.nr_lanes; lane++) {
		if (lanes[lane].is_idle)
			continue;
		for (int i = 0; i < POLLED; i++)
			visit(&fire.polled[lane][i]);
		for (int i = 0; i < BLOCKED; i++)
			visit(&fire.blocked[lane][i]);
		for (int i = 0; i < KILLED; i++)
			visit(&fire.killed[lane][i]);
	}
}

static void stream_took(struct stream *s, const char *buf, ssize_t n)
{
	pattern_check(buf, s->taken, n, s->kind);
	s->taken += n;
}

static void send_one(struct stream *s)
{
	if (!s->kind || s->sent - s->taken > IN_FLIGHT)
		return;
	send_pattern(s->l.tx, s->sent, MESSAGE, MESSAGE);
	s->sent += MESSAGE;
}

static void *run_sender(void *arg)
{
	(void)arg;
	while (!fire.stop) {
		each_stream(send_one);
		sleep_ms(30);
	}
	return NULL;
}

static void poll_stream(struct stream *s)
{
	static char buf[16384];
	ssize_t n = reader_take(&s->r, s->l.rx, buf, sizeof(buf));

	expect(n > 0 || n == -EAGAIN, "a polling reader: %s", result_name(n));
	if (n > 0)
		stream_took(s, buf, n);
}

/* The pipe of a process that reads, or read until it was killed. */
static void poll_pipe(struct stream *s)
{
	char buf[16384];
	ssize_t n = read(s->r.pipe[0], buf, sizeof(buf));

	expect(n > 0 || errno == EAGAIN, "the pipe of a killed reader: %s",
	       n ? strerror(errno) : "end of file");
	if (n > 0)
		stream_took(s, buf, n);
}

static void *run_poller(void *arg)
{
	(void)arg;
	for (;;) {
		for (int lane = 0; lane < fire.nr_lanes; lane++)
			for (int i = 0; i < POLLED && !lanes[lane].is_idle; i++)
				poll_stream(&fire.polled[lane][i]);
		sleep_ms(1);
	}
	return NULL;
}

/* A splice that waits for bytes has the pipe locked: this may block until it is killed. */
static void *run_pipe_reader(void *arg)
{
	for (;;) {
		poll_pipe(arg);
		sleep_ms(1);
	}
	return NULL;
}

static void *run_blocked(void *arg)
{
	struct stream *s = arg;
	char buf[16384];

	for (;;) {
		ssize_t n = reader_take(&s->r, s->l.rx, buf, sizeof(buf));

		expect(n > 0 || n == -EINTR, "a blocking reader: %s", result_name(n));
		if (n > 0)
			stream_took(s, buf, n);
		else
			fire.interrupted++;
	}
	return NULL;
}

static void *run_sleeper(void *arg)
{
	struct sleeper *s = arg;
	char buf[16];

	for (;;) {
		ssize_t n = reader_take(&s->r, s->l.rx, buf, sizeof(buf));

		expect_result(n, -EINTR, "a reader of an idle connection");
		s->interrupted++;
	}
	return NULL;
}

static void start_child(struct stream *s)
{
	pid_t pid = fork();

	expect(pid >= 0, "fork: %s", strerror(errno));
	if (pid) {
		s->child = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		splice(s->l.rx, NULL, s->r.pipe[1], NULL, 5003, 0);
}

static void kill_child(struct stream *s)
{
	expect(!kill(s->child, SIGKILL), "kill: %s", strerror(errno));
	expect(waitpid(s->child, NULL, 0) == s->child, "waitpid: %s", strerror(errno));
}

static void *run_killer(void *arg)
{
	(void)arg;
	for (int i = 0; !fire.stop_killing; i++) {
		int lane = i % fire.nr_lanes;
		struct stream *s = &fire.killed[lane][i / fire.nr_lanes % KILLED];

		if (lanes[lane].is_idle)
			continue;
		kill_child(s);
		start_child(s);
		fire.kills++;
		sleep_ms(20);
	}
	return NULL;
}

static void *run_churn(void *arg)
{
	(void)arg;
	while (!fire.stop) {
		struct sleeper *s = &fire.idle[rand() % fire.nr_lanes][rand() % CHURNED];

		link_remove(&s->l);
		sleep_ms(2);
		link_insert(&s->l);
		fire.moves++;
		sleep_ms(2);
	}
	return NULL;
}

static void ignore(int sig)
{
	(void)sig;
}

static void open_link(struct link *l, struct test *t, int lane)
{
	*t = (struct test){ .mode = lanes[lane].mode, .family = lanes[lane].family };
	link_open_in(l, t, fire.maps[lane]);
}

static void open_stream(struct stream *s, const char *kind, int lane)
{
	s->kind = kind;
	open_link(&s->l, &s->t, lane);
	reader_open(&s->r, &s->t);
	set_nonblock(s->r.pipe[0]);
}

static void open_polled(int lane, bool use_read)
{
	for (int i = 0; i < POLLED; i++) {
		struct stream *s = &fire.polled[lane][i];

		open_stream(s, "polled", lane);
		s->r.use_read = use_read;
		set_nonblock(s->l.rx);
	}
}

static void open_killed(int lane)
{
	pthread_t emptying;

	for (int i = 0; i < KILLED; i++) {
		struct stream *s = &fire.killed[lane][i];

		open_stream(s, "killed", lane);
		start_child(s);
		thread_start(&emptying, run_pipe_reader, s);
	}
}

static void open_blocked(int lane)
{
	for (int i = 0; i < BLOCKED; i++) {
		struct stream *s = &fire.blocked[lane][i];

		open_stream(s, "blocked", lane);
		thread_start(&s->reader, run_blocked, s);
	}
}

static void open_sleepers(int lane)
{
	for (int i = 0; i < IDLE; i++) {
		struct sleeper *s = &fire.idle[lane][i];

		open_link(&s->l, &s->t, lane);
		reader_open(&s->r, &s->t);
		thread_start(&s->reader, run_sleeper, s);
	}
}

static void open_map_of(int lane)
{
	fire.maps[lane] = open_map(&(const struct test){ .mode = lanes[lane].mode });
}

static void open_lane(int lane)
{
	open_map_of(lane);
	if (!lanes[lane].is_idle) {
		open_polled(lane, false);
		open_killed(lane);
		open_blocked(lane);
	}
	open_sleepers(lane);
}

/* One that is being killed at the moment has another one coming. */
static void signal_blocked(struct stream *s)
{
	if (s->child)
		kill(s->child, SIGUSR1);
	if (!s->reader)
		return;
	fire.signalled++;
	pthread_kill(s->reader, SIGUSR1);
}

static void each_sleeper(void (*visit)(struct sleeper *s))
{
	for (int lane = 0; lane < fire.nr_lanes; lane++)
		for (int i = 0; i < IDLE; i++)
			visit(&fire.idle[lane][i]);
}

static void signal_sleeper(struct sleeper *s)
{
	s->awaited = s->interrupted + 1;
	s->signalled++;
	pthread_kill(s->reader, SIGUSR1);
}

/* One that was just on its way into the call doesn't notice, and needs another signal. */
static void await_sleeper(struct sleeper *s)
{
	for (int i = 0; s->interrupted < s->awaited; i++) {
		double end = now() + MOVES_WITHIN / MAX_SIGNALS;

		expect(i < MAX_SIGNALS, "a signal doesn't wake a sleeper");
		while (s->interrupted < s->awaited && now() < end)
			sleep_ms(1);
		if (s->interrupted < s->awaited)
			signal_sleeper(s);
	}
}

static int sleepers_interrupted(void)
{
	int sum = 0;

	for (int lane = 0; lane < fire.nr_lanes; lane++)
		for (int i = 0; i < IDLE; i++)
			sum += fire.idle[lane][i].interrupted;
	return sum;
}

static void note_progress(struct stream *s)
{
	s->seen = s->taken;
}

/* For one that doesn't go on: what read(2) doesn't see either, the kernel hasn't delivered. */
static void blame_kernel(struct stream *s)
{
	expect(!has_bytes(s->l.rx), "%s, %s%s: a stream stands still, %zu of %zu bytes", s->kind,
	       sockmap_mode_name(s->t.mode), s->t.family == AF_UNIX ? " (unix)" : "",
	       (size_t)s->taken, (size_t)s->sent);
	s->stalled = true;
}

static void await_progress(struct stream *s)
{
	double end = now() + MOVES_WITHIN;

	while (s->taken == s->seen && !s->stalled) {
		if (now() > end)
			blame_kernel(s);
		sleep_ms(1);
	}
	if (s->taken != s->seen)
		s->stalled = false;
}

/* Returns how long the unload took. */
static double one_cycle(void)
{
	double begin, took;
	int interrupted;

	expect_result(ko_load(""), 0, "load");
	each_stream(signal_blocked);
	each_sleeper(signal_sleeper);
	each_sleeper(await_sleeper);
	each_stream(note_progress);
	each_stream(await_progress);
	interrupted = sleepers_interrupted();
	sleep_ms(rand() % 40);

	begin = now();
	expect_result(ko_unload(), 0, "unload");
	took = now() - begin;
	expect(took < UNLOAD_LIMIT, "the unload took %.2f s", took);
	expect_result(sleepers_interrupted(), interrupted, "sleepers that noticed the unload");
	return took;
}

/* Another message may bring what stands still, or show that bytes before it are lost. */
static void expect_all_arrived(struct stream *s)
{
	double end = now() + MOVES_WITHIN, nudge = now() + NUDGE_AFTER;

	while (s->taken < s->sent && !s->stalled) {
		if (now() > nudge) {
			send_one(s);
			nudge = now() + NUDGE_AFTER;
		}
		if (now() > end)
			blame_kernel(s);
		sleep_ms(1);
	}
	fire.stalled += s->stalled;
}

static void no_more_signals_than_sent(struct sleeper *s)
{
	expect(s->interrupted <= s->signalled, "a sleeper was interrupted %d times, by %d signals",
	       s->interrupted, s->signalled);
}

static void cease(void)
{
	fire.stop = true;
	pthread_join(fire.sender, NULL);
	pthread_join(fire.churn, NULL);
	each_sleeper(no_more_signals_than_sent);
	expect(fire.interrupted <= fire.signalled, "%d readers were interrupted by %d signals",
	       fire.interrupted, fire.signalled);
	expect_result(ko_load(""), 0, "load");
	each_stream(signal_blocked);
	each_stream(expect_all_arrived);
	fire.stop_killing = true;
	pthread_join(fire.killer, NULL);
}

static void allow_descriptors(void)
{
	struct rlimit many = { 8192, 8192 };

	expect(!setrlimit(RLIMIT_NOFILE, &many), "RLIMIT_NOFILE: %s", strerror(errno));
}

/* What the kernel says of such traffic and of such moves with nobody splicing. */
static void by_read(void)
{
	pthread_t polling;

	for (int lane = 0; lane < fire.nr_lanes; lane++) {
		open_map_of(lane);
		if (!lanes[lane].is_idle)
			open_polled(lane, true);
		for (int i = 0; i < CHURNED; i++)
			open_link(&fire.idle[lane][i].l, &fire.idle[lane][i].t, lane);
	}
	thread_start(&polling, run_poller, NULL);
	thread_start(&fire.sender, run_sender, NULL);
	thread_start(&fire.churn, run_churn, NULL);
	sleep_ms(READ_MS);
}

static void under_fire(const struct test *t)
{
	struct sigaction no_restart = { .sa_handler = ignore };
	pthread_t polling;
	double longest = 0, sum = 0;
	int cycles = *(const int *)t->b->arg;

	allow_descriptors();
	fire.nr_lanes = sockmap_takes_unix() ? NR_LANES : NR_LANES - NR_UNIX_LANES;
	if (t->use_read) {
		by_read();
		return;
	}
	ko_need();
	expect_result(ko_unload(), 0, "unload");
	sigaction(SIGUSR1, &no_restart, NULL);
	for (int lane = 0; lane < fire.nr_lanes; lane++)
		open_lane(lane);
	thread_start(&polling, run_poller, NULL);
	thread_start(&fire.sender, run_sender, NULL);
	thread_start(&fire.churn, run_churn, NULL);
	thread_start(&fire.killer, run_killer, NULL);
	for (int i = 0; i < cycles; i++) {
		double took = one_cycle();

		longest = took > longest ? took : longest;
		sum += took;
	}
	cease();
	note("%d unloads, %.2f s each, %.2f s the longest; %d readers killed, "
	     "%d moves out of the map and back; %d streams stood still for read(2) as well",
	     cycles, sum / cycles, longest, (int)fire.kills, (int)fire.moves, fire.stalled);
}

#define FIRE(group_name, count, the_limit, ...) { .group = group_name, \
	.name = "unload-under-fire", .run = under_fire, .limit = the_limit, \
	.arg = &(const int){ count }, \
	.flags = MIXES_MODES | ASK_SPLATS __VA_ARGS__ }

static const struct behaviour behaviours[] = {
	FIRE("module", 3, 120),
	FIRE("stress", 30, 600, | DEBUG_ONLY),
	FIRE("soak", 1000, 10000, | SOAK),
};

const struct suite fire_suite = SUITE(behaviours);
