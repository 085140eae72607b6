// SPDX-License-Identifier: GPL-2.0
/*
 * IORING_OP_SPLICE. It is always carried out by a worker thread of the kernel's, so a splice
 * that waits here sleeps in a task that has no user space to return to.
 */
#include <errno.h>

#include "net.h"
#include "pipe_io.h"
#include "ring.h"
#include "take.h"

struct scene {
	struct link l;
	struct pipe p;
	struct ring ring;
};

static void open_scene(struct scene *s, const struct test *t)
{
	ring_open(&s->ring);
	link_open(&s->l, t);
	pipe_open(&s->p, 0);
}

static void data_there(const struct test *t)
{
	struct scene s;

	open_scene(&s, t);
	for (int i = 0; i < 4; i++) {
		send_pattern(s.l.tx, i * 1000, 1000, 1000);
		await_readable(s.l.rx);
		ring_splice(&s.ring, s.l.rx, s.p.wr, 4096);
		expect_result(ring_result(&s.ring, PATIENCE_MS), 1000, "splice of what is there");
		pipe_expect(&s.p, i * 1000, 1000, 4096);
	}
}

static void waits(const struct test *t)
{
	struct scene s;

	open_scene(&s, t);
	ring_splice(&s.ring, s.l.rx, s.p.wr, 4096);
	expect_result(ring_result(&s.ring, 60), -ETIME, "splice with nothing there");
	send_pattern(s.l.tx, 0, 1000, 1000);
	expect_result(ring_result(&s.ring, PATIENCE_MS), 1000, "splice that waited");
	pipe_expect(&s.p, 0, 1000, 4096);
}

static void nonblock(const struct test *t)
{
	struct scene s;

	open_scene(&s, t);
	set_nonblock(s.l.rx);
	ring_splice(&s.ring, s.l.rx, s.p.wr, 4096);
	expect_result(ring_result(&s.ring, PATIENCE_MS), -EAGAIN, "splice with O_NONBLOCK");
}

static void fin(const struct test *t)
{
	struct scene s;

	open_scene(&s, t);
	send_pattern(s.l.tx, 0, 1000, 1000);
	link_finish(&s.l, 1000);
	ring_splice(&s.ring, s.l.rx, s.p.wr, 4096);
	expect_result(ring_result(&s.ring, PATIENCE_MS), 1000, "splice before the end");
	ring_splice(&s.ring, s.l.rx, s.p.wr, 4096);
	expect_result(ring_result(&s.ring, PATIENCE_MS), 0, "splice at the end");
	pipe_expect(&s.p, 0, 1000, 4096);
}

#define URING(fn, text, more) { .group = "io_uring", .name = text, .run = fn, \
	.modes = ALL_MODES | AND_UNIX, .flags = V4_ONLY | (more) }

static const struct behaviour behaviours[] = {
	URING(data_there, "data", 0),
	URING(waits, "waits", 0),
	URING(nonblock, "nonblock", 0),
	/* What is queued is lost there when the peer shuts down, for recv(2), too. */
	URING(fin, "fin", TCP_ONLY),
};

const struct suite uring_suite = SUITE(behaviours);
