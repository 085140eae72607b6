// SPDX-License-Identifier: GPL-2.0
/*
 * The pipe as the limit: full, tiny, resized, without a reader, and calls that may take nothing.
 *
 * What they have in common: whatever didn't get into the pipe must still be in the socket. So
 * each of these ends by taking the whole stream, checked.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net.h"
#include "pipe_io.h"
#include "take.h"

#define PAGE 4096

struct scene {
	struct link l;
	struct reader r;
	struct pipe p;
};

static void open_scene(struct scene *s, const struct test *t, size_t pipe_size)
{
	link_open(&s->l, t);
	set_nonblock(s->l.rx);
	reader_open(&s->r, t);
	pipe_open(&s->p, pipe_size);
}

/* `count` messages of `size` stream bytes are queued, the first of them for certain. */
static void queue_messages(struct scene *s, int count, size_t size)
{
	send_pattern(s->l.tx, 0, count * size, size);
	await_readable(s->l.rx);
}

static size_t fill(struct pipe *p)
{
	char page[PAGE];

	memset(page, 'x', sizeof(page));
	set_nonblock(p->wr);
	while (write(p->wr, page, sizeof(page)) > 0)
		;
	return pipe_bytes(p);
}

/* Takes out what fill() put in, and nothing that comes behind it. */
static void drain(struct pipe *p, size_t filled)
{
	char buf[PAGE];

	while (filled) {
		ssize_t n = read(p->rd, buf, filled < PAGE ? filled : PAGE);

		expect(n > 0, "pipe: %s", n ? strerror(errno) : "end of file");
		expect(buf[0] == 'x', "what filled the pipe has changed");
		filled -= n;
	}
}

static void full(const struct test *t)
{
	struct scene s;
	size_t filled;

	open_scene(&s, t, 0);
	queue_messages(&s, 3, 1000);
	filled = fill(&s.p);
	expect_result(splice_to(s.l.rx, s.p.wr, 3000, SPLICE_F_NONBLOCK), -EAGAIN,
		      "into a full pipe");
	drain(&s.p, filled);
	receive_all(&s.r, s.l.rx, 0, 3000, PAGE);
}

static void *run_splice_into(void *arg)
{
	struct call *c = arg;

	c->tid = gettid();
	c->result = splice_to(c->fd, c->r.pipe[1], c->len, 0);
	c->done = 1;
	return NULL;
}

/* Without SPLICE_F_NONBLOCK the call waits for room, here until somebody reads the pipe. */
static void full_waits(const struct test *t)
{
	struct call c = { .len = 3000 };
	struct scene s;
	size_t filled;
	int flags;

	open_scene(&s, t, 0);
	queue_messages(&s, 1, 1000);
	filled = fill(&s.p);
	flags = fcntl(s.p.wr, F_GETFL);
	fcntl(s.p.wr, F_SETFL, flags & ~O_NONBLOCK);
	c.fd = s.l.rx;
	c.r.pipe[1] = s.p.wr;
	thread_start(&c.thread, run_splice_into, &c);
	call_expect_asleep(&c, 60);
	drain(&s.p, filled);
	expect(call_done_within(&c, PATIENCE_MS), "still waiting after the pipe was emptied");
	expect_result(c.result, 1000, "with room in the pipe again");
	pipe_expect(&s.p, 0, 1000, PAGE);
}

/* Room for one buffer, and more messages than that. */
static void one_slot(const struct test *t)
{
	struct scene s;
	char byte = 'x';
	ssize_t n;

	open_scene(&s, t, 2 * PAGE);
	expect(write(s.p.wr, &byte, 1) == 1, "write: %s", strerror(errno));
	queue_messages(&s, 8, 1500);
	n = splice_to(s.l.rx, s.p.wr, 12000, SPLICE_F_NONBLOCK);
	expect(n > 0 && n <= PAGE, "into one free buffer: got %s", result_name(n));
	expect(read(s.p.rd, &byte, 1) == 1 && byte == 'x', "the byte that was there is gone");
	pipe_expect(&s.p, 0, n, PAGE);
	pipe_expect_empty(&s.p);
	receive_all(&s.r, s.l.rx, n, 12000 - n, 65536);
}

/* More pieces than a pipe has slots: no two of them are neighbours in memory. */
static void many_pieces(const struct test *t)
{
	const size_t piece = 500, size = 60 * piece;
	struct scene s;
	ssize_t n;

	open_scene(&s, t, 0);
	send_apart(s.l.tx, 0, size, piece);
	await_readable(s.l.rx);
	n = splice_to(s.l.rx, s.p.wr, 2 * size, SPLICE_F_NONBLOCK);
	expect(n > 0, "splice: %s", result_name(n));
	if (BIT(t->mode) & MSG_MODES)
		expect((size_t)n < size, "%zd bytes in pieces of %zu into 16 slots", n, piece);
	pipe_expect(&s.p, 0, n, PAGE);
	pipe_expect_empty(&s.p);
	receive_all(&s.r, s.l.rx, n, size - n, 65536);
}

static void sized(const struct test *t)
{
	const size_t *pipe_size = t->b->arg;
	const size_t size = 100001;
	struct sender tx;
	struct scene s;

	open_scene(&s, t, 0);
	reader_set_pipe_size(&s.r, *pipe_size);
	sender_start(&tx, s.l.tx, 0, size, 10007);
	receive_all(&s.r, s.l.rx, 0, size, 1 << 20);
	sender_join(&tx);
}

/* F_SETPIPE_SZ moves the buffers of a pipe that is in use. */
static void resized(const struct test *t)
{
	struct scene s;

	open_scene(&s, t, 0);
	send_pattern(s.l.tx, 0, 30000, 6000);
	gather(s.l.rx, &s.p, 10000);
	pipe_resize(&s.p, 1 << 20);
	gather(s.l.rx, &s.p, 10000);
	pipe_resize(&s.p, 32 * PAGE);
	gather(s.l.rx, &s.p, 10000);
	pipe_expect(&s.p, 0, 30000, 777);
	pipe_expect_empty(&s.p);
}

static void length_zero(const struct test *t)
{
	struct scene s;

	open_scene(&s, t, 0);
	expect_result(splice_to(s.l.rx, s.p.wr, 0, 0), 0, "length 0, nothing queued");
	queue_messages(&s, 1, 1000);
	expect_result(splice_to(s.l.rx, s.p.wr, 0, 0), 0, "length 0, bytes queued");
	pipe_expect_empty(&s.p);
	receive_all(&s.r, s.l.rx, 0, 1000, PAGE);
}

/* A socket has no offsets: do_splice() refuses one before the socket hears of it. */
static void offset_given(const struct test *t)
{
	loff_t zero = 0, some = 10;
	struct scene s;

	open_scene(&s, t, 0);
	queue_messages(&s, 1, 1000);
	expect(splice(s.l.rx, &zero, s.p.wr, NULL, 100, 0) == -1 && errno == EINVAL,
	       "offset 0: %s", strerror(errno));
	expect(splice(s.l.rx, &some, s.p.wr, NULL, 100, 0) == -1 && errno == EINVAL,
	       "offset 10: %s", strerror(errno));
	pipe_expect_empty(&s.p);
	receive_all(&s.r, s.l.rx, 0, 1000, PAGE);
}

static void bad_calls(const struct test *t)
{
	struct scene s;
	int rdonly;

	open_scene(&s, t, 0);
	rdonly = open("/dev/null", O_WRONLY | O_CLOEXEC);
	queue_messages(&s, 1, 1000);
	expect_result(splice_to(s.l.rx, s.p.wr, 100, 0x80), -EINVAL, "an unknown flag");
	expect_result(splice_to(s.l.rx, s.p.rd, 100, 0), -EBADF, "into the pipe's reading end");
	expect_result(splice_to(s.l.rx, rdonly, 100, 0), -EINVAL, "into what is no pipe");
	receive_all(&s.r, s.l.rx, 0, 1000, PAGE);
}

static void flags_accepted(const struct test *t)
{
	struct scene s;

	open_scene(&s, t, 0);
	queue_messages(&s, 1, 1000);
	s.r.flags = SPLICE_F_MOVE | SPLICE_F_MORE | SPLICE_F_GIFT;
	receive_all(&s.r, s.l.rx, 0, 1000, 300);
}

static atomic_int sigpipes;

static void count_sigpipe(int sig)
{
	(void)sig;
	sigpipes++;
}

static void no_reader(const struct test *t)
{
	struct scene s;

	open_scene(&s, t, 0);
	queue_messages(&s, 1, 1000);
	signal(SIGPIPE, count_sigpipe);
	close(s.p.rd);
	expect_result(splice_to(s.l.rx, s.p.wr, 1000, 0), -EPIPE, "into a pipe without a reader");
	expect(sigpipes == 1, "%d times SIGPIPE", sigpipes);
	receive_all(&s.r, s.l.rx, 0, 1000, PAGE);
}

#define PIPE_CASE(fn, text, ...) { .group = "pipe", .name = text, .run = fn, \
	.modes = ALL_MODES | AND_UNIX, __VA_ARGS__ }
#define SIZE(n) .arg = &(const size_t){ n }

static const struct behaviour behaviours[] = {
	PIPE_CASE(full, "full"),
	PIPE_CASE(full_waits, "full-waits"),
	PIPE_CASE(one_slot, "one-slot"),
	PIPE_CASE(many_pieces, "many-pieces"),
	PIPE_CASE(sized, "tiny", SIZE(PAGE), .limit = 20),
	PIPE_CASE(sized, "wide", SIZE(1 << 20), .limit = 20),
	PIPE_CASE(resized, "resized"),
	PIPE_CASE(length_zero, "length-zero"),
	PIPE_CASE(offset_given, "offset"),
	PIPE_CASE(bad_calls, "bad-calls"),
	PIPE_CASE(flags_accepted, "flags"),
	PIPE_CASE(no_reader, "no-reader"),
};

const struct suite pipe_suite = SUITE(behaviours);
