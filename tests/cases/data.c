// SPDX-License-Identifier: GPL-2.0
/*
 * The bytes once they are in the pipe: whole whatever happens to the socket, and nobody's to
 * change.
 *
 * A gifted buffer is a reference to a page that also holds other bytes, of this socket or of
 * another. A pipe that took it for its own would let write(2) append to it, in place, over bytes
 * still queued: the bug known as Dirty Pipe. So these look at the neighbours, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net.h"
#include "pattern.h"
#include "pipe_io.h"
#include "take.h"

#define BYTES		20000

struct scene {
	struct link l;
	struct pipe p;
};

/* `spliced` bytes are in the pipe, `sent` minus those still in the socket. */
static void open_scene(struct scene *s, const struct test *t, size_t sent, size_t chunk,
		       size_t spliced)
{
	link_open(&s->l, t);
	set_nonblock(s->l.rx);
	pipe_open(&s->p, 0);
	send_pattern(s->l.tx, 0, sent, chunk);
	gather(s->l.rx, &s->p, spliced);
}

static void counted(const struct test *t)
{
	struct scene s;

	open_scene(&s, t, BYTES, 4000, BYTES);
	expect(pipe_bytes(&s.p) == BYTES, "FIONREAD: %zu of %d bytes", pipe_bytes(&s.p), BYTES);
	pipe_expect(&s.p, 0, BYTES, BYTES);
	pipe_expect_empty(&s.p);
}

/* Buffers may be longer than a page, and are taken apart from any place in them. */
static void odd_reads(const struct test *t)
{
	struct scene s;

	open_scene(&s, t, BYTES, BYTES, BYTES);
	pipe_expect(&s.p, 0, 4097, 7);
	pipe_expect(&s.p, 4097, BYTES - 4097, 4097);
}

static void tee_copies(const struct test *t)
{
	struct pipe copy;
	struct scene s;

	open_scene(&s, t, BYTES, 4000, BYTES);
	pipe_open(&copy, 0);
	expect(tee(s.p.rd, copy.wr, BYTES, 0) == BYTES, "tee: %s", strerror(errno));
	pipe_expect(&s.p, 0, BYTES, 1000);
	pipe_expect(&copy, 0, BYTES, 3001);
}

/* splice(2) from pipe to pipe moves and divides the buffers. */
static void relayed(const struct test *t)
{
	struct pipe next;
	struct scene s;

	open_scene(&s, t, BYTES, BYTES, BYTES);
	pipe_open(&next, 0);
	for (size_t left = BYTES; left; ) {
		ssize_t n = splice_to(s.p.rd, next.wr, left < 4999 ? left : 4999, 0);

		expect(n > 0, "pipe to pipe: %s", result_name(n));
		left -= n;
	}
	pipe_expect(&next, 0, BYTES, 1001);
}

static void to_file(const struct test *t)
{
	int fd = memfd_create("cases", MFD_CLOEXEC);
	char *buf = malloc(BYTES);
	struct scene s;

	expect(fd >= 0 && buf, "memfd_create: %s", strerror(errno));
	open_scene(&s, t, BYTES, 3000, BYTES);
	for (size_t left = BYTES; left; ) {
		ssize_t n = splice_to(s.p.rd, fd, left, SPLICE_F_MOVE);

		expect(n > 0, "pipe to file: %s", result_name(n));
		left -= n;
	}
	expect(pread(fd, buf, BYTES, 0) == BYTES, "pread: %s", strerror(errno));
	pattern_check(buf, 0, BYTES, "in the file");
}

static void outlives_socket(const struct test *t)
{
	struct scene s;

	open_scene(&s, t, BYTES, 4000, BYTES - 3000);
	link_close(&s.l);
	/* Where pages were freed too early, these will have been given them. */
	link_open(&s.l, t);
	send_pattern(s.l.tx, 1 << 20, BYTES, 4000);
	pipe_expect(&s.p, 0, BYTES - 3000, 4096);
}

/* read(2) leaves nothing in a pipe; what it can be asked is what a removal does to the kernel. */
static void remove_after_read(const struct test *t)
{
	struct reader r;
	struct link l;

	link_open(&l, t);
	set_nonblock(l.rx);
	reader_open(&r, t);
	send_pattern(l.tx, 0, BYTES, 4000);
	receive(&r, l.rx, 0, BYTES, 4096);
	link_remove(&l);
}

static void outlives_membership(const struct test *t)
{
	struct scene s;

	if (t->use_read) {
		remove_after_read(t);
		return;
	}
	open_scene(&s, t, BYTES, 4000, BYTES);
	link_remove(&s.l);
	pipe_expect(&s.p, 0, BYTES, 4096);
}

/*
 * 100 of the bytes are in the pipe, the next are their neighbours on the page: write(2) into the
 * pipe must not touch those, neither in the rest of the same message nor in the messages behind
 * it.
 */
static void not_merged(const struct test *t)
{
	const size_t *chunk = t->b->arg;
	struct reader r;
	struct scene s;

	open_scene(&s, t, 3000, *chunk, 100);
	pipe_scribble(&s.p);
	reader_open(&r, t);
	receive_all(&r, s.l.rx, 100, 2900, 700);
	pipe_expect(&s.p, 0, 100, 100);
	pipe_expect_scribble(&s.p);
	pipe_expect_empty(&s.p);
}

/* The same seen through the second reference that tee(2) made. */
static void not_merged_tee(const struct test *t)
{
	struct pipe copy;
	struct scene s;

	open_scene(&s, t, 100, 100, 100);
	pipe_open(&copy, 0);
	expect(tee(s.p.rd, copy.wr, 100, 0) == 100, "tee: %s", strerror(errno));
	pipe_scribble(&s.p);
	expect(pipe_bytes(&copy) == 100, "%zu bytes in the copy", pipe_bytes(&copy));
	pipe_expect(&copy, 0, 100, 100);
	pipe_scribble(&copy);
	pipe_expect(&s.p, 0, 100, 100);
	pipe_expect_scribble(&s.p);
	pipe_expect_scribble(&copy);
}

#define DATA_CASE(fn, text, ...) { .group = "data", .name = text, .run = fn, \
	.modes = ALL_MODES | AND_UNIX, __VA_ARGS__ }

static const struct behaviour behaviours[] = {
	DATA_CASE(counted, "fionread"),
	DATA_CASE(odd_reads, "odd-reads"),
	DATA_CASE(tee_copies, "tee"),
	DATA_CASE(relayed, "pipe-to-pipe"),
	DATA_CASE(to_file, "to-file"),
	DATA_CASE(outlives_socket, "outlives-socket"),
	DATA_CASE(outlives_membership, "outlives-membership", .flags = ASK_SPLATS),
	DATA_CASE(not_merged, "not-merged-message", .arg = &(const size_t){ 3000 }),
	DATA_CASE(not_merged, "not-merged-neighbours", .arg = &(const size_t){ 100 }),
	DATA_CASE(not_merged_tee, "not-merged-tee"),
};

const struct suite data_suite = SUITE(behaviours);
