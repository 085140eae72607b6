// SPDX-License-Identifier: GPL-2.0
/*
 * The end of a connection: FIN, RST, shutdown, close, seen by a reader that comes before it,
 * after it, and with bytes still queued. On a stock kernel this is where splice(2) loses data
 * without a word: it reports 0 with everything still in the psock.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "pattern.h"
#include "take.h"

#define BYTES		20000
#define ARRIVES_MS	100
#define ECHOED		400000	/* more than the buffers of both directions hold */
#define ECHO_BUFFER	4096

struct scene {
	struct link l;
	struct reader r;
	char buf[BYTES];
};

static struct scene *open_scene(const struct test *t)
{
	static struct scene s;

	link_open(&s.l, t);
	reader_open(&s.r, t);
	/* Nothing here should wait for long: a wait for what never comes ends in EAGAIN. */
	set_rcvtimeo(s.l.rx, PATIENCE_MS);
	return &s;
}

static ssize_t take(struct scene *s)
{
	return reader_take(&s->r, s->l.rx, s->buf, sizeof(s->buf));
}

static void expect_stream(struct scene *s, size_t size)
{
	for (size_t got = 0; got < size; ) {
		ssize_t n = take(s);

		expect(n > 0, "%zu of %zu bytes, then %s", got, size, result_name(n));
		pattern_check(s->buf, got, n, "before the end");
		got += n;
	}
}

static void expect_eof(struct scene *s)
{
	expect_result(take(s), 0, "end of file");
	expect_result(take(s), 0, "end of file, asked again");
}

/* What ends the stream, behind `sent` bytes. */
static void end_fin(struct scene *s, size_t sent)
{
	link_finish(&s->l, sent);
}

static void end_close(struct scene *s, size_t sent)
{
	link_finish(&s->l, sent);
	close(s->l.peer);
}

/* Nothing shuts down before. */
static void end_just_close(struct scene *s, size_t sent)
{
	(void)sent;
	close(s->l.peer);
}

static void await_events(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	expect(poll(&p, 1, PATIENCE_MS) == 1, "poll: not 0x%x within %d ms", events, PATIENCE_MS);
}

/* What the reset makes of the connection is no error of the direction that had ended. */
static void end_fin_reset(struct scene *s, size_t sent)
{
	link_finish(&s->l, sent);
	await_events(s->l.rx, POLLRDHUP);
	reset(s->l.peer);
	await_events(s->l.rx, 0);
}

static void end_shut_rd(struct scene *s, size_t sent)
{
	if (sent)
		await_readable(s->l.rx);
	expect(!shutdown(s->l.rx, SHUT_RD), "shutdown: %s", strerror(errno));
}

static void end_reset(struct scene *s, size_t sent)
{
	if (sent)
		await_readable(s->l.rx);
	reset(s->l.peer);
}

struct ending {
	void (*end)(struct scene *s, size_t sent);
	size_t sent;
	ssize_t result;		/* of the first call that finds no bytes */
};

static void ends(const struct test *t)
{
	const struct ending *e = t->b->arg;
	struct scene *s = open_scene(t);

	if (e->sent)
		send_pattern(s->l.tx, 0, e->sent, 4000);
	e->end(s, e->sent);
	expect_stream(s, e->sent);
	if (e->result)
		expect_result(take(s), e->result, "the end");
	expect_eof(s);
}

static void ends_blocked(const struct test *t)
{
	const struct ending *e = t->b->arg;
	struct scene *s = open_scene(t);
	struct call c;

	set_rcvtimeo(s->l.rx, 0);
	call_start_asleep(&c, t, s->l.rx, 1000);
	e->end(s, 0);
	expect_result(call_end(&c, "the end"), e->result, "the blocked call");
	expect_eof(s);
}

/* FIN while nobody reads, then one call per byte: none may be taken for the end. */
static void bytewise(const struct test *t)
{
	struct scene *s = open_scene(t);

	send_pattern(s->l.tx, 0, 50, 50);
	link_finish(&s->l, 50);
	for (int i = 0; i < 50; i++) {
		expect_result(reader_take(&s->r, s->l.rx, s->buf, 1), 1, "byte %d", i);
		pattern_check(s->buf, i, 1, "byte by byte");
	}
	expect_eof(s);
}

/* The FIN has a place in the stream, which is read like the bytes before it. */
static void fin_read(const struct test *t)
{
	struct scene *s = open_scene(t);

	send_pattern(s->l.tx, 0, 1000, 1000);
	link_finish(&s->l, 1000);
	expect_stream(s, 1000);
	expect_eof(s);
	expect(!tcp_unread(s->l.rx), "%zu bytes to be read behind the end",
	       tcp_unread(s->l.rx));
}

/* The other direction of a connection goes on after this one has ended. */
static void half_closed(const struct test *t)
{
	struct scene *s = open_scene(t);
	struct reader r;

	send_pattern(s->l.tx, 0, 1000, 1000);
	link_finish(&s->l, 1000);
	expect_stream(s, 1000);
	expect_eof(s);
	reader_open(&r, t);
	set_nonblock(s->l.peer);
	send_pattern(s->l.rx, 0, 5000, 1000);
	receive(&r, s->l.peer, 0, 5000, 4096);
}

/* connect(AF_UNSPEC) resets the connection; after that it is a socket that was never connected. */
static int disconnect(int fd)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };

	return connect(fd, &unspec, sizeof(unspec)) ? -errno : 0;
}

static void disconnected(const struct test *t)
{
	struct scene *s = open_scene(t);

	expect_result(disconnect(s->l.rx), 0, "disconnect");
	expect_result(take(s), -ECONNRESET, "the disconnected connection");
	expect_result(take(s), -ENOTCONN, "a disconnected socket");
}

/* The call that waits is told in another way than those that come later. */
static void disconnected_blocked(const struct test *t)
{
	struct scene *s = open_scene(t);
	struct call c;
	int err;

	set_rcvtimeo(s->l.rx, 0);
	call_start_asleep(&c, t, s->l.rx, 1000);
	err = disconnect(s->l.rx);
	if (err == -EBUSY)
		skip("this kernel disconnects no socket that somebody waits for");
	expect_result(err, 0, "disconnect");
	expect_result(call_end(&c, "the disconnect"), -EPIPE, "the blocked call");
	expect_result(take(s), -ECONNRESET, "the disconnected connection");
	expect_result(take(s), -ENOTCONN, "a disconnected socket");
}

/* A listening socket may be in a map too. It has no peer, hence no name in our library's. */
static void listening(const struct test *t)
{
	struct reader r;
	char buf[10];
	int fd = tcp_listen(t->family);

	if (t->mode != MODE_PLAIN)
		bare_sockmap_insert(fd);
	reader_open(&r, t);
	set_nonblock(fd);
	expect_result(reader_take(&r, fd, buf, sizeof(buf)), -ENOTCONN, "a listening socket");
}

/*
 * The FIN of another connection, that the verdict program sends here with its bytes. This one goes
 * on; what readers are told all the same is for the kernel to say.
 */
static void redirected_fin(const struct test *t)
{
	struct scene *s = open_scene(t);
	ssize_t want;

	send_pattern(s->l.tx, 0, 1000, 1000);
	expect_stream(s, 1000);
	expect(!shutdown(s->l.tx, SHUT_WR), "shutdown: %s", strerror(errno));
	sleep_ms(ARRIVES_MS * slowness);
	want = recv(s->l.rx, s->buf, 1, MSG_PEEK | MSG_DONTWAIT);
	if (want < 0)
		want = -errno;
	note("recv(2) says %s", result_name(want));
	set_nonblock(s->l.rx);
	expect_result(take(s), want, "behind a FIN that was redirected");
	expect_result(take(s), want, "behind a FIN that was redirected, asked again");
}

/*
 * The program sends all that comes out by the very socket, and the peer reads nothing of it. What
 * can't leave is no reader's: for one the stream has ended, with no byte in it.
 */
static void echoed(const struct test *t)
{
	struct sockmap *map = sockmap_open_echo();
	static struct scene s;
	struct link *l = &s.l;

	expect(map, "sockmap_open_echo: %s", strerror(errno));
	link_connect(l, t);
	set_buffer(l->rx, SO_SNDBUF, ECHO_BUFFER);
	set_buffer(l->peer, SO_RCVBUF, ECHO_BUFFER);
	reader_open(&s.r, t);
	set_rcvtimeo(l->rx, PATIENCE_MS);
	expect_result(sockmap_insert(map, l->rx), 0, "insert of rx");
	send_pattern(l->peer, 0, ECHOED, 4000);
	expect(!shutdown(l->peer, SHUT_WR), "shutdown: %s", strerror(errno));
	await_events(l->rx, POLLRDHUP);
	await_readable(l->peer);
	expect_eof(&s);
}

/*
 * read(2) is asked where the bytes are at stake. Where a blocked reader or an errno is, the
 * measure is splice on plain TCP, because stock recvmsg often answers EAGAIN there.
 */
#define ENDS(text, in_modes, ...) { .group = "eof", .name = text, .run = ends, .modes = in_modes, \
	.flags = ASK_READ, .arg = &(const struct ending){ __VA_ARGS__ } }
#define ENDS_BLOCKED(text, in_modes, ...) { .group = "eof", .name = text, .run = ends_blocked, \
	.modes = in_modes, .arg = &(const struct ending){ __VA_ARGS__ } }
#define ANY (ALL_MODES | AND_UNIX)
#define EOF_CASE(fn, text, ...) { .group = "eof", .name = text, .run = fn, __VA_ARGS__ }

static const struct behaviour behaviours[] = {
	ENDS("fin", ANY, end_fin, 0, 0),
	ENDS("data-fin", ANY, end_fin, BYTES, 0),
	ENDS("byte-fin", ANY, end_fin, 1, 0),
	ENDS_BLOCKED("fin-blocked", ANY, end_fin, 0, 0),
	ENDS("close", ANY, end_close, 0, 0),
	ENDS("just-close", ANY, end_just_close, 0, 0),
	ENDS_BLOCKED("just-close-blocked", ANY, end_just_close, 0, 0),
	ENDS("data-close", ANY, end_close, BYTES, 0),
	ENDS("shut-rd", ANY, end_shut_rd, 0, 0),
	ENDS("data-shut-rd", ANY, end_shut_rd, 4000, 0),
	ENDS_BLOCKED("shut-rd-blocked", ANY, end_shut_rd, 0, 0),
	ENDS("reset", ALL_MODES, end_reset, 0, -ECONNRESET),
	ENDS("data-reset", ALL_MODES, end_reset, 4000, -ECONNRESET),
	ENDS_BLOCKED("reset-blocked", ALL_MODES, end_reset, 0, -ECONNRESET),
	ENDS("fin-reset", ALL_MODES, end_fin_reset, 0, 0),
	/* A parser passes no FIN. */
	EOF_CASE(fin_read, "fin-read", .modes = ALL_MODES & ~BIT(MODE_SKB_PARSER)),
	EOF_CASE(bytewise, "bytewise", .modes = ANY, .flags = ASK_READ),
	EOF_CASE(half_closed, "half-closed",
		 .modes = (ALL_MODES & ~BIT(MODE_SKB_REDIRECT)) | AND_UNIX, .flags = ASK_READ),
	EOF_CASE(disconnected, "disconnected", .modes = ALL_MODES),
	EOF_CASE(disconnected_blocked, "disconnected-blocked", .modes = ALL_MODES),
	EOF_CASE(echoed, "echoed", .modes = BIT(MODE_SKB_PASS), .flags = ASK_READ),
	EOF_CASE(redirected_fin, "redirected-fin", .modes = BIT(MODE_SKB_REDIRECT),
		 .flags = ASK_READ),
	EOF_CASE(listening, "listening", .modes = BIT(MODE_MSG_INGRESS) | BIT(MODE_PLAIN)),
};

const struct suite eof_suite = SUITE(behaviours);
