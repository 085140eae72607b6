// SPDX-License-Identifier: GPL-2.0
/*
 * One episode of the fuzzer: a connection, random operations on it, and a model to check them
 * against.
 *
 * The model is small because the stream says itself where each byte belongs. What has been sent is
 * a prefix of the pattern, what has been taken is a prefix of that, and a pipe holds a row of
 * runs, of the stream or of bytes that the fuzzer wrote there itself. Taken bytes stay in the pipe
 * while the socket, the map and the module go through the operations that follow.
 *
 * An operation is drawn whole before it runs, so no result changes what comes next.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "episode.h"
#include "ko.h"
#include "net.h"
#include "pattern.h"
#include "pipe_io.h"
#include "take.h"

#define IN_FLIGHT	60000
#define MAX_PIECES	256	/* of one send: what a small piece finds, few of them find */
#define MAX_RUNS	512	/* more than a pipe has slots */
#define MAX_OWN		300
#define OPS_MAX		160
#define STALL_S		(4 * slowness)
#define ARRIVAL_S	(0.3 * slowness)
#define CROWD		3
#define MAX_REPLY	9000
#define MAX_REPLY_PIECES 64
#define RECORD		200
#define PARSED_MS	(5 * slowness)

/* What the running kernel does for a socket. */
static struct {
	bool traces_reading, gives_second_verdict;
} kernel;

struct op {
	uint32_t x, y, z;
};

/* A run of bytes in the pipe: the stream's from `offset` on, or (own) so many of OWN_BYTE. */
struct run {
	bool own;
	uint64_t offset;
	size_t len;
};

#define OWN_BYTE 0xa5

struct fuzz {
	const struct test *t;
	struct diary *diary;
	uint64_t rng;
	struct link l;
	int spare, spare_peer;
	bool in_map, has_programs, loaded;
	bool in_bare;		/* rx is in a second map, which has no programs */
	bool keeps_program;	/* out of the map, rx's psock has a program of it */
	bool out_of_order;	/* read(2) would give out the bytes in another order */
	bool rx_ahead, peer_ahead;	/* more may count as read than was sent, see settle() */
	size_t record;		/* a parser's records have that many bytes; 0: it knows none */
	uint64_t first;		/* where the first of them begins */
	uint64_t sent, taken, replied;
	struct pipe p;
	struct run runs[MAX_RUNS];
	size_t nr_runs;
};

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Mostly small, around the sizes of pages and fragments, sometimes anything up to `max`. */
static size_t size_from(uint32_t x, size_t max)
{
	static const size_t around[] = { 1, 16, 1000, 4096, 8192, 16384, 32768, 65536 };
	size_t size = around[x % 8] + (x >> 3) % 5 - 2;

	if (x >> 29 == 0)
		size = x % max;
	if (!size || size > max)
		size = 1 + x % max;
	return size;
}

static size_t outstanding(const struct fuzz *f)
{
	return f->sent - f->taken;
}

/* Does splice(2) find what is queued? */
static bool served(const struct fuzz *f)
{
	return f->loaded || f->t->mode == MODE_PLAIN;
}

static bool by_splice(const struct fuzz *f)
{
	return !f->t->use_read && served(f);
}

static bool behind_parser(const struct fuzz *f)
{
	return f->in_map && f->t->mode == MODE_SKB_PARSER;
}

static int sending_end(const struct fuzz *f)
{
	return f->in_map ? f->l.tx : f->l.peer;
}

static void run_add(struct fuzz *f, bool own, uint64_t offset, size_t len)
{
	struct run *last = f->nr_runs ? &f->runs[f->nr_runs - 1] : NULL;

	if (last && last->own == own && (own || last->offset + last->len == offset)) {
		last->len += len;
		return;
	}
	expect(f->nr_runs < MAX_RUNS, "more than %d runs in the pipe", MAX_RUNS);
	f->runs[f->nr_runs++] = (struct run){ own, offset, len };
}

/* Checks bytes against the pipe's runs from the front on, without taking those away. */
static void runs_check(const struct fuzz *f, const char *buf, size_t len, const char *what)
{
	for (size_t i = 0; len; i++) {
		const struct run *run = &f->runs[i];
		size_t n = i < f->nr_runs && run->len < len ? run->len : len;

		expect(i < f->nr_runs, "%s: %zu bytes too many", what, len);
		if (!run->own)
			pattern_check(buf, run->offset, n, what);
		for (size_t j = 0; run->own && j < n; j++)
			expect((unsigned char)buf[j] == OWN_BYTE, "%s: a byte we wrote is %02x",
			       what, (unsigned char)buf[j]);
		buf += n;
		len -= n;
	}
}

static void runs_drop(struct fuzz *f, size_t len)
{
	while (len) {
		struct run *run = &f->runs[0];
		size_t n = run->len < len ? run->len : len;

		run->offset += n;
		run->len -= n;
		len -= n;
		if (!run->len)
			memmove(run, run + 1, --f->nr_runs * sizeof(*run));
	}
}

static size_t runs_bytes(const struct fuzz *f)
{
	size_t sum = 0;

	for (size_t i = 0; i < f->nr_runs; i++)
		sum += f->runs[i].len;
	return sum;
}

static void empty_pipe(struct fuzz *f, size_t len)
{
	static char buf[8192];

	while (len) {
		ssize_t n = read(f->p.rd, buf, len < sizeof(buf) ? len : sizeof(buf));

		expect(n > 0, "pipe: %s", n ? strerror(errno) : "end of file");
		runs_check(f, buf, n, "from the pipe");
		runs_drop(f, n);
		len -= n;
	}
}

/* One splice into the pipe, or one read: bytes, 0, or -errno. What there is is checked. */
static ssize_t take(struct fuzz *f, size_t len, unsigned int flags)
{
	static char buf[65536];
	ssize_t n;

	if (by_splice(f)) {
		if (f->nr_runs)
			flags |= SPLICE_F_NONBLOCK;
		n = splice_to(f->l.rx, f->p.wr, len, flags);
		if (n > 0) {
			run_add(f, false, f->taken, n);
			f->rx_ahead = false;
		}
	} else {
		len = len < sizeof(buf) ? len : sizeof(buf);
		n = read(f->l.rx, buf, len);
		n = n < 0 ? -errno : n;
		if (n > 0) {
			pattern_check(buf, f->taken, n, "read");
			f->rx_ahead |= behind_parser(f);
		}
	}
	expect(n <= (ssize_t)len, "%zu bytes wanted, got %zd", len, n);
	if (n > 0)
		f->taken += n;
	expect(f->taken <= f->sent, "%llu bytes were sent, %llu came",
	       (unsigned long long)f->sent, (unsigned long long)f->taken);
	return n;
}

static void send_more(struct fuzz *f, size_t len, size_t piece)
{
	send_pattern(sending_end(f), f->sent, len, piece);
	f->sent += len;
}

/* A parser keeps the beginning of a record until its end comes. */
static void complete_record(struct fuzz *f)
{
	size_t part = 0;

	if (behind_parser(f) && f->record)
		part = (f->sent - f->first) % f->record;
	if (part)
		send_more(f, f->record - part, f->record);
}

/* Takes all that was sent; it has to come. */
static void drain(struct fuzz *f)
{
	double last = now();

	complete_record(f);
	while (outstanding(f)) {
		ssize_t n;

		empty_pipe(f, runs_bytes(f));
		n = take(f, 65536, 0);
		if (n > 0) {
			last = now();
			continue;
		}
		expect(n == -EAGAIN, "%zu bytes to come: %s", outstanding(f), result_name(n));
		f->diary->waits = true;
		expect(now() - last < STALL_S, "%zu bytes don't come", outstanding(f));
		f->diary->waits = false;
		readable_within(f->l.rx, 10);
	}
	f->out_of_order = false;
}

static void op_send(struct fuzz *f, const struct op *op)
{
	size_t want = size_from(op->x, IN_FLIGHT);
	size_t piece = 1 + size_from(op->y, IN_FLIGHT);

	if (want > IN_FLIGHT - outstanding(f))
		want = IN_FLIGHT - outstanding(f);
	if (piece < want / MAX_PIECES)
		piece = want / MAX_PIECES;
	send_more(f, want, piece);
}

static void op_splice(struct fuzz *f, const struct op *op)
{
	static const unsigned int flags[] = {
		0, SPLICE_F_NONBLOCK, SPLICE_F_MOVE, SPLICE_F_MORE | SPLICE_F_NONBLOCK,
	};
	ssize_t n = take(f, size_from(op->x, 1 << 20), flags[op->y % 4]);

	expect(n > 0 || n == -EAGAIN, "splice: %s", result_name(n));
}

static void op_pipe_read(struct fuzz *f, const struct op *op)
{
	size_t len = size_from(op->x, 65536), there = runs_bytes(f);

	empty_pipe(f, len < there ? len : there);
}

static void op_tee(struct fuzz *f, const struct op *op)
{
	static char buf[1 << 16];
	struct pipe copy;
	ssize_t n, got = 0;

	if (!f->nr_runs)
		return;
	pipe_open(&copy, op->x % 2 ? 4096 : 0);
	n = tee(f->p.rd, copy.wr, size_from(op->y, sizeof(buf)), SPLICE_F_NONBLOCK);
	expect(n > 0, "tee: %s", n ? strerror(errno) : "nothing");
	while (got < n) {
		ssize_t m = read(copy.rd, buf + got, n - got);

		expect(m > 0, "read of a tee: %s", m ? strerror(errno) : "end of file");
		got += m;
	}
	runs_check(f, buf, n, "from a tee");
	pipe_close(&copy);
}

/* Where a gifted buffer could be merged into, this would write over what is still queued. */
static void op_pipe_write(struct fuzz *f, const struct op *op)
{
	char buf[MAX_OWN];
	ssize_t n;

	memset(buf, OWN_BYTE, sizeof(buf));
	n = write(f->p.wr, buf, 1 + op->x % MAX_OWN);
	expect(n > 0 || errno == EAGAIN, "write to the pipe: %s", strerror(errno));
	if (n > 0)
		run_add(f, true, 0, n);
}

static void op_pipe_resize(struct fuzz *f, const struct op *op)
{
	int err = fcntl(f->p.wr, F_SETPIPE_SZ, 4096 << op->x % 7) < 0 ? errno : 0;

	expect(!err || err == EBUSY, "F_SETPIPE_SZ: %s", strerror(err));
}

/* With MSG_TRUNC, kernels differ on whether they copy; they have to agree on the count. */
static void recv_some(struct fuzz *f, size_t len, int flags)
{
	static char buf[65536];
	ssize_t n;

	if (f->out_of_order)
		return;
	n = recv(f->l.rx, buf, len, flags | MSG_DONTWAIT);
	expect(n > 0 || (n < 0 && errno == EAGAIN), "recv: %s", n ? strerror(errno) : "0");
	if (n < 0)
		return;
	expect(f->taken + n <= f->sent, "recv: %zd bytes of %zu", n, outstanding(f));
	if (!(flags & MSG_TRUNC))
		pattern_check(buf, f->taken, n, flags & MSG_PEEK ? "peeked" : "received");
	if (flags & MSG_PEEK)
		return;
	f->taken += n;
	f->rx_ahead |= behind_parser(f);
}

static void op_recv(struct fuzz *f, const struct op *op)
{
	recv_some(f, size_from(op->x, 65536), 0);
}

static void op_peek(struct fuzz *f, const struct op *op)
{
	recv_some(f, size_from(op->x, 65536), MSG_PEEK);
}

static void op_trunc(struct fuzz *f, const struct op *op)
{
	recv_some(f, size_from(op->x, 65536), MSG_TRUNC);
}

static void op_poll(struct fuzz *f, const struct op *op)
{
	(void)op;
	if (!outstanding(f))
		return;
	complete_record(f);
	f->diary->waits = true;
	expect(readable_within(f->l.rx, STALL_S * 1000), "poll: %zu bytes don't show",
	       outstanding(f));
	f->diary->waits = false;
}

static void op_drain(struct fuzz *f, const struct op *op)
{
	(void)op;
	drain(f);
}

static void unload(struct fuzz *f)
{
	ko_unload_in_time();
	f->loaded = false;
}

static void load(struct fuzz *f)
{
	expect_result(ko_load(""), 0, "load");
	f->loaded = true;
}

/* What read(2) is asked says nothing about the module. */
static void op_reload(struct fuzz *f, const struct op *op)
{
	(void)op;
	if (f->t->use_read)
		return;
	if (f->out_of_order)
		drain(f);
	if (f->loaded)
		unload(f);
	else
		load(f);
}

static void op_copy(struct fuzz *f, const struct op *op)
{
	if (f->loaded)
		expect_result(ko_set_parameter("copy", op->x % 2 ? "1" : "0"), 0, "copy");
}

static void need_programs(struct fuzz *f)
{
	if (!f->has_programs)
		expect_result(sockmap_attach_programs(f->l.map), 0, "attach");
	f->has_programs = true;
}

/*
 * The other direction is a stream of its own, of which nothing is left when this returns. A parser
 * there finds whole records only.
 */
static void reply(struct fuzz *f, size_t len, size_t piece, bool splice)
{
	static char buf[65536];
	double last = now();
	struct reader r;

	if (f->record)
		len += f->record - len % f->record;
	reader_open(&r, f->t);
	r.use_read = !splice;
	set_blocking(f->l.peer, false);
	send_pattern(f->l.rx, f->replied, len, piece);
	while (len) {
		ssize_t n = reader_take(&r, f->l.peer, buf, len < sizeof(buf) ? len : sizeof(buf));

		if (n > 0) {
			pattern_check(buf, f->replied, n, "reply");
			f->replied += n;
			len -= n;
			last = now();
			continue;
		}
		expect(n == -EAGAIN, "%zu bytes of a reply to come: %s", len, result_name(n));
		f->diary->waits = true;
		expect(now() - last < STALL_S, "%zu bytes of a reply don't come", len);
		f->diary->waits = false;
		readable_within(f->l.peer, 10);
	}
	set_blocking(f->l.peer, true);
	reader_close(&r);
	f->peer_ahead = !splice && behind_parser(f);
}

/*
 * A psock that stays has a message program's target and what is left of its apply_bytes, too; out
 * of the map there is no such target.
 */
static void op_reply(struct fuzz *f, const struct op *op)
{
	bool splice = by_splice(f) && (op->z % 4 || behind_parser(f));
	size_t len = size_from(op->x, MAX_REPLY);

	if (f->keeps_program && f->t->mode == MODE_MSG_APPLY)
		return;
	reply(f, len, len / MAX_REPLY_PIECES + size_from(op->y, MAX_REPLY), splice);
}

/*
 * Of a psock that another map holds, an sk_msg program is never taken, and a verdict program's
 * place isn't given again by older kernels. A second parser would do on newer ones, but for
 * sk_psock_init_strp(): it initialises a work that may be queued, and the workqueue dies of it.
 */
static bool program_stays(const struct fuzz *f)
{
	return f->in_bare && (f->t->mode == MODE_SKB_PARSER || BIT(f->t->mode) & MSG_MODES ||
			      !kernel.gives_second_verdict);
}

/*
 * Bytes that are still on their way when both ends are in the map will be overtaken. When the
 * receiver's window is full, the last of them don't arrive before others are read.
 */
static bool all_arrive(const struct fuzz *f)
{
	double end = now() + ARRIVAL_S;
	int under_way = 0;

	if (f->t->family == AF_UNIX)
		return true;
	while (!ioctl(f->l.peer, TIOCOUTQ, &under_way) && under_way) {
		if (now() > end)
			return false;
		sleep_ms(1);
	}
	return true;
}

static bool may_return(const struct fuzz *f, bool keeps_program)
{
	return !keeps_program || BIT(f->t->mode) & MSG_MODES;
}

/* A psock takes no second sk_msg program, but it may be put into a map that has none. */
static void insert_rx(struct fuzz *f)
{
	bool again = f->keeps_program;

	need_programs(f);
	if (again)
		expect_result(sockmap_detach_programs(f->l.map), 0, "detach");
	expect_result(sockmap_insert_patiently(f->l.map, f->l.rx), 0, "insert of rx");
	if (again)
		expect_result(sockmap_attach_programs(f->l.map), 0, "attach");
	f->keeps_program = false;
}

static void enter_map(struct fuzz *f)
{
	insert_rx(f);
	link_insert_others(&f->l);
	f->in_map = true;
	f->first = f->taken;
}

/*
 * Behind a parser, stock kernels count bytes as read when they are queued and again when recvmsg()
 * takes them; plain TCP then begins too far on. A splice puts that right.
 */
static bool may_leave(const struct fuzz *f)
{
	return f->in_map && (f->t->mode != MODE_SKB_PARSER ||
			     (by_splice(f) && kernel.traces_reading));
}

static void settle(struct fuzz *f)
{
	if (f->rx_ahead) {
		drain(f);
		send_more(f, RECORD, RECORD);
		drain(f);
	}
	if (f->peer_ahead)
		reply(f, RECORD, RECORD, true);
}

/*
 * Does splice(2) know which of the bytes in two queues are older? All in ingress_msg have to be the
 * socket's own, and none in a parser, which loses the beginning of a record. One that knows no
 * records may have kept any.
 */
static bool finds_order(struct fuzz *f)
{
	if (!by_splice(f))
		return false;
	if (!behind_parser(f))
		return f->t->mode == MODE_SKB_PASS;
	complete_record(f);
	if (!f->record || !all_arrive(f))
		return false;
	sleep_ms(PARSED_MS);
	return true;
}

/*
 * What is still queued in the psock when it goes is lost on every kernel. Where another map holds
 * it, what comes now is behind what is there. Only a map that has programs takes them away.
 */
static void prepare_to_leave(struct fuzz *f)
{
	settle(f);
	if (f->in_bare && finds_order(f))
		f->out_of_order |= outstanding(f) > 0;
	else
		drain(f);
	need_programs(f);
	f->keeps_program = program_stays(f);
}

static void leave_map(struct fuzz *f)
{
	prepare_to_leave(f);
	link_remove(&f->l);
	f->in_map = false;
}

/*
 * May rx be put into the map with bytes queued? They are of plain TCP; where read(2) would give
 * them out in another order, it has to be kept from them until they are taken.
 *
 * Beside sk_msg programs: if none of them was there before the psock, whose first reader sees them.
 * For a verdict program: if the kernel leaves a trace of how much of an skb was read.
 * For a parser: if it knows its records. The one that doesn't takes what was read for a part.
 */
static bool may_enter_with_bytes(const struct fuzz *f)
{
	if (!by_splice(f))
		return false;
	switch (f->t->mode) {
	case MODE_MSG_INGRESS:
	case MODE_MSG_APPLY:
		return !f->in_bare;
	case MODE_SKB_PASS:
		return kernel.traces_reading || f->t->family == AF_UNIX;
	case MODE_SKB_PARSER:
		return kernel.traces_reading && f->record;
	}
	return false;
}

static void op_map(struct fuzz *f, const struct op *op)
{
	if (!f->l.map)
		return;
	if (f->in_map) {
		if (may_leave(f))
			leave_map(f);
		return;
	}
	if (!may_return(f, f->keeps_program))
		return;
	if (!(op->x % 4 && may_enter_with_bytes(f) && all_arrive(f)))
		drain(f);
	f->out_of_order = outstanding(f) > 0;
	enter_map(f);
}

static void op_bare(struct fuzz *f, const struct op *op)
{
	(void)op;
	if (!f->l.map || f->in_bare)
		return;
	bare_sockmap_insert(f->l.rx);
	f->in_bare = true;
}

static void op_replace(struct fuzz *f, const struct op *op)
{
	(void)op;
	if (!may_leave(f) || !may_return(f, program_stays(f)))
		return;
	prepare_to_leave(f);
	expect_result(sockmap_replace(f->l.map, f->l.rx, f->spare), 0, "replace");
	insert_rx(f);
	f->first = f->taken;
}

static void op_detach(struct fuzz *f, const struct op *op)
{
	(void)op;
	if (!f->l.map || !f->has_programs)
		return;
	expect_result(sockmap_detach_programs(f->l.map), 0, "detach");
	f->has_programs = false;
}

static void *crowd_splice(void *arg)
{
	struct fuzz *f = arg;
	size_t sum = 0;

	for (int i = 0; i < 6; i++) {
		ssize_t n = splice_to(f->l.rx, f->p.wr, 5003, SPLICE_F_NONBLOCK);

		expect(n > 0 || n == -EAGAIN, "splice of several: %s", result_name(n));
		sum += n > 0 ? n : 0;
	}
	return (void *)sum;
}

/* Several splices into one pipe at a time: its lock keeps even their order. */
static void op_crowd(struct fuzz *f, const struct op *op)
{
	pthread_t threads[CROWD];
	void *sum;

	(void)op;
	if (f->t->use_read || !served(f) || !outstanding(f))
		return;
	for (int i = 0; i < CROWD; i++)
		thread_start(&threads[i], crowd_splice, f);
	for (int i = 0; i < CROWD; i++) {
		pthread_join(threads[i], &sum);
		if (!sum)
			continue;
		run_add(f, false, f->taken, (size_t)sum);
		f->taken += (size_t)sum;
	}
	expect(f->taken <= f->sent, "several splices took more than was sent");
}

static void expect_woken(struct fuzz *f, struct call *c, size_t len)
{
	ssize_t n;

	send_more(f, len, len);
	complete_record(f);
	f->diary->waits = true;
	n = call_end(c, "bytes");
	f->diary->waits = false;
	expect(n > 0 && n <= (ssize_t)outstanding(f), "a call that was asleep: %s", result_name(n));
	pattern_check(c->buf, f->taken, n, "a call that was asleep");
	f->taken += n;
}

/* Blocked read(2) on a sockmap socket answers a signal with EAGAIN. */
static void expect_interrupted(struct fuzz *f, struct call *c)
{
	ssize_t n;

	pthread_kill(c->thread, SIGUSR1);
	n = call_end(c, "a signal");
	expect(n == -EINTR || (f->t->use_read && n == -EAGAIN), "a signal: %s", result_name(n));
}

/* A call that sleeps because nothing is there, and one of the things that can happen to it. */
static void op_asleep(struct fuzz *f, const struct op *op)
{
	size_t len = size_from(op->x, 65536);
	struct call c;

	drain(f);
	if (!f->t->use_read && !served(f))
		return;
	set_blocking(f->l.rx, true);
	call_start_asleep(&c, f->t, f->l.rx, 1 + op->z % 70000);
	switch (op->y % 4) {
	case 0:
		expect_interrupted(f, &c);
		break;
	case 1:
		if (op->z % 4 == 0 && f->loaded && !f->t->use_read) {
			unload(f);
			load(f);
		}
		expect_interrupted(f, &c);
		break;
	case 2:
		if (may_leave(f) && !f->t->use_read && !f->rx_ahead && !f->peer_ahead)
			leave_map(f);
		expect_woken(f, &c, len);
		break;
	default:
		expect_woken(f, &c, len);
	}
	set_blocking(f->l.rx, false);
}

static const struct {
	const char *name;
	unsigned int weight;	/* of 1000 */
	void (*run)(struct fuzz *f, const struct op *op);
} operations[] = {
	{ "send", 245, op_send },
	{ "splice", 282, op_splice },
	{ "pipe-read", 140, op_pipe_read },
	{ "recv", 60, op_recv },
	{ "peek", 50, op_peek },
	{ "tee", 40, op_tee },
	{ "pipe-write", 30, op_pipe_write },
	{ "poll", 30, op_poll },
	{ "pipe-resize", 20, op_pipe_resize },
	{ "crowd", 15, op_crowd },
	{ "drain", 14, op_drain },
	{ "trunc", 10, op_trunc },
	{ "asleep", 10, op_asleep },
	{ "map", 16, op_map },
	{ "copy", 10, op_copy },
	{ "reply", 10, op_reply },
	{ "replace", 5, op_replace },
	{ "bare", 7, op_bare },
	{ "detach", 4, op_detach },
	{ "reload", 2, op_reload },
};

static void one_op(struct fuzz *f)
{
	struct diary *diary = f->diary;
	struct op op = { draw(&f->rng), draw(&f->rng), draw(&f->rng) };
	unsigned int at = draw(&f->rng) % 1000;
	size_t i = 0;

	while (at >= operations[i].weight)
		at -= operations[i++].weight;
	snprintf(diary->trail[diary->ops % TRAIL], sizeof(diary->trail[0]),
		 "%ld %s %u %u, %zu queued, %zu in the pipe", diary->ops, operations[i].name, op.x,
		 op.y, outstanding(f), runs_bytes(f));
	diary->ops++;
	operations[i].run(f, &op);
}

static void expect_end(struct fuzz *f, bool was_reset)
{
	double end = now() + STALL_S;
	ssize_t n;

	do {
		empty_pipe(f, runs_bytes(f));
		n = take(f, 65536, 0);
		if (n == -EAGAIN)
			readable_within(f->l.rx, 10);
	} while (n > 0 || (n == -EAGAIN && now() < end));
	f->diary->waits = n == -EAGAIN;
	if (was_reset)
		expect(!n || n == -ECONNRESET, "after RST: %s", result_name(n));
	else
		expect(!n && !outstanding(f), "after FIN: %s, %zu bytes to come", result_name(n),
		       outstanding(f));
}

/* The connection ends in one of many ways; what is in the pipe stays whole. */
static void last_op(struct fuzz *f)
{
	switch (draw(&f->rng) % 6) {
	case 0:
		/* A unix socket's shutdown() takes its peer out of the map: what is queued goes. */
		if (f->l.via >= 0 || f->t->family == AF_UNIX)
			drain(f);
		complete_record(f);
		link_finish(&f->l, 0);
		expect_end(f, false);
		break;
	case 1:
		drain(f);
		reset(f->l.peer);
		expect_end(f, true);
		break;
	case 2:
		link_close(&f->l);
		break;
	case 3:
		if (f->in_map && !may_leave(f))
			break;
		if (f->in_map)
			leave_map(f);
		if (f->l.map)
			sockmap_close(f->l.map);
		op_send(f, &(struct op){ 3, 3, 3 });
		drain(f);
		break;
	case 4:
		close(f->l.rx);
		break;
	default:
		drain(f);
	}
	empty_pipe(f, runs_bytes(f));
	pipe_expect_empty(&f->p);
}

/* A unix socket counts each of many small pieces as some 700 bytes, and send() waits for room. */
static void make_room(int fd)
{
	int size = 256 * IN_FLIGHT;

	expect(!setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)),
	       "SO_SNDBUFFORCE: %s", strerror(errno));
}

static void ignore(int sig)
{
	(void)sig;
}

void learn_kernel(void)
{
	kernel.traces_reading = sockmap_traces_reading();
	kernel.gives_second_verdict = sockmap_gives_second_verdict();
}

void run_episode(const struct test *t, uint64_t seed, struct diary *diary)
{
	static struct fuzz f;
	struct sigaction no_restart = { .sa_handler = ignore };
	unsigned int ops;

	sigaction(SIGUSR1, &no_restart, NULL);
	f.t = t;
	f.diary = diary;
	f.rng = seed;
	f.loaded = ko_loaded();
	link_connect(&f.l, t);
	if (draw(&f.rng) % 2 && t->mode == MODE_SKB_PARSER && kernel.traces_reading) {
		f.record = RECORD;
		link_use_records(&f.l, RECORD);
	}
	link_insert(&f.l);
	f.in_map = f.l.map;
	f.has_programs = true;
	set_nonblock(f.l.rx);
	set_nodelay(f.l.rx);
	set_nodelay(f.l.tx);
	set_nodelay(f.l.peer);
	if (t->family == AF_UNIX) {
		make_room(f.l.tx);
		make_room(f.l.peer);
	}
	f.spare = stream_pair(t->family, &f.spare_peer);
	pipe_open(&f.p, 4096 << draw(&f.rng) % 7);
	set_nonblock(f.p.wr);
	ops = 10 + draw(&f.rng) % OPS_MAX;
	for (unsigned int i = 0; i < ops; i++)
		one_op(&f);
	last_op(&f);
	if (!f.loaded && !t->use_read && t->mode != MODE_PLAIN)
		load(&f);
}
