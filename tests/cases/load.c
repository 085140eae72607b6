// SPDX-License-Identifier: GPL-2.0
/*
 * Many connections at once, for a long time: 2,000 in all modes, each spliced into a pipe of its
 * own and every byte checked. No stream may stand still, and afterwards sockets and memory have to
 * be back where they were.
 *
 * Stock kernels stall streams by themselves; those that read(2) doesn't see bytes of either are
 * counted and reported.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "memory.h"
#include "net.h"
#include "pattern.h"
#include "take.h"

#define CONNECTIONS	2000
#define READERS		4
#define MESSAGE		4001
#define IN_FLIGHT	16000
#define STALL_S		60
#define END_S		60
#define TOLERANCE_KB	16384	/* of some 400 MiB that the run takes */
#define EVENTS		64

struct stream {
	struct test t;
	struct link l;
	struct reader r;
	atomic_size_t sent, taken;
	_Atomic double last;
};

static struct load {
	struct sockmap *maps[NR_MODES];
	struct stream streams[CONNECTIONS];
	int polls[READERS];
	atomic_bool stop, stop_reading;
} load;

static void open_stream(struct stream *s, int i, bool use_read)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = s };
	int mode = i % NR_MODES;

	s->t = (struct test){ .mode = mode, .family = i / NR_MODES % 2 ? AF_INET6 : AF_INET };
	s->sent = 0;
	s->taken = 0;
	s->last = now();
	link_open_in(&s->l, &s->t, load.maps[mode]);
	set_nonblock(s->l.rx);
	reader_open(&s->r, &s->t);
	s->r.use_read = use_read;
	expect(!epoll_ctl(load.polls[i % READERS], EPOLL_CTL_ADD, s->l.rx, &event), "epoll_ctl: %s",
	       strerror(errno));
}

static void close_stream(struct stream *s)
{
	link_close(&s->l);
	reader_close(&s->r);
}

static void *run_sender(void *arg)
{
	(void)arg;
	while (!load.stop) {
		for (int i = 0; i < CONNECTIONS && !load.stop; i++) {
			struct stream *s = &load.streams[i];

			if (s->sent - s->taken > IN_FLIGHT)
				continue;
			send_pattern(s->l.tx, s->sent, MESSAGE, MESSAGE);
			s->sent += MESSAGE;
		}
		sleep_ms(1);
	}
	return NULL;
}

static void take_some(struct stream *s)
{
	char buf[16384];
	ssize_t n = reader_take(&s->r, s->l.rx, buf, sizeof(buf));

	expect(n > 0 || n == -EAGAIN, "%s: %s", sockmap_mode_name(s->t.mode), result_name(n));
	if (n < 0)
		return;
	pattern_check(buf, s->taken, n, sockmap_mode_name(s->t.mode));
	s->taken += n;
	s->last = now();
}

static void *run_reader(void *arg)
{
	int poll = *(int *)arg;
	struct epoll_event events[EVENTS];

	while (!load.stop_reading) {
		int n = epoll_wait(poll, events, EVENTS, 100);

		for (int i = 0; i < n; i++)
			take_some(events[i].data.ptr);
	}
	return NULL;
}

/* Returns how many streams stand still for read(2) as well. */
static int look_for_stalls(void)
{
	int stalled = 0;

	for (int i = 0; i < CONNECTIONS; i++) {
		struct stream *s = &load.streams[i];

		if (now() - s->last < STALL_S)
			continue;
		expect(!has_bytes(s->l.rx), "%s: no byte for %d s, %zu of %zu bytes arrived",
		       sockmap_mode_name(s->t.mode), STALL_S, (size_t)s->taken, (size_t)s->sent);
		stalled++;
	}
	return stalled;
}

static void expect_all_arrived(void)
{
	double end = now() + END_S;

	for (int i = 0; i < CONNECTIONS; i++) {
		struct stream *s = &load.streams[i];

		while (s->taken < s->sent && now() < end)
			sleep_ms(10);
		expect(s->taken == s->sent || !has_bytes(s->l.rx), "%s: %zu of %zu bytes arrived",
		       sockmap_mode_name(s->t.mode), (size_t)s->taken, (size_t)s->sent);
	}
}

static size_t bytes_taken(void)
{
	size_t sum = 0;

	for (int i = 0; i < CONNECTIONS; i++)
		sum += load.streams[i].taken;
	return sum;
}

/* All connections, in use for some seconds, and gone again. */
static void run_for(double seconds, bool use_read)
{
	pthread_t sender, readers[READERS];
	double begin = now();
	int stalled;

	load.stop = false;
	load.stop_reading = false;
	for (int i = 0; i < READERS; i++) {
		load.polls[i] = epoll_create1(EPOLL_CLOEXEC);
		expect(load.polls[i] >= 0, "epoll_create1: %s", strerror(errno));
	}
	for (int i = 0; i < CONNECTIONS; i++)
		open_stream(&load.streams[i], i, use_read);
	for (int i = 0; i < READERS; i++)
		thread_start(&readers[i], run_reader, &load.polls[i]);
	thread_start(&sender, run_sender, NULL);
	while (now() - begin < seconds) {
		sleep_ms(500);
		look_for_stalls();
	}
	stalled = look_for_stalls();
	load.stop = true;
	pthread_join(sender, NULL);
	expect_all_arrived();
	load.stop_reading = true;
	for (int i = 0; i < READERS; i++) {
		pthread_join(readers[i], NULL);
		close(load.polls[i]);
	}
	note("%d connections, %.0f s, %zu MiB; %d streams stood still for read(2) as well",
	     CONNECTIONS, now() - begin, bytes_taken() >> 20, stalled);
	for (int i = 0; i < CONNECTIONS; i++)
		close_stream(&load.streams[i]);
}

static void allow_descriptors(void)
{
	struct rlimit many = { 8 * CONNECTIONS, 8 * CONNECTIONS };

	expect(!setrlimit(RLIMIT_NOFILE, &many), "RLIMIT_NOFILE: %s", strerror(errno));
}

/* The first, short run is for what the kernel keeps once it was needed. */
static void many(const struct test *t)
{
	struct socket_memory at_start = socket_memory();
	long before, after;

	allow_descriptors();
	for (int mode = 0; mode < NR_MODES; mode++)
		load.maps[mode] = open_map(&(const struct test){ .mode = mode });
	run_for(10, t->use_read);
	if (t->use_read)
		return;
	await_sockets(&at_start);
	before = free_kb();
	run_for(*(const int *)t->b->arg, false);
	await_sockets(&at_start);
	after = free_kb();
	note("%ld KiB free before, %ld KiB after", before, after);
	expect(before - after < TOLERANCE_KB, "%ld KiB didn't come back", before - after);
}

#define LOAD(group_name, seconds, the_limit, the_flags) { .group = group_name, \
	.name = "2000-connections", .run = many, .limit = the_limit, \
	.flags = MIXES_MODES | ASK_SPLATS | (the_flags), .arg = &(const int){ seconds } }

static const struct behaviour behaviours[] = {
	LOAD("stress", 30, 600, DEBUG_ONLY),
	LOAD("soak", 600, 1500, SOAK),
};

const struct suite load_suite = SUITE(behaviours);
