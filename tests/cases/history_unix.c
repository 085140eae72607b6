// SPDX-License-Identifier: GPL-2.0
/*
 * The same as history.c for what only unix sockets have: out-of-band bytes within the queue, and a
 * program that is called for one skb each time that one is sent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "pattern.h"
#include "scene.h"
#include "take.h"

#define WAITING	1000

/* A unix socket leaves its map: what wasn't asked for is where it was. */
static void leaves_with_older(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	for (int i = 0; i < 10; i++)
		scene_send(&s, WAITING);
	scene_insert(&s);
	scene_take(&s, WAITING);
	scene_remove(&s);
	scene_take_all(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

static void send_out_of_band(struct scene *s)
{
	if (send(s->l.peer, "!", 1, MSG_OOB) != 1)
		skip("this kernel has no out-of-band bytes for unix sockets");
}

/* An out-of-band byte came before the program: it is in no stream, and stops a reader in front. */
static void out_of_band(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	scene_send(&s, WAITING);
	send_out_of_band(&s);
	scene_send(&s, WAITING);
	scene_insert(&s);
	scene_take_at_once(&s, WAITING, "in front of it");
	scene_take_all(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

/* What is left of an out-of-band byte that was read. */
static void leave_tombstone(struct scene *s)
{
	char byte;

	send_out_of_band(s);
	expect(recv(s->l.rx, &byte, 1, MSG_OOB) == 1 && byte == '!', "MSG_OOB: %s",
	       strerror(errno));
}

/* It isn't a message without bytes: the first call finds those behind it. */
static void behind_tombstone(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	leave_tombstone(&s);
	scene_send(&s, WAITING);
	scene_insert(&s);
	scene_take_at_once(&s, WAITING, "behind it");
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

/* The program gets it as any other skb, with a byte that was read. */
static void tombstone_passed(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	leave_tombstone(&s);
	scene_insert(&s);
	scene_send(&s, WAITING);
	scene_take_all(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

#define SMALL_RCVBUF	4096
#define REDIRECTED	8000

/*
 * Of three skbs that came before the program the first two are redirected, to a socket that has room
 * for one and that nobody reads. The third doesn't wait for that, but for a while, in which it can't
 * be told from one that is on its way to ingress_msg.
 */
static void others_unread(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	set_buffer(s.l.via, SO_RCVBUF, SMALL_RCVBUF);
	send_pattern(s.l.peer, 0, 2 * REDIRECTED, REDIRECTED);
	s.taken = s.sent = 2 * REDIRECTED;
	expect_result(sockmap_route(s.l.map, s.l.peer, s.l.via), 0, "route");
	expect_result(sockmap_insert(s.l.map, s.l.via), 0, "insert of via");
	scene_send(&s, WAITING);
	scene_insert(&s);
	scene_send(&s, WAITING);
	scene_send(&s, WAITING);
	set_blocking(s.l.rx, true);
	scene_take(&s, s.sent - s.taken);
}

#define SPIN_S		2	/* as many of the bytes as come in that time */
#define SPIN_BYTES	40000
#define SPIN_CHUNK	2

/* What a program redirects is in the queue of its socket for a moment, and not for who reads that. */
static void source_spins(const struct test *t)
{
	static struct sender tx;
	double stop = now() + SPIN_S;
	struct scene s;
	char buf[4096];

	scene_open(&s, t);
	set_nonblock(s.l.via);
	link_insert(&s.l);
	expect_result(reader_take(&s.r, s.l.via, buf, 1), -EAGAIN, "nothing there");
	sender_start(&tx, s.l.tx, 0, SPIN_BYTES, SPIN_CHUNK);
	while (s.taken < SPIN_BYTES && now() < stop) {
		ssize_t n;

		for (int i = 0; i < 20; i++)
			expect_result(reader_take(&s.r, s.l.via, buf, 1), -EAGAIN,
				      "what is redirected");
		n = reader_take(&s.r, s.l.rx, buf, sizeof(buf));
		expect(n > 0 || n == -EAGAIN, "the target: %s", result_name(n));
		if (n > 0) {
			pattern_check(buf, s.taken, n, "the target");
			s.taken += n;
		}
	}
	note("%llu bytes", (unsigned long long)s.taken);
	expect(s.taken, "no byte in %d s", SPIN_S);
}

#define FIN_MS (100 * slowness)

/* The FIN of a TCP connection is redirected to a unix socket, where it has no meaning. */
static void tcp_fin_redirected(const struct test *t)
{
	char byte;
	struct scene s;
	int tx, via;
	ssize_t n;

	scene_open(&s, t);
	via = stream_pair(AF_INET, &tx);
	scene_insert_mere_target(&s, via, via);
	send_pattern(tx, 0, WAITING, WAITING);
	s.sent = WAITING;
	scene_take_all(&s);
	expect(!shutdown(tx, SHUT_WR), "shutdown: %s", strerror(errno));
	sleep_ms(FIN_MS);
	n = reader_take(&s.r, s.l.rx, &byte, 1);
	expect(n == -EPIPE || n == -EAGAIN, "behind a FIN that was redirected: %s", result_name(n));
	scene_goes_on(&s);
	close(s.l.peer);
	scene_expect_end(&s);
}

#define HISTORY(fn, text, ...) { .group = "history", .name = text, .run = fn, \
	.modes = BIT(MODE_SKB_PASS) | BIT(MODE_PLAIN) | AND_UNIX, .flags = UNIX_ONLY, __VA_ARGS__ }

static const struct behaviour behaviours[] = {
	HISTORY(leaves_with_older, "leaves-with-older"),
	HISTORY(out_of_band, "out-of-band"),
	HISTORY(tombstone_passed, "tombstone-passed"),
	/* 6.1 stops there by itself, outside of a sockmap. */
	{ .group = "history", .name = "behind-tombstone", .run = behind_tombstone,
	  .flags = UNIX_ONLY, .modes = BIT(MODE_SKB_PASS) | AND_UNIX },
	{ .group = "history", .name = "source-spins", .run = source_spins, .flags = UNIX_ONLY,
	  .modes = BIT(MODE_SKB_REDIRECT) | AND_UNIX },
	{ .group = "history", .name = "tcp-fin-redirected", .run = tcp_fin_redirected,
	  .flags = UNIX_ONLY, .modes = BIT(MODE_SKB_REDIRECT) | AND_UNIX },
	{ .group = "history", .name = "others-unread", .run = others_unread, .flags = UNIX_ONLY,
	  .modes = BIT(MODE_SKB_REDIRECT) | AND_UNIX },
};

const struct suite history_unix_suite = SUITE(behaviours);
