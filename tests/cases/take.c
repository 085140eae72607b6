// SPDX-License-Identifier: GPL-2.0
/*
 * Taking bytes from a socket by one of two methods, so that each behaviour is written once and
 * asked of read(2) and of splice(2) alike.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net.h"
#include "pattern.h"
#include "take.h"

#define STALL_QUIET_MS	(3000 * slowness)	/* no bytes, poll agrees: the sender may be slow */
#define STALL_LIAR_MS	(500 * slowness)	/* no bytes, while poll says that there are some */

ssize_t splice_to(int fd, int pipe_wr, size_t len, unsigned int flags)
{
	ssize_t n = splice(fd, NULL, pipe_wr, NULL, len, flags);

	return n < 0 ? -errno : n;
}

void reader_open(struct reader *r, const struct test *t)
{
	r->use_read = t->use_read;
	r->flags = 0;
	expect(!pipe2(r->pipe, O_CLOEXEC), "pipe: %s", strerror(errno));
}

void reader_set_pipe_size(struct reader *r, size_t size)
{
	expect(fcntl(r->pipe[1], F_SETPIPE_SZ, size) >= 0, "F_SETPIPE_SZ: %s", strerror(errno));
}

void reader_close(struct reader *r)
{
	close(r->pipe[0]);
	close(r->pipe[1]);
}

ssize_t reader_take(struct reader *r, int fd, void *buf, size_t len)
{
	ssize_t n, got = 0;

	if (r->use_read) {
		n = read(fd, buf, len);
		return n < 0 ? -errno : n;
	}
	n = splice_to(fd, r->pipe[1], len, r->flags);
	while (got < n) {
		ssize_t m = read(r->pipe[0], (char *)buf + got, n - got);

		expect(m > 0, "pipe: read gives %s with %zd spliced bytes to come",
		       result_name(m < 0 ? -errno : m), n - got);
		got += m;
	}
	return n;
}

/* Since when no bytes have come, and since when poll has said that there are some; 0: it hasn't. */
struct stall {
	double quiet, liar;
};

static void expect_progress(struct stall *since, uint64_t offset, ssize_t n, int fd)
{
	expect(!since->liar || now() - since->liar < STALL_LIAR_MS / 1000.0,
	       "at byte %llu: %s for %d ms while poll says readable", (unsigned long long)offset,
	       result_name(n), STALL_LIAR_MS);
	expect(now() - since->quiet < STALL_QUIET_MS / 1000.0, "at byte %llu: no bytes for %d ms",
	       (unsigned long long)offset, STALL_QUIET_MS);
	if (!readable_within(fd, 10)) {
		since->liar = 0;
		return;
	}
	if (!since->liar)
		since->liar = now();
	sleep_ms(1);
}

void receive(struct reader *r, int fd, uint64_t offset, size_t size, size_t chunk)
{
	char *buf = malloc(chunk);
	struct stall since = { .quiet = now() };

	expect(buf, "no memory");
	while (size) {
		ssize_t n = reader_take(r, fd, buf, chunk < size ? chunk : size);

		if (n == -EAGAIN) {
			expect_progress(&since, offset, n, fd);
			continue;
		}
		expect(n > 0, "at byte %llu: got %s with %zu bytes to come",
		       (unsigned long long)offset, result_name(n), size);
		pattern_check(buf, offset, n, "stream");
		offset += n;
		size -= n;
		since = (struct stall){ .quiet = now() };
	}
	free(buf);
}

void receive_all(struct reader *r, int fd, uint64_t offset, size_t size, size_t chunk)
{
	char more;

	receive(r, fd, offset, size, chunk);
	expect_result(reader_take(r, fd, &more, 1), -EAGAIN, "after all %zu bytes", size);
}

static void *run_call(void *arg)
{
	struct call *c = arg;

	c->tid = gettid();
	c->result = reader_take(&c->r, c->fd, c->buf, c->len);
	c->done = 1;
	return NULL;
}

void call_prepare(struct call *c, const struct test *t, int fd, size_t len)
{
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->len = len;
	c->buf = malloc(len);
	expect(c->buf, "no memory");
	reader_open(&c->r, t);
}

void call_start(struct call *c, const struct test *t, int fd, size_t len)
{
	call_prepare(c, t, fd, len);
	thread_start(&c->thread, run_call, c);
}

/* Is the thread (or process) asleep in that system call? /proc says "running" otherwise. */
static bool asleep_in(pid_t tid, long nr)
{
	char path[64], text[64] = "";
	FILE *f;
	bool asleep;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	f = fopen(path, "r");
	if (!f)
		return false;
	asleep = fgets(text, sizeof(text), f) && strtol(text, NULL, 10) == nr;
	fclose(f);
	return asleep;
}

bool taking(const struct test *t, pid_t tid)
{
	return asleep_in(tid, t->use_read ? __NR_read : __NR_splice);
}

void call_run_asleep(struct call *c, const struct test *t)
{
	double end = now() + PATIENCE_MS / 1000.0;

	thread_start(&c->thread, run_call, c);
	while (!c->tid || !taking(t, c->tid)) {
		if (c->done)
			fail("the call did not wait, it returned %s", result_name(c->result));
		expect(now() < end, "the call did not go to sleep");
		sleep_ms(1);
	}
}

void call_start_asleep(struct call *c, const struct test *t, int fd, size_t len)
{
	call_prepare(c, t, fd, len);
	call_run_asleep(c, t);
}

bool call_done_within(struct call *c, int ms)
{
	double end = now() + ms / 1000.0;

	while (!c->done && now() < end)
		sleep_ms(1);
	return c->done;
}

void call_expect_asleep(struct call *c, int ms)
{
	if (call_done_within(c, ms))
		fail("the call should still be waiting, it returned %s", result_name(c->result));
}

ssize_t call_end(struct call *c, const char *event)
{
	expect(call_done_within(c, PATIENCE_MS), "still waiting %d ms after %s", PATIENCE_MS,
	       event);
	pthread_join(c->thread, NULL);
	reader_close(&c->r);
	return c->result;
}
