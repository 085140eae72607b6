// SPDX-License-Identifier: GPL-2.0
/*
 * One socket, several readers: threads at the same time, read(2) and splice(2) in turns,
 * MSG_PEEK.
 *
 * Every byte has to come out exactly once. With readers side by side there is no order to check,
 * but what a call returns are pieces of the stream, which say themselves where they belong; what
 * is left is to see that the pieces cover the stream without overlapping.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "pattern.h"
#include "pipe_io.h"
#include "take.h"

#define NR_READERS	4
#define STREAM		300000
#define CHUNK		5003
#define MAX_SHORT	256
#define STALL_MS	(2000 * slowness)

/* A run too short to say where it belongs. */
struct short_run {
	size_t len;
	char bytes[PATTERN_LOCATABLE];
};

struct crowd {
	int fd;
	pthread_mutex_t lock;
	size_t taken;
	double last_progress;
	char seen[STREAM];
	struct short_run shorts[MAX_SHORT];
	int nr_shorts;
};

static struct crowd crowd = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void mark_seen(size_t offset, size_t len)
{
	expect(offset + len <= STREAM, "a run ends at byte %zu of %d", offset + len, STREAM);
	for (size_t i = offset; i < offset + len; i++) {
		expect(!crowd.seen[i], "byte %zu was delivered twice", i);
		crowd.seen[i] = 1;
	}
}

static void note_short_run(const char *buf, size_t len)
{
	expect(crowd.nr_shorts < MAX_SHORT, "more than %d short runs", MAX_SHORT);
	crowd.shorts[crowd.nr_shorts].len = len;
	memcpy(crowd.shorts[crowd.nr_shorts++].bytes, buf, len);
}

/* The length of the longest piece that begins at `buf`, and where it belongs. */
static size_t first_piece(const char *buf, size_t len, int64_t *offset)
{
	size_t piece = PATTERN_LOCATABLE, more = len;

	*offset = pattern_find(buf, piece);
	expect(*offset >= 0, "bytes that are no piece of the stream");
	while (more > piece) {
		size_t half = piece + (more - piece + 1) / 2;

		if (pattern_find(buf, half) == *offset)
			piece = half;
		else
			more = half - 1;
	}
	return piece;
}

/*
 * A splice lets go of the socket's lock when it has taken what is there, and looks once more:
 * another reader may have come first. So the bytes of one call may be several pieces.
 */
static void note_run(const char *buf, size_t len)
{
	crowd.taken += len;
	crowd.last_progress = now();
	while (len >= PATTERN_LOCATABLE) {
		int64_t offset;
		size_t piece = first_piece(buf, len, &offset);

		mark_seen(offset, piece);
		buf += piece;
		len -= piece;
	}
	if (len)
		note_short_run(buf, len);
}

static bool fits_at(const struct short_run *run, size_t offset)
{
	char want[PATTERN_LOCATABLE];

	if (offset + run->len > STREAM || memchr(crowd.seen + offset, 1, run->len))
		return false;
	pattern_fill(want, offset, run->len);
	return !memcmp(run->bytes, want, run->len);
}

static void place_short_runs(void)
{
	for (int i = 0; i < crowd.nr_shorts; i++) {
		size_t offset = 0;

		while (offset < STREAM && !fits_at(&crowd.shorts[i], offset))
			offset++;
		expect(offset < STREAM, "%zu bytes that are missing nowhere", crowd.shorts[i].len);
		mark_seen(offset, crowd.shorts[i].len);
	}
}

static bool all_taken(void)
{
	bool all;

	pthread_mutex_lock(&crowd.lock);
	expect(now() - crowd.last_progress < STALL_MS / 1000.0,
	       "%zu of %d bytes, no more for %d ms", crowd.taken, STREAM, STALL_MS);
	all = crowd.taken == STREAM;
	pthread_mutex_unlock(&crowd.lock);
	return all;
}

static void *run_reader(void *arg)
{
	struct reader *r = arg;
	char buf[CHUNK];

	while (!all_taken()) {
		ssize_t n = reader_take(r, crowd.fd, buf, sizeof(buf));

		if (n == -EAGAIN) {
			readable_within(crowd.fd, 10);
			continue;
		}
		expect(n > 0, "one of several readers: %s", result_name(n));
		pthread_mutex_lock(&crowd.lock);
		note_run(buf, n);
		pthread_mutex_unlock(&crowd.lock);
	}
	return NULL;
}

/* All by the run's method, or (mixed) every other one by read(2). */
static void several(const struct test *t, bool mixed)
{
	struct reader readers[NR_READERS];
	pthread_t threads[NR_READERS];
	struct sender tx;
	struct link l;

	link_open(&l, t);
	set_nonblock(l.rx);
	crowd.fd = l.rx;
	crowd.last_progress = now();
	sender_start(&tx, l.tx, 0, STREAM, 2999);
	for (int i = 0; i < NR_READERS; i++) {
		reader_open(&readers[i], t);
		readers[i].use_read |= mixed && i % 2;
		thread_start(&threads[i], run_reader, &readers[i]);
	}
	for (int i = 0; i < NR_READERS; i++)
		pthread_join(threads[i], NULL);
	sender_join(&tx);
	place_short_runs();
	expect(!memchr(crowd.seen, 0, STREAM), "a byte was not delivered");
}

static void several_alike(const struct test *t)
{
	several(t, false);
}

static void several_mixed(const struct test *t)
{
	several(t, true);
}

static void *run_into_pipe(void *arg)
{
	struct pipe *p = arg;

	while (!all_taken()) {
		ssize_t n = splice_to(crowd.fd, p->wr, CHUNK, SPLICE_F_NONBLOCK);

		pthread_mutex_lock(&crowd.lock);
		if (n > 0) {
			crowd.taken += n;
			crowd.last_progress = now();
		}
		pthread_mutex_unlock(&crowd.lock);
		expect(n > 0 || n == -EAGAIN, "one of several splices: %s", result_name(n));
		if (n < 0)
			sleep_ms(1);
	}
	return NULL;
}

/* Into one pipe: its lock is held over each splice, so even the order has to be right. */
static void one_pipe(const struct test *t)
{
	pthread_t threads[NR_READERS];
	struct sender tx;
	struct pipe p;
	struct link l;
	size_t got = 0;
	char buf[CHUNK];

	link_open(&l, t);
	set_nonblock(l.rx);
	pipe_open(&p, 0);
	crowd.fd = l.rx;
	crowd.last_progress = now();
	sender_start(&tx, l.tx, 0, STREAM, 2999);
	for (int i = 0; i < NR_READERS; i++)
		thread_start(&threads[i], run_into_pipe, &p);
	while (got < STREAM) {
		ssize_t n = read(p.rd, buf, sizeof(buf));

		expect(n > 0, "pipe: %s", n ? strerror(errno) : "end of file");
		pattern_check(buf, got, n, "several splices into one pipe");
		got += n;
	}
	sender_join(&tx);
}

/* One thread, read and splice in turns. */
static void in_turns(const struct test *t)
{
	const size_t size = 60000;
	struct reader splicing, reading;
	struct sender tx;
	struct link l;
	size_t got = 0;

	link_open(&l, t);
	set_nonblock(l.rx);
	reader_open(&splicing, t);
	reader_open(&reading, t);
	reading.use_read = true;
	sender_start(&tx, l.tx, 0, size, 1000);
	for (int turn = 0; got < size; turn++) {
		size_t chunk = 1 + turn * 977 % 3000;

		if (chunk > size - got)
			chunk = size - got;
		receive(turn % 2 ? &splicing : &reading, l.rx, got, chunk, chunk);
		got += chunk;
	}
	sender_join(&tx);
}

static void peeked(const struct test *t)
{
	struct reader r;
	struct link l;
	char buf[4000];

	link_open(&l, t);
	set_nonblock(l.rx);
	reader_open(&r, t);
	send_pattern(l.tx, 0, 4000, 4000);
	await_readable(l.rx);
	for (size_t got = 0; got < 4000; got += 500) {
		ssize_t n = recv(l.rx, buf, 300, MSG_PEEK);

		expect_result(n < 0 ? -errno : n, 300, "MSG_PEEK at byte %zu", got);
		pattern_check(buf, got, 300, "peeked");
		receive(&r, l.rx, got, 500, 500);
	}
	expect_result(reader_take(&r, l.rx, buf, 1), -EAGAIN, "after all bytes");
}

/*
 * Two calls asleep on one socket: each of two messages goes to somebody, once. read(2) isn't asked:
 * the one that gets nothing answers EAGAIN on stock kernels, while splice on plain TCP sleeps on.
 * The second message comes in two pieces where a program has judged a byte of it with the first.
 */
static void two_asleep(const struct test *t)
{
	struct call a, b, *first, *second;
	struct reader r;
	struct link l;
	ssize_t n;

	link_open(&l, t);
	call_start_asleep(&a, t, l.rx, 4000);
	call_start_asleep(&b, t, l.rx, 4000);
	send_pattern(l.tx, 0, 1000, 1000);
	for (int i = 0; i < PATIENCE_MS && !a.done && !b.done; i++)
		sleep_ms(1);
	expect(a.done || b.done, "nobody woke up");
	first = a.done ? &a : &b;
	second = a.done ? &b : &a;
	expect_result(call_end(first, "the first message"), 1000, "the first message");
	pattern_check(first->buf, 0, 1000, "the first message");
	call_expect_asleep(second, 60);
	send_pattern(l.tx, 1000, 500, 500);
	n = call_end(second, "the second message");
	expect(n > 0 && n <= 500, "the second message: %s", result_name(n));
	pattern_check(second->buf, 1000, n, "the second message");
	reader_open(&r, t);
	receive(&r, l.rx, 1000 + n, 500 - n, 500);
}

#define SHARE_CASE(fn, text, ...) { .group = "share", .name = text, .run = fn, \
	.modes = ALL_MODES | AND_UNIX, __VA_ARGS__ }

static const struct behaviour behaviours[] = {
	SHARE_CASE(several_alike, "several", .flags = ASK_READ),
	SHARE_CASE(several_mixed, "several-mixed", .flags = ASK_READ),
	SHARE_CASE(one_pipe, "several-one-pipe"),
	/*
	 * Of what is on its way to a verdict program recv(2) takes a part now and then, on unix
	 * sockets, and it comes again as a whole.
	 */
	SHARE_CASE(in_turns, "in-turns", .flags = ASK_READ | TCP_ONLY),
	SHARE_CASE(peeked, "peek", .flags = ASK_READ),
	SHARE_CASE(two_asleep, "two-asleep"),
};

const struct suite share_suite = SUITE(behaviours);
