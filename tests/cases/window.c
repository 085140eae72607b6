// SPDX-License-Identifier: GPL-2.0
/*
 * What a reader tells the sender by reading: that there is room again. Where nobody tells, the
 * sender asks, but not before 200 ms have passed, and the stream crawls.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "pattern.h"
#include "scene.h"
#include "take.h"

#define SMALL_BUF	(64 << 10)
#define FILL_MS		60	/* an acknowledgement may be delayed by 40 */
#define OPENS_MS	(150 * slowness)	/* a window probe comes later */
#define ROUNDS		8
#define MAY_BE_LATE	1
#define FLOWS_BYTES	(4 << 20)
#define FLOWS_CHUNK	(64 << 10)
#define FLOWS_MS	(3000 * slowness)	/* without any window update it is 12 s */
#define DRAIN_CHUNK	(256 << 10)

static void open_scene(struct scene *s, const struct test *t)
{
	memset(s, 0, sizeof(*s));
	link_open(&s->l, t);
	set_nonblock(s->l.rx);
	reader_open(&s->r, t);
}

static bool writable_within(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, ms) == 1;
}

/* With a small window from the beginning: a sender remembers the greatest that it has seen. */
static void open_small(struct scene *s, const struct test *t)
{
	int listener = tcp_listen(t->family);

	memset(s, 0, sizeof(*s));
	link_connect(&s->l, t);
	close(s->l.rx);
	close(s->l.peer);
	set_buffer(listener, SO_RCVBUF, SMALL_BUF);
	s->l.tx = s->l.peer = tcp_connect(listener);
	s->l.rx = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	expect(s->l.rx >= 0, "accept: %s", strerror(errno));
	close(listener);
	set_buffer(s->l.tx, SO_SNDBUF, SMALL_BUF);
	link_insert(&s->l);
	reader_open(&s->r, t);
}

/* Until the sender's buffer is full, too, and stays so. */
static void fill(struct scene *s)
{
	char buf[4096];

	do {
		ssize_t n;

		do {
			pattern_fill(buf, s->sent, sizeof(buf));
			n = send(s->l.tx, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n > 0)
				s->sent += n;
		} while (n > 0);
		expect(errno == EAGAIN, "send: %s", strerror(errno));
	} while (writable_within(s->l.tx, FILL_MS));
}

static void drain(struct scene *s)
{
	static char buf[DRAIN_CHUNK];

	do {
		ssize_t n = reader_take(&s->r, s->l.rx, buf, sizeof(buf));

		if (n == -EAGAIN)
			continue;
		expect(n > 0, "at byte %llu: %s", (unsigned long long)s->taken, result_name(n));
		pattern_check(buf, s->taken, n, "stream");
		s->taken += n;
	} while (readable_within(s->l.rx, 0));
}

static void window_opens(const struct test *t)
{
	struct scene s;
	int late = 0;

	open_small(&s, t);
	for (int i = 0; i < ROUNDS; i++) {
		fill(&s);
		drain(&s);
		if (!writable_within(s.l.tx, OPENS_MS))
			late++;
		expect(writable_within(s.l.tx, PATIENCE_MS), "round %d: the sender got no room", i);
	}
	expect(late <= MAY_BE_LATE, "the sender learnt of the room late in %d of %d rounds", late,
	       ROUNDS);
}

/* A long stream: the sender doesn't have to ask for room again and again. */
static void stream_flows(const struct test *t)
{
	uint64_t limited_us;
	struct sender tx;
	struct scene s;

	open_scene(&s, t);
	reader_set_pipe_size(&s.r, FLOWS_CHUNK);
	sender_start(&tx, s.l.tx, 0, FLOWS_BYTES, FLOWS_CHUNK);
	receive_all(&s.r, s.l.rx, 0, FLOWS_BYTES, FLOWS_CHUNK);
	sender_join(&tx);
	limited_us = tcp_info(s.l.tx).tcpi_rwnd_limited;
	note("no room for %llu ms", (unsigned long long)limited_us / 1000);
	expect(limited_us < FLOWS_MS * 1000ull, "the sender had no room for %llu ms",
	       (unsigned long long)limited_us / 1000);
}

/* What the kernel has measured that a reader takes in a round trip: what it grows the buffer by. */
static unsigned int receive_space(int fd)
{
	return tcp_info(fd).tcpi_rcv_space;
}

static void receive_space_grows(const struct test *t)
{
	unsigned int before, after;
	struct scene s;
	int rounds = 0;

	open_scene(&s, t);
	if (t->mode != MODE_PLAIN && !sockmap_traces_reading())
		skip("on this kernel bytes count as read when the program gets them");
	reader_set_pipe_size(&s.r, 1 << 20);
	set_buffer(s.l.tx, SO_SNDBUF, DRAIN_CHUNK);
	before = receive_space(s.l.rx);
	do {
		fill(&s);
		drain(&s);
		after = receive_space(s.l.rx);
	} while (after <= before && ++rounds < ROUNDS);
	note("from %u to %u", before, after);
	expect(after > before, "%u bytes in a round trip still", before);
}

#define WINDOW(fn, text, which, ...) { .group = "window", .name = text, .run = fn, \
	.modes = which, __VA_ARGS__ }
#define ALL_WINDOWS	(BIT(MODE_SKB_PASS) | BIT(MODE_SKB_PARSER) | BIT(MODE_PLAIN))

static const struct behaviour behaviours[] = {
	/* On 5.10 read(2) tells nobody. */
	WINDOW(window_opens, "opens", BIT(MODE_SKB_PASS) | BIT(MODE_PLAIN)),
	WINDOW(window_opens, "opens", BIT(MODE_SKB_PARSER), .flags = ASK_READ),
	WINDOW(stream_flows, "flows", ALL_WINDOWS, .flags = ASK_READ, .limit = 40),
	WINDOW(receive_space_grows, "receive-space-grows", ALL_WINDOWS, .flags = ASK_READ,
	       .limit = 40),
};

const struct suite window_suite = SUITE(behaviours);
