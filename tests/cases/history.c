// SPDX-License-Identifier: GPL-2.0
/*
 * Sockets whose history recvmsg() doesn't know: bytes in two queues, or in one of them in part.
 *
 * A socket gets a verdict program and loses it, is in two maps at once, was read before it got
 * there. Stock recvmsg() then gives bytes twice, late, out of order or not at all. splice(2) gives
 * every byte once and in order for as long as the kernel still has it, so read(2) is asked only
 * where it is right.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "pattern.h"
#include "take.h"

#define WAITING	1000	/* bytes in ingress_msg when the history begins */
#define BEHIND	500	/* those that come to sk_receive_queue behind them */
#define MORE	5000	/* to see that the stream goes on */
#define FREED_MS (200 * slowness)

struct scene {
	struct link l;
	struct reader r;
	uint64_t sent, taken;
};

static void open_scene(struct scene *s, const struct test *t)
{
	memset(s, 0, sizeof(*s));
	link_connect(&s->l, t);
	if (t->family == AF_UNIX && t->mode != MODE_PLAIN && !sockmap_takes_unix())
		skip("this kernel takes no unix stream sockets into a sockmap");
	set_nonblock(s->l.rx);
	set_nodelay(s->l.peer);
	reader_open(&s->r, t);
}

/* Bytes of rx's own stream, all of which are there when this returns. */
static void send_own(struct scene *s, size_t size)
{
	send_pattern(s->l.peer, s->sent, size, size);
	s->sent += size;
	await_readable(s->l.rx);
}

static void take_some(struct scene *s, size_t size)
{
	receive(&s->r, s->l.rx, s->taken, size, size < 4096 ? size : 4096);
	s->taken += size;
}

static void take_all(struct scene *s)
{
	size_t size = s->sent - s->taken;

	receive_all(&s->r, s->l.rx, s->taken, size, 4096);
	s->taken += size;
}

static void expect_goes_on(struct scene *s)
{
	send_pattern(s->l.peer, s->sent, MORE, 1000);
	s->sent += MORE;
	take_all(s);
}

static void expect_end(struct scene *s)
{
	char byte;

	await_readable(s->l.rx);
	expect_result(reader_take(&s->r, s->l.rx, &byte, 1), 0, "behind all bytes");
}

static void expect_fin(struct scene *s)
{
	expect(!shutdown(s->l.peer, SHUT_WR), "shutdown: %s", strerror(errno));
	expect_end(s);
}

static void insert_rx(struct scene *s)
{
	if (s->l.map)
		expect_result(sockmap_insert(s->l.map, s->l.rx), 0, "insert of rx");
}

static void remove_rx(struct scene *s)
{
	if (s->l.map)
		expect_result(sockmap_remove(s->l.map, s->l.rx), 0, "removal of rx");
}

/* How a verdict program leaves a socket that another map holds. */
struct leaving {
	bool in_msg_map;	/* the other map has an sk_msg program; it has none otherwise */
	bool map_is_freed;	/* the kernel keeps the program then */
	size_t taken_before;
};

static void insert_in_both(struct scene *s, bool in_msg_map)
{
	struct sockmap *other;

	if (!s->l.map)
		return;
	if (in_msg_map) {
		other = sockmap_open(MODE_MSG_INGRESS);
		expect(other, "sockmap_open: %s", strerror(errno));
		expect_result(sockmap_insert(other, s->l.rx), 0, "insert of rx, other map");
	} else {
		bare_sockmap_insert(s->l.rx);
	}
	insert_rx(s);
}

static void leave(struct scene *s, bool map_is_freed)
{
	if (!map_is_freed) {
		remove_rx(s);
		return;
	}
	if (s->l.map)
		sockmap_close(s->l.map);
	sleep_ms(FREED_MS);
}

static void verdict_leaves(const struct test *t)
{
	const struct leaving *how = t->b->arg;
	struct scene s;

	open_scene(&s, t);
	insert_in_both(&s, how->in_msg_map);
	send_own(&s, WAITING);
	if (how->taken_before)
		take_some(&s, how->taken_before);
	leave(&s, how->map_is_freed);
	send_own(&s, BEHIND);
	take_all(&s);
	expect_goes_on(&s);
	expect_fin(&s);
}

/* Nothing but ingress_msg is there for a reader that comes before the bytes behind it do. */
static void verdict_leaves_alone(const struct test *t)
{
	struct scene s;

	open_scene(&s, t);
	insert_in_both(&s, false);
	send_own(&s, WAITING);
	leave(&s, false);
	take_all(&s);
	send_own(&s, BEHIND);
	take_all(&s);
	expect_goes_on(&s);
	expect_fin(&s);
}

static void verdict_leaves_asleep(const struct test *t)
{
	struct scene s;
	struct call c;
	int flags;

	open_scene(&s, t);
	insert_in_both(&s, false);
	send_own(&s, WAITING);
	take_some(&s, WAITING);
	flags = fcntl(s.l.rx, F_GETFL);
	expect(!fcntl(s.l.rx, F_SETFL, flags & ~O_NONBLOCK), "F_SETFL: %s", strerror(errno));
	call_start_asleep(&c, t, s.l.rx, 4000);
	leave(&s, false);
	send_pattern(s.l.peer, s.sent, BEHIND, BEHIND);
	expect_result(call_end(&c, "the program left and bytes came"), BEHIND, "the blocked call");
	pattern_check(c.buf, s.sent, BEHIND, "the blocked call");
	s.sent += BEHIND;
	s.taken += BEHIND;
	set_nonblock(s.l.rx);
	expect_goes_on(&s);
	expect_fin(&s);
}

/* How an skb that was read in part gets to the verdict program. */
struct partly {
	size_t read;		/* of the skb, before the socket is inserted */
	size_t taken_before;	/* after the insert, before more bytes come */
	bool more;		/* bytes come that make the kernel call the program */
	bool fin;
};

/*
 * Kernels whose tcp_read_sock() moves copied_seq when the program is called do so by the whole skb,
 * and what they give to the program has no sequence number that says how much of it was read.
 */
static void need_trace_of_reading(struct scene *s)
{
	if (s->l.map && s->l.t->family != AF_UNIX && !tcp_unread(s->l.rx))
		skip("this kernel keeps no trace of what was read");
}

/* The program gets skbs whole. What was read of one before may not come again. */
static void partly_read(const struct test *t)
{
	const struct partly *how = t->b->arg;
	struct scene s;

	open_scene(&s, t);
	send_own(&s, WAITING);
	take_some(&s, how->read);
	insert_rx(&s);
	if (how->taken_before)
		take_some(&s, how->taken_before);
	if (how->more) {
		send_own(&s, BEHIND);
		need_trace_of_reading(&s);
	}
	if (how->fin) {
		expect(!shutdown(s.l.peer, SHUT_WR), "shutdown: %s", strerror(errno));
		take_some(&s, s.sent - s.taken);
		expect_end(&s);
		return;
	}
	take_all(&s);
	expect_goes_on(&s);
	expect_fin(&s);
}

#define OVERTAKE_SKBS	10
#define OVERTAKE_SIZE	100
#define OVERTAKE_BYTES	20000
#define OVERTAKE_ROUNDS	8

/*
 * A sender's call takes an skb from sk_receive_queue to ingress_msg, one at a time, while a reader
 * takes what came before the program: the one that the sender has is the older one.
 */
static void overtakes_round(const struct test *t, size_t chunk)
{
	const size_t before = OVERTAKE_SKBS * OVERTAKE_SIZE;
	struct sender tx;
	struct scene s;

	open_scene(&s, t);
	send_pattern(s.l.peer, 0, before, OVERTAKE_SIZE);
	insert_rx(&s);
	sender_start(&tx, s.l.peer, before, OVERTAKE_BYTES, OVERTAKE_SIZE);
	receive_all(&s.r, s.l.rx, 0, before + OVERTAKE_BYTES, chunk);
	sender_join(&tx);
	reader_close(&s.r);
	link_close(&s.l);
}

static void overtakes(const struct test *t)
{
	const size_t *chunk = t->b->arg;

	for (int i = 0; i < OVERTAKE_ROUNDS; i++)
		overtakes_round(t, *chunk);
}

#define HISTORY(fn, text, ...) { .group = "history", .name = text, .run = fn, __VA_ARGS__ }
#define OWN_MODES (SKB_MODES | BIT(MODE_PLAIN) | AND_UNIX)
#define LEAVES(text, ...) HISTORY(verdict_leaves, "verdict-leaves" text, \
	.modes = OWN_MODES, .flags = ASK_SPLATS, \
	.arg = &(const struct leaving){ __VA_ARGS__ })
#define LEAVES_TCP(text, ...) HISTORY(verdict_leaves, "verdict-leaves" text, \
	.modes = OWN_MODES, .flags = ASK_SPLATS | TCP_ONLY, \
	.arg = &(const struct leaving){ __VA_ARGS__ })
/* A parser is the first of all to look at what is there: it has cases of its own (map.c). */
#define PARTLY(text, and_flags, ...) HISTORY(partly_read, "partly-read" text, \
	.modes = OWN_MODES & ~BIT(MODE_SKB_PARSER), .flags = ASK_SPLATS | (and_flags), \
	.arg = &(const struct partly){ __VA_ARGS__ })
#define OVERTAKES(text, chunk) HISTORY(overtakes, "overtakes" text, \
	.modes = BIT(MODE_SKB_PASS) | BIT(MODE_PLAIN) | AND_UNIX, \
	.arg = &(const size_t){ chunk })

static const struct behaviour behaviours[] = {
	LEAVES("", false, false, 0),
	LEAVES_TCP("-msg", true, false, 0),
	LEAVES("-read", false, false, 300),
	LEAVES("-freed", false, true, 0),
	LEAVES("-freed-read", false, true, 300),
	HISTORY(verdict_leaves_alone, "verdict-leaves-alone", .modes = OWN_MODES,
		.flags = ASK_SPLATS),
	HISTORY(verdict_leaves_asleep, "verdict-leaves-asleep", .modes = OWN_MODES,
		.flags = ASK_SPLATS),
	PARTLY("", 0, 400, 0, false, false),
	PARTLY("-more", 0, 400, 0, true, false),
	/* When a unix socket is shut down its psock goes, and with it what is in ingress_msg. */
	PARTLY("-more-fin", TCP_ONLY, 400, 0, true, true),
	PARTLY("-some-more", 0, 100, 300, true, false),
	PARTLY("-all-but-one", 0, WAITING - 1, 0, false, false),
	PARTLY("-all-but-one-more", 0, WAITING - 1, 0, true, false),
	OVERTAKES("-by-1", 1),
	OVERTAKES("-by-37", 37),
	OVERTAKES("-by-4096", 4096),
};

const struct suite history_suite = SUITE(behaviours);
