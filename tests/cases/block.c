// SPDX-License-Identifier: GPL-2.0
/*
 * When a reader waits, for how long, and what ends the wait.
 *
 * The measure is splice(2) on plain TCP: the socket file's O_NONBLOCK and SO_RCVTIMEO decide, and
 * SPLICE_F_NONBLOCK and the pipe's O_NONBLOCK speak of the pipe only. read(2) isn't asked about
 * signals: a blocked read on a sockmap socket answers them with EAGAIN on stock kernels.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net.h"
#include "pattern.h"
#include "pipe_io.h"
#include "take.h"

#define TIMEOUT_MS	200
#define TIMEOUT_TRIES	3
#define SLEEP_MS	60	/* long enough to see that a call goes on sleeping */
#define LATE_MS		(1200 * slowness)
#define TIMEOUT_NAPS_MS	300
#define LATE_NAPS_MS	200	/* some of the naps that a reader behind a program takes */
#define LONG		500000
#define SIGIO_TRIES	10
#define SIGIO_BYTES	(SOCKMAP_APPLY_BYTES / SIGIO_TRIES)	/* one message each, in any mode */

static atomic_int handled;

static void count_signal(int sig)
{
	(void)sig;
	handled++;
}

static void handle(int sig, int flags)
{
	struct sigaction sa = { .sa_handler = count_signal, .sa_flags = flags };

	expect(!sigaction(sig, &sa, NULL), "sigaction: %s", strerror(errno));
}

static void expect_bytes(struct call *c, ssize_t want, const char *event)
{
	expect_result(call_end(c, event), want, "the call, after %s", event);
	pattern_check(c->buf, 0, want, event);
}

static void nonblock_empty(const struct test *t)
{
	struct reader r;
	struct link l;
	double begin;
	char buf[100];

	link_open(&l, t);
	reader_open(&r, t);
	set_nonblock(l.rx);
	begin = now();
	expect_result(reader_take(&r, l.rx, buf, sizeof(buf)), -EAGAIN, "nothing there");
	expect(now() - begin < 1, "EAGAIN took %.1f s", now() - begin);
	link_close(&l);
}

static void nonblock_data(const struct test *t)
{
	struct reader r;
	struct link l;
	char buf[1000];

	link_open(&l, t);
	reader_open(&r, t);
	set_nonblock(l.rx);
	send_pattern(l.tx, 0, sizeof(buf), sizeof(buf));
	await_readable(l.rx);
	expect_result(reader_take(&r, l.rx, buf, 600), 600, "the first part");
	pattern_check(buf, 0, 600, "the first part");
	expect_result(reader_take(&r, l.rx, buf, 600), 400, "the rest");
	pattern_check(buf, 600, 400, "the rest");
	expect_result(reader_take(&r, l.rx, buf, 600), -EAGAIN, "after the rest");
	link_close(&l);
}

/* More is asked for than is there: what is there comes at once. */
static void short_count(const struct test *t)
{
	struct call c;
	struct link l;

	link_open(&l, t);
	send_pattern(l.tx, 0, 1000, 1000);
	await_readable(l.rx);
	call_start(&c, t, l.rx, 60000);
	expect_bytes(&c, 1000, "1000 of 60000 bytes were there");
	link_close(&l);
}

static void waits(const struct test *t)
{
	struct call c;
	struct link l;

	link_open(&l, t);
	call_start_asleep(&c, t, l.rx, 4000);
	call_expect_asleep(&c, SLEEP_MS);
	send_pattern(l.tx, 0, 1000, 1000);
	expect_bytes(&c, 1000, "1000 bytes came");
	link_close(&l);
}

/* SPLICE_F_NONBLOCK and the pipe's O_NONBLOCK don't speak of waiting for a TCP socket. */
static void nonblock_pipe(const struct test *t)
{
	const unsigned int *splice_flags = t->b->arg;
	struct call c;
	struct link l;

	link_open(&l, t);
	call_prepare(&c, t, l.rx, 4000);
	c.r.flags = *splice_flags;
	if (!*splice_flags)
		set_nonblock(c.r.pipe[1]);
	if (t->family == AF_UNIX) {
		expect_result(reader_take(&c.r, l.rx, c.buf, 4000), -EAGAIN, "a unix socket");
		return;
	}
	call_run_asleep(&c, t);
	call_expect_asleep(&c, SLEEP_MS);
	send_pattern(l.tx, 0, 1000, 1000);
	expect_bytes(&c, 1000, "1000 bytes came");
	link_close(&l);
}

/* Whether a reader that waited got what came without a signal to those that don't wait. */
static bool comes_silently(const struct test *t, struct link *l)
{
	struct call c;

	handled = 0;
	call_start_asleep(&c, t, l->rx, 4000);
	send_pattern(l->tx, 0, SIGIO_BYTES, SIGIO_BYTES);
	expect_bytes(&c, SIGIO_BYTES, "bytes came");
	return !handled;
}

/*
 * SIGIO is for who doesn't wait. Some ways through a sockmap wake a reader twice, and the second
 * time it may have gone.
 */
static void no_sigio(const struct test *t)
{
	double end;
	struct link l;
	int tries = 0;

	link_open(&l, t);
	handle(SIGIO, SA_RESTART);
	expect(!fcntl(l.rx, F_SETOWN, getpid()) && !fcntl(l.rx, F_SETFL, O_ASYNC), "O_ASYNC: %s",
	       strerror(errno));
	while (!comes_silently(t, &l))
		expect(++tries < SIGIO_TRIES, "SIGIO with a reader that waits, %d times", tries);
	handled = 0;
	send_pattern(l.tx, 0, SIGIO_BYTES, SIGIO_BYTES);
	for (end = now() + PATIENCE_MS / 1000.0; !handled; sleep_ms(1))
		expect(now() < end, "no SIGIO with nobody waiting");
	link_close(&l);
}

static double time_out(const struct test *t, struct link *l)
{
	double begin = now();
	struct call c;

	call_start(&c, t, l->rx, 100);
	expect_result(call_end(&c, "the call began"), -EAGAIN, "SO_RCVTIMEO ran out");
	return now() - begin;
}

/* When a guest is starved of time its jiffies lag behind its clock, and a wait may end early. */
static void timeout(const struct test *t)
{
	struct link l;
	double took;

	link_open(&l, t);
	set_rcvtimeo(l.rx, TIMEOUT_MS);
	for (int i = 0; i < TIMEOUT_TRIES; i++) {
		took = time_out(t, &l);
		if (took > (TIMEOUT_MS - 10) / 1000.0)
			return;
	}
	fail("it came after %.3f s, %d times too early", took, TIMEOUT_TRIES);
}

/* Bytes within the time are delivered, and the next call has the whole time again. */
static void timeout_data(const struct test *t)
{
	struct call c;
	struct link l;

	link_open(&l, t);
	set_rcvtimeo(l.rx, LATE_MS);
	call_start_asleep(&c, t, l.rx, 4000);
	send_pattern(l.tx, 0, 500, 500);
	expect_bytes(&c, 500, "500 bytes came in time");
	set_rcvtimeo(l.rx, TIMEOUT_MS);
	call_start(&c, t, l.rx, 100);
	expect_result(call_end(&c, "the second call began"), -EAGAIN, "SO_RCVTIMEO ran out");
	link_close(&l);
}

static void signalled(const struct test *t, int sa_flags, int timeo_ms, struct link *l,
		      struct call *c)
{
	handle(SIGUSR1, sa_flags);
	link_open(l, t);
	if (timeo_ms)
		set_rcvtimeo(l->rx, timeo_ms);
	call_start_asleep(c, t, l->rx, 4000);
	pthread_kill(c->thread, SIGUSR1);
}

static void signal_interrupts(const struct test *t)
{
	struct call c;
	struct link l;

	signalled(t, 0, 0, &l, &c);
	expect_result(call_end(&c, "the signal"), -EINTR, "a handler without SA_RESTART");
	expect(handled == 1, "handler called %d times", handled);
	link_close(&l);
}

static void signal_restarts(const struct test *t)
{
	struct call c;
	struct link l;

	signalled(t, SA_RESTART, 0, &l, &c);
	call_expect_asleep(&c, SLEEP_MS);
	expect(handled == 1, "handler called %d times", handled);
	send_pattern(l.tx, 0, 1000, 1000);
	expect_bytes(&c, 1000, "the signal and 1000 bytes");
	link_close(&l);
}

/* sock_intr_errno(): with a timeout there is no restart, SA_RESTART or not. */
static void signal_timeout(const struct test *t)
{
	struct call c;
	struct link l;

	signalled(t, SA_RESTART, LATE_MS, &l, &c);
	expect_result(call_end(&c, "the signal"), -EINTR, "SA_RESTART with SO_RCVTIMEO");
	link_close(&l);
}

/* A signal that is already there doesn't keep a reader from bytes that are. */
static void signal_after_data(const struct test *t)
{
	struct call c;
	struct link l;

	signalled(t, 0, 0, &l, &c);
	expect_result(call_end(&c, "the signal"), -EINTR, "a handler without SA_RESTART");
	send_pattern(l.tx, 0, 1000, 1000);
	await_readable(l.rx);
	call_start(&c, t, l.rx, 4000);
	expect_bytes(&c, 1000, "the interrupted call was made again");
	link_close(&l);
}

/*
 * A parser that finds a message too long gives up for good. What it was to read stays in the
 * ordinary queue, and the reader offers it again and again, with a nap each time.
 */
static void open_given_up(struct link *l, const struct test *t)
{
	struct sockmap *map = sockmap_open_records(1 << 30);
	socklen_t len = sizeof(int);
	char buf[100];
	int err;

	expect(map, "sockmap_open_records: %s", strerror(errno));
	link_open_in(l, t, map);
	send_pattern(l->tx, 0, sizeof(buf), sizeof(buf));
	await_readable(l->rx);
	expect(!getsockopt(l->rx, SOL_SOCKET, SO_ERROR, &err, &len) && err == EMSGSIZE,
	       "SO_ERROR behind the parser: %s", strerror(err));
	if (recv(l->rx, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		skip("on this kernel readers get what a parser gave up");
	expect(readable_within(l->rx, 100), "nothing is left in the ordinary queue");
}

static void expect_timeout(const struct test *t, struct link *l)
{
	struct call c;
	double begin = now(), took;

	set_rcvtimeo(l->rx, TIMEOUT_NAPS_MS);
	call_start(&c, t, l->rx, 4000);
	expect_result(call_end(&c, "the call began"), -EAGAIN, "SO_RCVTIMEO ran out");
	took = now() - begin;
	expect(took > TIMEOUT_NAPS_MS / 2000.0, "SO_RCVTIMEO ran out after %.3f s", took);
	link_close(l);
}

static void timeout_behind_parser(const struct test *t)
{
	struct link l;

	open_given_up(&l, t);
	expect_timeout(t, &l);
}

/* The parser has the beginning of a record, and takes no more before the rest has come. */
static void timeout_within_record(const struct test *t)
{
	struct sockmap *map = sockmap_open_records(50000);
	struct link l;

	expect(map, "sockmap_open_records: %s", strerror(errno));
	link_open_in(&l, t, map);
	set_nodelay(l.tx);
	for (int i = 0; i < 3; i++) {
		send_pattern(l.tx, i * 100, 100, 100);
		sleep_ms(5);
	}
	expect_timeout(t, &l);
}

static void signal_behind_parser(const struct test *t)
{
	struct call c, again;
	struct link l;

	open_given_up(&l, t);
	handle(SIGUSR1, SA_RESTART);
	call_start_asleep(&c, t, l.rx, 4000);
	pthread_kill(c.thread, SIGUSR1);
	call_expect_asleep(&c, LATE_NAPS_MS);
	expect(handled == 1, "handler called %d times", handled);
	handle(SIGUSR1, 0);
	pthread_kill(c.thread, SIGUSR1);
	expect_result(call_end(&c, "the signal"), -EINTR, "a handler without SA_RESTART");

	set_rcvtimeo(l.rx, LATE_MS);
	handle(SIGUSR1, SA_RESTART);
	call_start_asleep(&again, t, l.rx, 4000);
	pthread_kill(again.thread, SIGUSR1);
	expect_result(call_end(&again, "the signal"), -EINTR, "SA_RESTART with SO_RCVTIMEO");
	link_close(&l);
}

struct shelling {
	pthread_t target;
	atomic_bool stop;
};

static void *run_shelling(void *arg)
{
	struct shelling *s = arg;

	while (!s->stop) {
		pthread_kill(s->target, SIGUSR1);
		usleep(200);
	}
	return NULL;
}

/*
 * Signals all the time, on their way through a long stream: what a call moved before one is its
 * result. -EINTR says that it moved nothing, so then there must be nothing in the pipe.
 */
static void signal_midway(const struct test *t)
{
	struct shelling shelling = { .target = pthread_self() };
	unsigned int interrupted = 0, cut_short = 0;
	size_t taken = 0;
	pthread_t thread;
	struct sender tx;
	struct link l;
	struct pipe p;

	handle(SIGUSR1, 0);
	link_open(&l, t);
	pipe_open(&p, 1 << 20);
	sender_start(&tx, l.tx, 0, LONG, 3001);
	thread_start(&thread, run_shelling, &shelling);
	while (taken < LONG) {
		ssize_t n = splice_to(l.rx, p.wr, LONG - taken, 0);

		expect(n > 0 || n == -EINTR, "at byte %zu: %s", taken, result_name(n));
		interrupted += n < 0;
		if (n < 0)
			n = 0;
		cut_short += n && readable_within(l.rx, 0);
		expect(pipe_bytes(&p) == (size_t)n, "%zd bytes spliced, %zu in the pipe", n,
		       pipe_bytes(&p));
		pipe_expect(&p, taken, n, 65536);
		taken += n;
	}
	shelling.stop = true;
	pthread_join(thread, NULL);
	sender_join(&tx);
	note("%u calls interrupted, %u stopped while there was more", interrupted, cut_short);
	link_close(&l);
}

/* A process, asleep in its call, that wants 1000 bytes and exits with 0 when they are right. */
static pid_t fork_reader(const struct test *t, int fd)
{
	double end = now() + PATIENCE_MS / 1000.0;
	struct reader r;
	char buf[4000];
	pid_t pid = fork();

	if (!pid) {
		reader_open(&r, t);
		expect_result(reader_take(&r, fd, buf, sizeof(buf)), 1000, "the child's call");
		pattern_check(buf, 0, 1000, "the child's call");
		_exit(0);
	}
	while (!taking(t, pid)) {
		expect(now() < end, "the child's call did not go to sleep");
		sleep_ms(1);
	}
	return pid;
}

/* SIGSTOP and SIGCONT have no handler: the call goes on as if nothing had been. */
static void stop_continue(const struct test *t)
{
	struct link l;
	pid_t pid;
	int status;

	link_open(&l, t);
	pid = fork_reader(t, l.rx);
	kill(pid, SIGSTOP);
	expect(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status), "it didn't stop");
	kill(pid, SIGCONT);
	sleep_ms(SLEEP_MS);
	expect(!waitpid(pid, &status, WNOHANG), "it didn't go on waiting");
	send_pattern(l.tx, 0, 1000, 1000);
	expect(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "it didn't exit");
	expect(!WEXITSTATUS(status), "the stopped reader failed");
	link_close(&l);
}

static void killed(const struct test *t)
{
	struct link l;
	double begin;
	pid_t pid;

	link_open(&l, t);
	pid = fork_reader(t, l.rx);
	begin = now();
	kill(pid, SIGKILL);
	expect(waitpid(pid, NULL, 0) == pid, "waitpid: %s", strerror(errno));
	expect(now() - begin < 1, "SIGKILL took %.1f s", now() - begin);
	link_close(&l);
}

#define BLOCK(fn, text, ...) { .group = "block", .name = text, .run = fn, \
	.modes = ALL_MODES | AND_UNIX, __VA_ARGS__ }
#define SPLICE_FLAGS(flags) .arg = &(const unsigned int){ flags }

static const struct behaviour behaviours[] = {
	BLOCK(nonblock_empty, "nonblock-empty", .flags = ASK_READ),
	BLOCK(nonblock_data, "nonblock-data", .flags = ASK_READ),
	BLOCK(short_count, "short-count", .flags = ASK_READ),
	BLOCK(waits, "waits", .flags = ASK_READ),
	BLOCK(nonblock_pipe, "splice-f-nonblock", SPLICE_FLAGS(SPLICE_F_NONBLOCK)),
	BLOCK(nonblock_pipe, "nonblocking-pipe", SPLICE_FLAGS(0)),
	BLOCK(no_sigio, "no-sigio"),
	BLOCK(timeout, "timeout", .flags = ASK_READ),
	BLOCK(timeout_data, "timeout-data", .flags = ASK_READ),
	BLOCK(signal_interrupts, "signal-interrupts"),
	BLOCK(signal_restarts, "signal-restarts"),
	BLOCK(signal_timeout, "signal-timeout"),
	BLOCK(signal_after_data, "signal-then-data"),
	BLOCK(signal_midway, "signal-midway"),
	{ .group = "block", .name = "signal-behind-parser", .run = signal_behind_parser,
	  .modes = BIT(MODE_SKB_PARSER) },
	{ .group = "block", .name = "timeout-behind-parser", .run = timeout_behind_parser,
	  .modes = BIT(MODE_SKB_PARSER) },
	{ .group = "block", .name = "timeout-within-record", .run = timeout_within_record,
	  .modes = BIT(MODE_SKB_PARSER) },
	BLOCK(stop_continue, "stop-continue", .limit = 3),
	BLOCK(killed, "killed", .flags = ASK_READ, .limit = 3),
};

const struct suite block_suite = SUITE(behaviours);
