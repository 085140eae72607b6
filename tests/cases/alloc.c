// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that isn't there, at every place where the module or what it calls asks for some.
 *
 * The kernel fails the nth allocation that a thread makes (/proc/PID/fail-nth), and says whether it
 * came to it. So each operation is done with n = 1, 2, 3 ... until it has no more allocations to
 * fail: each of them fails once, whatever there is in a kernel. A failure may cost a call its
 * result, but no byte of the stream, and no load its clean end.
 *
 * Each attempt is made by a thread of its own: what a thread keeps between two calls, its page
 * fragment above all, has to be allocated again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ko.h"
#include "net.h"
#include "pipe_io.h"
#include "served.h"
#include "take.h"

#define DEBUGFS		"/sys/kernel/debug/"
#define HIGH_ORDER_OFF	"/proc/sys/net/core/high_order_alloc_disable"
#define PAGE		4096
#define SETTLE_MS	10	/* until all that was sent is queued */
#define LOAD_PARTS	12
#define NOT_REACHED	(1 << 20)	/* more allocations than any operation makes */

/* An operation of which the nth allocation shall fail. */
struct attempt {
	long (*act)(void *arg);
	void *arg;
	unsigned int nth;
	long result;
	unsigned int made;	/* allocations, without the one that failed */
	bool failed_one;	/* there was an nth */
};

static void *run_attempt(void *arg)
{
	struct attempt *a = arg;
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	char text[16] = "";
	unsigned int left;

	expect(fd >= 0, "fail-nth: %s", strerror(errno));
	snprintf(text, sizeof(text), "%u", a->nth);
	expect(pwrite(fd, text, strlen(text), 0) > 0, "fail-nth: %s", strerror(errno));
	a->result = a->act(a->arg);
	expect(pread(fd, text, sizeof(text) - 1, 0) > 0, "fail-nth: %s", strerror(errno));
	expect(pwrite(fd, "0", 1, 0) == 1, "fail-nth: %s", strerror(errno));
	left = strtoul(text, NULL, 10);
	a->failed_one = !left;
	a->made = a->nth - (left ?: 1);
	close(fd);
	return NULL;
}

static void attempt(struct attempt *a)
{
	pthread_t thread;

	thread_start(&thread, run_attempt, a);
	pthread_join(thread, NULL);
}

/*
 * By default nothing that may sleep is failed. Our own pages are locked so that no page fault of
 * this program's takes the place of an allocation that is meant.
 */
static void open_up(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/cache-filter", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		char path[128];

		snprintf(path, sizeof(path), DEBUGFS "%s", settings[i][0]);
		expect_result(write_file(path, 0, settings[i][1]), 0, "%s", path);
	}
	expect(!mlockall(MCL_CURRENT | MCL_FUTURE), "mlockall: %s", strerror(errno));
}

struct scene {
	struct link l;
	struct reader r;
	struct pipe p;
	uint64_t sent;
	size_t want, before;	/* bytes to splice, and those in the pipe already */
	unsigned int failed, shorter, refused;	/* allocations; calls that took less, or nothing */
};

static void open_scene(struct scene *s, const struct test *t)
{
	memset(s, 0, sizeof(*s));
	open_up();
	link_open(&s->l, t);
	set_nonblock(s->l.rx);
	reader_open(&s->r, t);
	pipe_open(&s->p, 0);
}

static void note_scene(const struct scene *s)
{
	note("%u allocations failed: %u calls took not all that was queued, %u took nothing",
	     s->failed, s->shorter, s->refused);
}

static long splice_wanted(void *arg)
{
	struct scene *s = arg;

	return splice_to(s->l.rx, s->p.wr, s->want, SPLICE_F_NONBLOCK);
}

/* Does it, with what is queued as the stream's bytes at s->sent; returns whether one failed. */
static bool try_it(struct scene *s, long (*act)(void *), size_t size, unsigned int nth)
{
	struct attempt a = { .act = act, .arg = s, .nth = nth };
	size_t taken = s->before;

	s->want = size - s->before;
	attempt(&a);
	expect(a.result > 0 || a.result == -EAGAIN || a.result == -ENOMEM,
	       "allocation %u failed, and splice gave %s", nth, result_name(a.result));
	if (a.result > 0)
		taken += a.result;
	if (a.failed_one) {
		s->failed++;
		s->refused += a.result < 0;
		s->shorter += a.result > 0 && taken < size;
	}
	pipe_expect(&s->p, s->sent, taken, PAGE);
	pipe_expect_empty(&s->p);
	receive(&s->r, s->l.rx, s->sent + taken, size - taken, 65536);
	s->sent += size;
	return a.failed_one;
}

struct shape {
	size_t size, chunk;
};

static void queue(struct scene *s, const struct shape *shape)
{
	send_pattern(s->l.tx, s->sent, shape->size, shape->chunk);
	await_readable(s->l.rx);
	sleep_ms(SETTLE_MS);
}

static const struct shape shapes[] = { { 100, 100 }, { 5000, 5000 }, { 40000, 1000 },
				       { 60000, 60000 } };

static void splice_shapes(struct scene *s)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		unsigned int nth = 1;

		do
			queue(s, &shapes[i]);
		while (try_it(s, splice_wanted, shapes[i].size, nth++));
	}
}

/* A reference takes no memory; but a reader that makes room in the window sends that it did. */
static void shared(const struct test *t)
{
	struct scene s;

	open_scene(&s, t);
	splice_shapes(&s);
	note_scene(&s);
	expect(s.failed || t->mode != MODE_SKB_PASS, "no allocation failed");
	expect(!s.refused, "a call that needs no memory took nothing for want of it");
}

/*
 * Without large pages each page of copies is an allocation, and nothing steps in for it. When a
 * later page fails, the call ends short or the reader tries again.
 */
static void copied(const struct test *t)
{
	long long no_memory;
	struct scene s;

	ko_need();
	open_scene(&s, t);
	no_memory = ko_counter("NoMemory");
	expect_result(ko_set_parameter("copy", "1"), 0, "copy=1");
	splice_shapes(&s);
	expect(s.failed, "no allocation failed");
	expect_result(write_file(HIGH_ORDER_OFF, 0, "1"), 0, "%s", HIGH_ORDER_OFF);
	splice_shapes(&s);
	expect_result(write_file(HIGH_ORDER_OFF, 0, "0"), 0, "%s", HIGH_ORDER_OFF);
	expect_result(ko_set_parameter("copy", "0"), 0, "copy=0");
	note_scene(&s);
	expect(s.refused, "no first page of copies failed");
	expect(ko_counter("NoMemory") - no_memory > s.refused, "no later page of copies failed");
}

static long grow_and_splice(void *arg)
{
	struct scene *s = arg;
	int size = fcntl(s->p.wr, F_SETPIPE_SZ, 1 << 20);

	expect(size == 1 << 20 || errno == ENOMEM, "F_SETPIPE_SZ: %s", strerror(errno));
	return splice_wanted(s);
}

#define GROWN_BYTES	30000
#define GROWN_CHUNK	1000	/* more of them than a pipe has slots, by default */

/* The pipe grows, or doesn't, with spliced bytes in it, and there is more than it has slots for. */
static void grown(const struct test *t)
{
	unsigned int nth = 1;
	struct scene s;

	open_scene(&s, t);
	s.before = GROWN_CHUNK;
	do {
		pipe_resize(&s.p, 16 * PAGE);
		send_apart(s.l.tx, s.sent, GROWN_BYTES, GROWN_CHUNK);
		gather(s.l.rx, &s.p, s.before);
		sleep_ms(SETTLE_MS);
	} while (try_it(&s, grow_and_splice, GROWN_BYTES, nth++));
	note_scene(&s);
	expect(s.failed, "no allocation failed");
	expect(s.shorter, "a pipe that could not grow took everything");
}

#define QUEUED		2000
#define CRUMB		10
#define SMALL_RCVBUF	4096

/*
 * Bytes from before the insert are in sk_receive_queue, which is the reader's where no verdict
 * program is. In a small buffer there, pieces that have more overhead than bytes are collapsed into
 * memory of kmalloc(), which has to be copied. (Plain TCP takes a copy that it has no memory for
 * for the end of the stream, once the FIN is there.)
 */
static void open_queued(struct scene *s, const struct test *t)
{
	link_connect(&s->l, t);
	set_nonblock(s->l.rx);
	set_buffer(s->l.rx, SO_RCVBUF, SMALL_RCVBUF);
	send_apart(s->l.tx, 0, QUEUED, CRUMB);
	sleep_ms(SETTLE_MS);
	link_insert(&s->l);
	s->sent = 0;
}

static void receive_queue(const struct test *t)
{
	const bool *finished = t->b->arg;
	struct scene s = {};
	unsigned int nth = 1;
	bool failed_one;

	open_up();
	reader_open(&s.r, t);
	pipe_open(&s.p, 0);
	expect_result(write_file(HIGH_ORDER_OFF, 0, "1"), 0, "%s", HIGH_ORDER_OFF);
	do {
		open_queued(&s, t);
		if (*finished)
			link_finish(&s.l, QUEUED);
		failed_one = try_it(&s, splice_wanted, QUEUED, nth++);
		link_close(&s.l);
	} while (failed_one);
	expect_result(write_file(HIGH_ORDER_OFF, 0, "0"), 0, "%s", HIGH_ORDER_OFF);
	note_scene(&s);
	expect(s.failed, "no allocation failed");
}

static long load(void *arg)
{
	return ko_load(arg);
}

/* A load with a bad parameter comes as far as that: what it allocates is the loader's business. */
static unsigned int made_by_loader(void)
{
	struct attempt a = { .act = load, .arg = "copy=rubbish", .nth = NOT_REACHED };

	attempt(&a);
	expect_result(a.result, -EINVAL, "load with a bad parameter");
	return a.made;
}

static void expect_all_served(void)
{
	expect_served();
	stream(&(const struct test){ .mode = MODE_SKB_PASS, .family = AF_INET }, 20000);
}

/* In LOAD_PARTS cases: the loader gets over many of its failures, and each unload takes a while. */
static void loaded(const struct test *t)
{
	const unsigned int *part = t->b->arg;
	struct attempt a = { .act = load, .arg = "" };
	unsigned int first, failed = 0, refused = 0;

	ko_need();
	ko_unload();
	open_up();
	first = made_by_loader();
	for (a.nth = first + *part; ; a.nth += LOAD_PARTS) {
		if (ko_loaded())
			expect_result(ko_unload(), 0, "unload");
		attempt(&a);
		if (!a.failed_one)
			break;
		failed++;
		if (a.result) {
			expect(!ko_loaded(), "refused (%s) and yet there", result_name(a.result));
			expect_not_served();
			refused++;
		} else {
			expect_all_served();
		}
	}
	note("%u allocations failed, behind %u of the loader's: %u loads refused", failed, first,
	     refused);
	expect(refused, "no load was refused");
	expect_result(a.result, 0, "load, with nothing failed");
	expect_all_served();
}

static long unload(void *arg)
{
	(void)arg;
	return ko_unload();
}

static void unloaded(const struct test *t)
{
	struct attempt a = { .act = unload };

	(void)t;
	ko_need();
	open_up();
	do {
		a.nth++;
		attempt(&a);
		expect_result(a.result, 0, "unload, with allocation %u failed", a.nth);
		expect(!ko_loaded(), "still there after the unload");
		expect_not_served();
		expect_result(ko_load(""), 0, "load");
		expect_served();
	} while (a.failed_one);
	note("%u allocations failed", a.nth - 1);
	expect(a.nth > 1, "no allocation failed");
}

#define ALLOC(fn, text, ...) { .group = "alloc", .name = text, .run = fn, .limit = 200, \
	__VA_ARGS__ }

#define LOAD_PART(n) \
	ALLOC(loaded, "load-" #n, .flags = DEBUG_ONLY, .arg = &(const unsigned int){ n })

static const struct behaviour behaviours[] = {
	ALLOC(shared, "shared", .modes = ALL_MODES, .flags = DEBUG_ONLY | V4_ONLY),
	ALLOC(copied, "copied", .modes = SOCKMAP_MODES, .flags = DEBUG_ONLY | V4_ONLY),
	ALLOC(grown, "pipe-growth", .modes = ALL_MODES, .flags = DEBUG_ONLY | V4_ONLY),
	ALLOC(receive_queue, "receive-queue", .modes = MSG_MODES | BIT(MODE_PLAIN),
	      .flags = DEBUG_ONLY | V4_ONLY, .arg = &(const bool){ false }),
	ALLOC(receive_queue, "receive-queue-fin", .modes = MSG_MODES,
	      .flags = DEBUG_ONLY | V4_ONLY, .arg = &(const bool){ true }),
	LOAD_PART(1), LOAD_PART(2), LOAD_PART(3), LOAD_PART(4), LOAD_PART(5), LOAD_PART(6),
	LOAD_PART(7), LOAD_PART(8), LOAD_PART(9), LOAD_PART(10), LOAD_PART(11), LOAD_PART(12),
	ALLOC(unloaded, "unload", .flags = DEBUG_ONLY),
};

const struct suite alloc_suite = SUITE(behaviours);
