// SPDX-License-Identifier: GPL-2.0
/*
 * poll, epoll and FIONREAD beside splice: what they promise must be there to splice, and what
 * was spliced must be gone from them. Edge-triggered epoll is the form in which the stock
 * kernel's fault hangs programs: the edge is reported once, splice finds nothing, and no further
 * edge comes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net.h"
#include "pattern.h"
#include "take.h"

#define QUIET_MS	30
#define ROUNDS		5

struct scene {
	struct link l;
	struct reader r;
	char buf[8192];
};

static struct scene *open_scene(const struct test *t)
{
	static struct scene s;

	link_open(&s.l, t);
	set_nonblock(s.l.rx);
	reader_open(&s.r, t);
	return &s;
}

static void expect_take(struct scene *s, uint64_t offset, size_t len, size_t want)
{
	expect_result(reader_take(&s->r, s->l.rx, s->buf, len), want, "readable bytes");
	pattern_check(s->buf, offset, want, "readable bytes");
}

static void expect_drained(struct scene *s)
{
	expect_result(reader_take(&s->r, s->l.rx, s->buf, 1), -EAGAIN, "after the last byte");
}

static short poll_events(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	poll(&p, 1, 0);
	return p.revents;
}

static void poll_follows(const struct test *t)
{
	struct scene *s = open_scene(t);

	expect(!readable_within(s->l.rx, QUIET_MS), "readable before anything was sent");
	send_pattern(s->l.tx, 0, 1000, 1000);
	await_readable(s->l.rx);
	expect_take(s, 0, 400, 400);
	expect(readable_within(s->l.rx, QUIET_MS), "not readable with 600 bytes left");
	expect_take(s, 400, 4000, 600);
	expect(!readable_within(s->l.rx, QUIET_MS), "readable after the last byte");
	expect_drained(s);
}

static void *send_later(void *arg)
{
	sleep_ms(60);
	send_pattern(*(int *)arg, 0, 1000, 1000);
	return NULL;
}

static void poll_wakes(const struct test *t)
{
	struct scene *s = open_scene(t);
	pthread_t thread;

	thread_start(&thread, send_later, &s->l.tx);
	await_readable(s->l.rx);
	expect_take(s, 0, 4000, 1000);
	pthread_join(thread, NULL);
}

static void poll_fin(const struct test *t)
{
	struct scene *s = open_scene(t);
	const short in = POLLIN | POLLRDHUP;

	send_pattern(s->l.tx, 0, 1000, 1000);
	link_finish(&s->l, 1000);
	await_readable(s->l.rx);
	expect_take(s, 0, 4000, 1000);
	for (int i = 0; i < 100 && !(poll_events(s->l.rx, in) & POLLRDHUP); i++)
		sleep_ms(5);
	expect(poll_events(s->l.rx, in) == in, "events 0x%x after FIN, expected 0x%x",
	       poll_events(s->l.rx, in), in);
	expect_result(reader_take(&s->r, s->l.rx, s->buf, 100), 0, "after FIN");
}

static int epoll_on(int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	expect(ep >= 0 && !epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), "epoll: %s", strerror(errno));
	return ep;
}

static bool event_within(int ep, int ms)
{
	struct epoll_event ev;

	return epoll_wait(ep, &ev, 1, ms) == 1 && ev.events & EPOLLIN;
}

static void epoll_level(const struct test *t)
{
	struct scene *s = open_scene(t);
	int ep = epoll_on(s->l.rx, EPOLLIN);

	for (int i = 0; i < ROUNDS; i++) {
		expect(!event_within(ep, QUIET_MS), "round %d: an event with nothing there", i);
		send_pattern(s->l.tx, i * 1000, 1000, 1000);
		expect(event_within(ep, PATIENCE_MS), "round %d: no event", i);
		expect_take(s, i * 1000, 400, 400);
		expect(event_within(ep, PATIENCE_MS), "round %d: no event for the rest", i);
		expect_take(s, i * 1000 + 400, 4000, 600);
	}
}

static void epoll_edge(const struct test *t)
{
	struct scene *s = open_scene(t);
	int ep = epoll_on(s->l.rx, EPOLLIN | EPOLLET);

	for (int i = 0; i < ROUNDS; i++) {
		send_pattern(s->l.tx, i * 1000, 1000, 1000);
		expect(event_within(ep, PATIENCE_MS), "round %d: no edge", i);
		expect_take(s, i * 1000, 4000, 1000);
		expect_drained(s);
	}
}

/* The loop of an edge-triggered program: until EAGAIN, then wait for the next edge. */
static void epoll_edge_stream(const struct test *t)
{
	const size_t size = 300000;
	struct scene *s = open_scene(t);
	int ep = epoll_on(s->l.rx, EPOLLIN | EPOLLET);
	struct sender tx;
	size_t got = 0;

	sender_start(&tx, s->l.tx, 0, size, 3001);
	while (got < size) {
		ssize_t n = reader_take(&s->r, s->l.rx, s->buf, sizeof(s->buf));

		if (n == -EAGAIN) {
			expect(event_within(ep, PATIENCE_MS), "no edge after %zu bytes", got);
			continue;
		}
		expect(n > 0, "after %zu bytes: %s", got, result_name(n));
		pattern_check(s->buf, got, n, "edge-triggered stream");
		got += n;
	}
	sender_join(&tx);
}

static int fionread(int fd)
{
	int n;

	expect(!ioctl(fd, FIONREAD, &n), "FIONREAD: %s", strerror(errno));
	return n;
}

static void fionread_follows(const struct test *t)
{
	struct scene *s = open_scene(t);

	expect(fionread(s->l.rx) == 0, "FIONREAD %d with nothing sent", fionread(s->l.rx));
	send_pattern(s->l.tx, 0, 1000, 1000);
	await_readable(s->l.rx);
	expect(fionread(s->l.rx) == 1000, "FIONREAD %d of 1000", fionread(s->l.rx));
	expect_take(s, 0, 300, 300);
	expect(fionread(s->l.rx) == 700, "FIONREAD %d of 700", fionread(s->l.rx));
	expect_take(s, 300, 4000, 700);
	expect(fionread(s->l.rx) == 0, "FIONREAD %d after the last byte", fionread(s->l.rx));
}

/* What came before the program goes by way of it, or past it. */
static void fionread_older(const struct test *t)
{
	static struct scene s;

	link_connect(&s.l, t);
	set_nonblock(s.l.rx);
	reader_open(&s.r, t);
	send_pattern(s.l.peer, 0, 1000, 1000);
	link_insert(&s.l);
	expect(fionread(s.l.rx) == 1000, "FIONREAD %d of 1000", fionread(s.l.rx));
	receive_all(&s.r, s.l.rx, 0, 1000, 1000);
	expect(fionread(s.l.rx) == 0, "FIONREAD %d after the last byte", fionread(s.l.rx));
}

#define POLL_CASE(fn, text) { .group = "poll", .name = text, .run = fn, \
	.modes = ALL_MODES | AND_UNIX, .flags = ASK_READ }

static const struct behaviour behaviours[] = {
	POLL_CASE(poll_follows, "poll"),
	POLL_CASE(poll_wakes, "poll-wakes"),
	POLL_CASE(poll_fin, "poll-fin"),
	POLL_CASE(epoll_level, "epoll-level"),
	POLL_CASE(epoll_edge, "epoll-edge"),
	POLL_CASE(epoll_edge_stream, "epoll-edge-stream"),
	POLL_CASE(fionread_follows, "fionread"),
	{ .group = "poll", .name = "fionread-older", .run = fionread_older,
	  .modes = UNIX_MODES | AND_UNIX, .flags = ASK_READ | UNIX_ONLY },
};

const struct suite poll_suite = SUITE(behaviours);
