// SPDX-License-Identifier: GPL-2.0
/*
 * Memory after many connections, by read(2) and by splice(2).
 *
 * Each round leaves something behind on purpose: bytes queued in the socket and bytes in the
 * pipe when both are closed. The free memory of a small guest wanders by itself, so what read
 * costs is measured in the same process just before, and splice may cost TOLERANCE_KB more. A
 * leak of the pages or of the messages of a round would come to ten times that. Sockets and their
 * memory have to come back. Kernels with sanitizers do fewer rounds: theirs take seconds, and
 * kmemleak finds what was lost in one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "net.h"
#include "pipe_io.h"
#include "take.h"

#define WARM_UP		4
#define ROUNDS		(slowness > 1 ? 6 : 60)
#define PIECES		8
#define PIECE		20000
#define CHUNK		1000
#define ABANDONED	60000
#define GIVE_UP_MS	200
#define TOLERANCE_KB	2048

/* Takes a piece, or gives up: stock stream_parsers stall, and this isn't about that. */
static void take_piece(struct reader *r, int fd)
{
	char buf[16384];
	size_t got = 0;

	while (got < PIECE && readable_within(fd, GIVE_UP_MS)) {
		ssize_t n = reader_take(r, fd, buf, sizeof(buf));

		expect(n > 0 || n == -EAGAIN, "taking a piece: %s", result_name(n));
		if (n < 0)
			break;
		got += n;
	}
}

static void one_round(const struct test *t, struct sockmap *map)
{
	struct reader r;
	struct pipe p;
	struct link l;

	link_open_in(&l, t, map);
	set_nonblock(l.rx);
	set_nodelay(l.tx);
	reader_open(&r, t);
	pipe_open(&p, 0);
	for (int i = 0; i < PIECES; i++) {
		send_pattern(l.tx, 0, PIECE, CHUNK);
		take_piece(&r, l.rx);
	}
	send_pattern(l.tx, 0, ABANDONED, CHUNK);
	if (!t->use_read)
		splice_to(l.rx, p.wr, ABANDONED / 2, SPLICE_F_NONBLOCK);
	link_close(&l);
	pipe_close(&p);
	reader_close(&r);
}

/* Kilobytes that ROUNDS rounds cost. */
static long cost(struct test t, struct sockmap *map, bool use_read)
{
	struct socket_memory at_start = socket_memory();
	long before;

	t.use_read = use_read;
	for (int i = 0; i < WARM_UP; i++)
		one_round(&t, map);
	await_sockets(&at_start);
	before = free_kb();
	for (int i = 0; i < ROUNDS; i++)
		one_round(&t, map);
	await_sockets(&at_start);
	return before - free_kb();
}

static void memory(const struct test *t)
{
	struct sockmap *map = t->mode == MODE_PLAIN ? NULL : open_map(t);
	long by_read, by_splice;

	by_read = cost(*t, map, true);
	by_splice = cost(*t, map, false);
	note("%d rounds: read(2) cost %ld KiB, splice %ld KiB", ROUNDS, by_read, by_splice);
	expect(by_splice < TOLERANCE_KB || by_splice - by_read < TOLERANCE_KB,
	       "splice cost %ld KiB, read %ld KiB", by_splice, by_read);
}

static const struct behaviour behaviours[] = {
	{ .group = "leak", .name = "memory", .run = memory, .modes = ALL_MODES | AND_UNIX,
	  .flags = V4_ONLY | ASK_SPLATS, .limit = 60 },
};

const struct suite leak_suite = SUITE(behaviours);
