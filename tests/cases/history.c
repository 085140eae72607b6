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
#include <bpf/btf.h>
#include <errno.h>
#include <limits.h>
#include <linux/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "pattern.h"
#include "scene.h"
#include "take.h"

#define WAITING	1000	/* bytes in ingress_msg when the history begins */
#define BEHIND	500	/* those that come to sk_receive_queue behind them */
#define FREED_MS (200 * slowness)

/* How a verdict program leaves a socket that another map holds. */
struct leaving {
	bool in_msg_map;	/* the other map has an sk_msg program; it has none otherwise */
	bool map_is_freed;	/* the kernel keeps the program then */
	size_t taken_before;
};

/* Into a map besides the case's own. */
static struct sockmap *insert_in_other(struct scene *s, enum sockmap_mode mode)
{
	struct sockmap *other = sockmap_open(mode);

	expect(other, "sockmap_open: %s", strerror(errno));
	expect_result(sockmap_insert(other, s->l.rx), 0, "insert of rx, other map");
	return other;
}

static void insert_in_both(struct scene *s, bool in_msg_map)
{
	if (!s->l.map)
		return;
	if (in_msg_map)
		insert_in_other(s, MODE_MSG_INGRESS);
	else
		bare_sockmap_insert(s->l.rx);
	scene_insert(s);
}

static void leave(struct scene *s, bool map_is_freed)
{
	if (!map_is_freed) {
		scene_remove(s);
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

	scene_open(&s, t);
	insert_in_both(&s, how->in_msg_map);
	scene_send(&s, WAITING);
	if (how->taken_before)
		scene_take(&s, how->taken_before);
	leave(&s, how->map_is_freed);
	scene_send(&s, BEHIND);
	scene_take_all(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

/* What has been read counts as that, also if the program has left. */
static void expect_nothing_unread(const struct scene *s, const struct test *t)
{
	if (t->family != AF_UNIX)
		expect_result(tcp_unread(s->l.rx), 0, "bytes that the kernel takes for unread");
}

/* Nothing but ingress_msg is there for a reader that comes before the bytes behind it do. */
static void verdict_leaves_alone(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	insert_in_both(&s, false);
	scene_send(&s, WAITING);
	leave(&s, false);
	scene_take_all(&s);
	expect_nothing_unread(&s, t);
	scene_send(&s, BEHIND);
	scene_take_all(&s);
	expect_nothing_unread(&s, t);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

static void verdict_leaves_asleep(const struct test *t)
{
	struct scene s;
	struct call c;

	scene_open(&s, t);
	insert_in_both(&s, false);
	scene_send(&s, WAITING);
	scene_take(&s, WAITING);
	set_blocking(s.l.rx, true);
	call_start_asleep(&c, t, s.l.rx, 4000);
	leave(&s, false);
	send_pattern(s.l.peer, s.sent, BEHIND, BEHIND);
	expect_result(call_end(&c, "the program left and bytes came"), BEHIND, "the blocked call");
	pattern_check(c.buf, s.sent, BEHIND, "the blocked call");
	s.sent += BEHIND;
	s.taken += BEHIND;
	set_nonblock(s.l.rx);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

/* SCHED_FIFO keeps all others off this thread's CPU. */
static void schedule_by(int policy)
{
	const struct sched_param param = { .sched_priority = policy == SCHED_FIFO };

	expect(!sched_setscheduler(0, policy, &param), "the scheduler: %s", strerror(errno));
}

/* False: the bytes waited for ksoftirqd, as the reader did, and have just been read. */
static bool leave_before_reader_runs(struct scene *s, const struct test *t)
{
	size_t next = s->sent + WAITING, len = WAITING;
	struct call c;
	bool in_time;

	call_start_asleep(&c, t, s->l.rx, 4000);
	run_on(c.tid, 0, 0);
	run_on(0, 0, 0);
	schedule_by(SCHED_FIFO);
	send_pattern(s->l.peer, s->sent, WAITING, WAITING);
	in_time = tcp_info(s->l.rx).tcpi_bytes_received == next;
	if (in_time) {
		scene_remove(s);
		send_pattern(s->l.peer, next, BEHIND, BEHIND);
		s->sent = next;
		len = BEHIND;
	}
	schedule_by(SCHED_OTHER);
	expect_result(call_end(&c, "bytes came"), len, "the blocked call");
	pattern_check(c.buf, s->sent, len, "the blocked call");
	s->sent += len;
	return in_time;
}

/*
 * The socket leaves its map when a sleeping reader was woken and didn't run yet. The kernel drops
 * what woke it; what comes behind isn't to be taken for read, for want of that.
 */
static void leaves_before_reader_runs(const struct test *t)
{
	struct scene s;
	int attempts;

	scene_open(&s, t);
	scene_insert(&s);
	set_blocking(s.l.rx, true);
	for (attempts = 0; !leave_before_reader_runs(&s, t); attempts++)
		expect(attempts < 20, "the reader always ran before the bytes came");
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
static void need_trace_of_reading(const struct test *t)
{
	if (t->mode != MODE_PLAIN && t->family != AF_UNIX && !sockmap_traces_reading())
		skip("this kernel keeps no trace of what was read");
}

static void need_second_verdict(const struct scene *s)
{
	if (s->l.map && !sockmap_gives_second_verdict())
		skip("this kernel gives a socket no second verdict program");
}

/* The program gets skbs whole. What was read of one before may not come again. */
static void partly_read(const struct test *t)
{
	const struct partly *how = t->b->arg;
	struct scene s;

	scene_open(&s, t);
	if (how->more)
		need_trace_of_reading(t);
	scene_send(&s, WAITING);
	scene_take(&s, how->read);
	scene_insert(&s);
	if (how->taken_before)
		scene_take(&s, how->taken_before);
	if (how->more)
		scene_send(&s, BEHIND);
	if (how->fin) {
		expect(!shutdown(s.l.peer, SHUT_WR), "shutdown: %s", strerror(errno));
		scene_take(&s, s.sent - s.taken);
		scene_expect_end(&s);
		return;
	}
	scene_take_all(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

#define OVERTAKE_SIZE	100
#define OVERTAKE_BYTES	4000
#define OVERTAKE_S	2
#define OVERTAKE_ROUNDS	100

struct overtaking {
	size_t skbs_before;	/* the socket is inserted */
	size_t chunk;
};

/*
 * A sender's call takes an skb from sk_receive_queue to ingress_msg, one at a time, while a reader
 * takes what came before the program: the one that the sender has is the older one.
 */
static void overtakes_round(const struct test *t, const struct overtaking *o)
{
	const size_t before = o->skbs_before * OVERTAKE_SIZE;
	struct sender tx;
	struct scene s;

	scene_open(&s, t);
	send_pattern(s.l.peer, 0, before, OVERTAKE_SIZE);
	scene_insert(&s);
	if (!before)
		scene_expect_nothing(&s);
	sender_start(&tx, s.l.peer, before, OVERTAKE_BYTES, OVERTAKE_SIZE);
	receive_all(&s.r, s.l.rx, 0, before + OVERTAKE_BYTES, o->chunk);
	sender_join(&tx);
	reader_close(&s.r);
	link_close(&s.l);
}

static void overtakes(const struct test *t)
{
	double end = now() + OVERTAKE_S;

	/* A byte at a time takes seconds where the processor is emulated slowly. */
	for (int i = 0; i < OVERTAKE_ROUNDS && now() < end; i++)
		overtakes_round(t, t->b->arg);
}

#define SPIN_S		3	/* as many of the bytes as come in that time */
#define SPIN_BYTES	40000
#define SPIN_CHUNK	2

/*
 * Behind a program that passes everything on, an skb is in sk_receive_queue for no longer than the
 * sender needs to take it out again. A reader that never waits may not take a part of it there.
 */
static void spins(const struct test *t)
{
	static struct sender tx;
	struct scene s;
	double stop;
	char byte;

	scene_open(&s, t);
	scene_insert(&s);
	scene_expect_nothing(&s);
	sender_start(&tx, s.l.peer, 0, SPIN_BYTES, SPIN_CHUNK);
	stop = now() + SPIN_S;
	for (double end = now() + PATIENCE_MS / 1000.0; s.taken < SPIN_BYTES && now() < stop; ) {
		ssize_t n = reader_take(&s.r, s.l.rx, &byte, 1);

		if (n == -EAGAIN) {
			expect(now() < end, "at byte %llu: no bytes for %d ms",
			       (unsigned long long)s.taken, PATIENCE_MS);
			continue;
		}
		expect_result(n, 1, "at byte %llu", (unsigned long long)s.taken);
		pattern_check(&byte, s.taken++, 1, "a byte at a time");
		end = now() + PATIENCE_MS / 1000.0;
	}
}

/*
 * Two streams to one socket, its own and a redirected one, between which there is no order. Each of
 * their bytes says by its highest bit to which it belongs.
 */
enum which { OWN, REDIRECTED, NR_STREAMS };

#define MIXED_CHUNK	4096

static void mixed_fill(unsigned char *buf, enum which which, uint64_t offset, size_t len)
{
	pattern_fill(buf, offset, len);
	for (size_t i = 0; i < len; i++)
		buf[i] = which == OWN ? buf[i] & 0x7f : buf[i] | 0x80;
}

static void mixed_send(int fd, enum which which, uint64_t offset, size_t len)
{
	unsigned char buf[MIXED_CHUNK];

	expect(len <= sizeof(buf), "%zu bytes at once", len);
	mixed_fill(buf, which, offset, len);
	expect(send(fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len, "send: %s", strerror(errno));
}

/* Puts what was received to the stream that it belongs to. */
static void mixed_check(const unsigned char *buf, size_t len, uint64_t taken[NR_STREAMS])
{
	unsigned char want[NR_STREAMS][MIXED_CHUNK];
	size_t got[NR_STREAMS] = { 0, 0 };

	mixed_fill(want[OWN], OWN, taken[OWN], len);
	mixed_fill(want[REDIRECTED], REDIRECTED, taken[REDIRECTED], len);
	for (size_t i = 0; i < len; i++) {
		enum which which = buf[i] & 0x80 ? REDIRECTED : OWN;

		expect(buf[i] == want[which][got[which]], "a wrong byte at %llu of the %s stream",
		       (unsigned long long)(taken[which] + got[which]),
		       which == OWN ? "own" : "redirected");
		got[which]++;
	}
	taken[OWN] += got[OWN];
	taken[REDIRECTED] += got[REDIRECTED];
}

/* One splice; the result is 0 where there is nothing. */
static size_t mixed_take(struct scene *s, size_t len, uint64_t taken[NR_STREAMS])
{
	unsigned char buf[MIXED_CHUNK];
	ssize_t n = reader_take(&s->r, s->l.rx, buf, len);

	if (n == -EAGAIN)
		return 0;
	expect(n > 0, "at own byte %llu, redirected byte %llu: %s",
	       (unsigned long long)taken[OWN], (unsigned long long)taken[REDIRECTED],
	       result_name(n));
	mixed_check(buf, n, taken);
	return n;
}

static void mixed_take_until(struct scene *s, size_t chunk, uint64_t own, uint64_t redirected,
			     uint64_t taken[NR_STREAMS])
{
	double end = now() + PATIENCE_MS / 1000.0;

	while (taken[OWN] < own || taken[REDIRECTED] < redirected) {
		expect(now() < end, "%llu own and %llu redirected bytes, then none for long",
		       (unsigned long long)taken[OWN], (unsigned long long)taken[REDIRECTED]);
		if (mixed_take(s, chunk, taken))
			end = now() + PATIENCE_MS / 1000.0;
		else
			readable_within(s->l.rx, 10);
	}
	expect(taken[OWN] == own && taken[REDIRECTED] == redirected,
	       "%llu of %llu own bytes, %llu of %llu redirected ones",
	       (unsigned long long)taken[OWN], (unsigned long long)own,
	       (unsigned long long)taken[REDIRECTED], (unsigned long long)redirected);
}

/* What arrives at via is redirected to rx, whose own bytes no program sees. */
static void open_mere_target(struct scene *s, const struct test *t)
{
	scene_open(s, t);
	scene_insert_mere_target(s, s->l.via, t->family == AF_UNIX ? s->l.tx : s->l.via);
	set_nodelay(s->l.tx);
}

#define IN_PLENTY	(32 << 10)	/* what of one stream is always there */
#define STARVES_MS	(3 * PATIENCE_MS)

struct flood {
	enum which which;
	bool looked;	/* a reader found nothing before the bytes came */
	int wherever;	/* links, on which the streams have any place in sequence space */
};

/*
 * A few bytes of one stream while the other is always there in plenty. The limit is a time, as the
 * few may be late: where processors take turns, one carries megabytes of the other stream while
 * the segment with the few waits for the other processor.
 */
static void expect_few(struct scene *s, const struct flood *f)
{
	uint64_t taken[NR_STREAMS] = { 0, 0 }, sent = 0;
	const int fds[NR_STREAMS] = { [OWN] = s->l.peer, [REDIRECTED] = s->l.tx };
	double end = now() + STARVES_MS / 1000.0;
	const enum which few = !f->which;

	if (f->looked)
		expect_result(mixed_take(s, 1, taken), 0, "nothing there");
	while (taken[few] < WAITING) {
		while (sent < taken[f->which] + IN_PLENTY) {
			mixed_send(fds[f->which], f->which, sent, MIXED_CHUNK);
			sent += MIXED_CHUNK;
			if (sent == IN_PLENTY)
				mixed_send(fds[few], few, 0, WAITING);
		}
		expect(now() < end, "%llu of %d bytes behind %llu others",
		       (unsigned long long)taken[few], WAITING,
		       (unsigned long long)taken[f->which]);
		if (!mixed_take(s, MIXED_CHUNK, taken))
			readable_within(s->l.rx, 10);
	}
}

static void starves(const struct test *t)
{
	const struct flood *f = t->b->arg;
	struct scene s;

	open_mere_target(&s, t);
	expect_few(&s, f);
}

/*
 * Redirected segments have a place in another stream's sequence space. With a receive buffer that
 * is half of that, every second such stream is where the own one may be.
 */
static void starves_wherever(const struct test *t)
{
	const struct flood *f = t->b->arg;
	const int rcvbuf = INT_MAX;
	struct scene s;

	for (int i = 0; i < f->wherever; i++) {
		open_mere_target(&s, t);
		expect(!setsockopt(s.l.rx, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof(rcvbuf)),
		       "SO_RCVBUFFORCE: %s", strerror(errno));
		expect_few(&s, f);
	}
}

/*
 * A reader found nothing, and then bytes came past the program. A splice that takes some of them
 * knows of the others: they are older than what comes through the program.
 */
static void behind_stale(const struct test *t)
{
	const size_t *taken_before = t->b->arg;
	struct scene s;

	scene_open(&s, t);
	scene_insert(&s);
	scene_expect_nothing(&s);
	scene_send(&s, WAITING);
	scene_take(&s, *taken_before);
	if (s.l.map)
		expect_result(sockmap_insert(s.l.map, s.l.tx), 0, "insert of tx");
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

#define FULL_RCVBUF	4096
#define FULL_PARTS	10	/* of WAITING bytes, more than there is room for */

#define FIN_MS (100 * slowness)
#define ARRIVES_MS (50 * slowness)

/* Redirected bytes, of which the last ones stay in ingress_skb. */
static void fill_rcvbuf(struct scene *s)
{
	set_buffer(s->l.rx, SO_RCVBUF, FULL_RCVBUF);
	for (int i = 0; i < FULL_PARTS; i++)
		mixed_send(s->l.tx, REDIRECTED, i * WAITING, WAITING);
	sleep_ms(ARRIVES_MS);
}

/* Redirected bytes, and own ones behind them; a splice has had half of the former. */
static void open_both_queued(struct scene *s, const struct test *t, uint64_t taken[NR_STREAMS])
{
	open_mere_target(s, t);
	expect_result(mixed_take(s, 1, taken), 0, "nothing there");
	mixed_send(s->l.tx, REDIRECTED, 0, WAITING);
	sleep_ms(ARRIVES_MS);
	mixed_send(s->l.peer, OWN, 0, WAITING);
	sleep_ms(ARRIVES_MS);
	expect_result(mixed_take(s, WAITING / 2, taken), WAITING / 2, "both are there");
}

/* The FIN has arrived when this returns, also where nothing shows that. */
static void send_fin(int fd)
{
	expect(!shutdown(fd, SHUT_WR), "shutdown: %s", strerror(errno));
	sleep_ms(FIN_MS);
}

/* Bytes that came when those of the other queue were there wait for these, and for no later ones. */
static void in_turn(const struct test *t)
{
	uint64_t taken[NR_STREAMS] = { 0, 0 };
	struct scene s;

	open_both_queued(&s, t, taken);
	mixed_send(s.l.tx, REDIRECTED, WAITING, WAITING);
	sleep_ms(ARRIVES_MS);
	expect_result(mixed_take(&s, WAITING / 2, taken), WAITING / 2, "the rest");
	expect(taken[REDIRECTED] == WAITING, "%llu own bytes came first",
	       (unsigned long long)taken[OWN]);
	expect_result(mixed_take(&s, WAITING, taken), WAITING, "then");
	expect(taken[OWN] == WAITING, "of %llu bytes then, %llu are own ones",
	       (unsigned long long)(taken[OWN] + taken[REDIRECTED] - WAITING),
	       (unsigned long long)taken[OWN]);
	mixed_take_until(&s, MIXED_CHUNK, WAITING, 2 * WAITING, taken);
}

/*
 * The FIN of another connection isn't the end of this one. Of a FIN alone sk_psock_backlog() makes
 * an error of the target's, once, and stops its psock: no more is redirected to it, but its own
 * bytes go on. Where rx has the program, recv(2) says what a FIN is (eof.c), and the kernel drops
 * all that comes behind it.
 */
static void behind_redirected_fin(const struct test *t)
{
	uint64_t taken[NR_STREAMS] = { 0, 0 };
	unsigned char byte;
	struct scene s;
	ssize_t n;

	open_mere_target(&s, t);
	mixed_send(s.l.tx, REDIRECTED, 0, WAITING);
	mixed_take_until(&s, MIXED_CHUNK, 0, WAITING, taken);
	send_fin(s.l.tx);
	mixed_send(s.l.peer, OWN, 0, WAITING);
	await_readable(s.l.rx);
	mixed_take_until(&s, MIXED_CHUNK, WAITING, WAITING, taken);
	n = reader_take(&s.r, s.l.rx, &byte, 1);
	expect(n == -EPIPE || n == -EAGAIN, "behind a FIN that was redirected: %s", result_name(n));
	expect_result(reader_take(&s.r, s.l.rx, &byte, 1), -EAGAIN, "the same, asked again");
	mixed_send(s.l.peer, OWN, WAITING, WAITING);
	mixed_take_until(&s, MIXED_CHUNK, 2 * WAITING, WAITING, taken);
}

/*
 * The same, and then rx gets a program. The kernel drops what that one is offered now; what was
 * there before it isn't offered.
 */
static void redirected_fin_then_program(const struct test *t)
{
	uint64_t taken[NR_STREAMS] = { 0, 0 };
	struct scene s;

	open_mere_target(&s, t);
	send_fin(s.l.tx);
	mixed_send(s.l.peer, OWN, 0, WAITING);
	await_readable(s.l.rx);
	insert_in_other(&s, MODE_SKB_PASS);
	mixed_take_until(&s, MIXED_CHUNK, WAITING, 0, taken);
}

/*
 * The same when a splice has counted redirected bytes that go before own ones, and a recv(2) has
 * taken them: the FIN alone is left in front.
 */
static void redirected_fin_alone(const struct test *t)
{
	uint64_t taken[NR_STREAMS] = { 0, 0 };
	unsigned char buf[WAITING];
	struct scene s;

	open_both_queued(&s, t, taken);
	expect(recv(s.l.rx, buf, WAITING / 2, 0) == WAITING / 2, "recv: %s", strerror(errno));
	mixed_check(buf, WAITING / 2, taken);
	send_fin(s.l.tx);
	insert_in_other(&s, MODE_SKB_PASS);
	mixed_take_until(&s, MIXED_CHUNK, WAITING, WAITING, taken);
}

/* A partly read skb comes to ingress_msg behind another stream's bytes: one call finds both. */
static void partly_read_behind(const struct test *t)
{
	uint64_t taken[NR_STREAMS] = { 0, 0 };
	struct scene s;

	open_mere_target(&s, t);
	need_trace_of_reading(t);
	mixed_send(s.l.peer, OWN, 0, WAITING);
	await_readable(s.l.rx);
	expect_result(mixed_take(&s, 400, taken), 400, "the beginning of the own stream");
	mixed_send(s.l.tx, REDIRECTED, 0, WAITING);
	sleep_ms(ARRIVES_MS);
	insert_in_other(&s, MODE_SKB_PASS);
	mixed_send(s.l.peer, OWN, WAITING, BEHIND);
	sleep_ms(ARRIVES_MS);
	mixed_take_until(&s, MIXED_CHUNK, WAITING + BEHIND, WAITING, taken);
}

/* The same, and more own bytes wait in ingress_skb, behind redirected ones that have no room. */
static void partly_read_before_backlog(const struct test *t)
{
	uint64_t taken[NR_STREAMS] = { 0, 0 };
	struct scene s;

	open_mere_target(&s, t);
	need_trace_of_reading(t);
	mixed_send(s.l.peer, OWN, 0, WAITING);
	await_readable(s.l.rx);
	expect_result(mixed_take(&s, 400, taken), 400, "the beginning of the own stream");
	insert_in_other(&s, MODE_SKB_PASS);
	mixed_send(s.l.peer, OWN, WAITING, BEHIND);
	sleep_ms(ARRIVES_MS);
	fill_rcvbuf(&s);
	mixed_send(s.l.peer, OWN, WAITING + BEHIND, BEHIND);
	sleep_ms(ARRIVES_MS);
	mixed_take_until(&s, MIXED_CHUNK, WAITING + 2 * BEHIND, FULL_PARTS * WAITING, taken);
}

/* A program whose bytes were read leaves and is back; meanwhile an skb was read in part. */
static void partly_read_again(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	need_trace_of_reading(t);
	need_second_verdict(&s);
	insert_in_both(&s, false);
	scene_send(&s, WAITING);
	scene_take_all(&s);
	scene_remove(&s);
	scene_send(&s, WAITING);
	scene_take(&s, 400);
	scene_insert(&s);
	scene_send(&s, BEHIND);
	scene_take_all(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

struct returning {
	size_t more;	/* bytes that come when the program is back */
	bool looked;	/* a reader found nothing before all that */
};

/* Bytes in both queues when the program is back. More bytes make the kernel call it. */
static void verdict_returns(const struct test *t)
{
	const struct returning *how = t->b->arg;
	struct scene s;

	scene_open(&s, t);
	need_second_verdict(&s);
	insert_in_both(&s, false);
	if (how->looked)
		scene_expect_nothing(&s);
	scene_send(&s, WAITING);
	scene_remove(&s);
	scene_send(&s, BEHIND);
	scene_insert(&s);
	if (how->more)
		scene_send(&s, how->more);
	scene_take_all(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

#define RECORD		200
#define PLACE_BYTES	300000
#define PLACE_RCVBUF	(16 << 10)
#define PLACE_CHUNK	100

static void open_records(struct scene *s, const struct test *t)
{
	scene_open(s, t);
	if (s->l.map)
		link_use_records(&s->l, RECORD);
}

struct place {
	int pile_up_ms;
	size_t tx_chunk;
	bool edge;	/* the reader is told of bytes once */
};

/* Until nothing is there, and then not before the next edge. */
static void receive_by_edges(struct scene *s, size_t size)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	char buf[PLACE_CHUNK];
	size_t got = 0;

	expect(ep >= 0 && !epoll_ctl(ep, EPOLL_CTL_ADD, s->l.rx, &ev), "epoll: %s",
	       strerror(errno));
	while (got < size) {
		ssize_t n = reader_take(&s->r, s->l.rx, buf, sizeof(buf));

		if (n == -EAGAIN) {
			expect(epoll_wait(ep, &ev, 1, PATIENCE_MS) == 1, "no edge after %zu bytes",
			       got);
			continue;
		}
		expect(n > 0, "after %zu bytes: %s", got, result_name(n));
		pattern_check(buf, got, n, "by edges");
		got += n;
	}
	close(ep);
}

/*
 * The parser's place in the stream and the reader's are two. Bytes that the parser hasn't got to,
 * because the reader had the socket locked, may not count as read.
 */
static void parser_place(const struct test *t)
{
	const struct place *p = t->b->arg;
	struct sender tx;
	struct scene s;

	open_records(&s, t);
	set_buffer(s.l.rx, SO_RCVBUF, PLACE_RCVBUF);
	scene_insert(&s);
	sender_start(&tx, s.l.peer, 0, PLACE_BYTES, p->tx_chunk);
	s.sent = PLACE_BYTES;
	sleep_ms(p->pile_up_ms);
	if (p->edge)
		receive_by_edges(&s, PLACE_BYTES);
	else
		receive_all(&s.r, s.l.rx, 0, PLACE_BYTES, PLACE_CHUNK);
	s.taken = PLACE_BYTES;
	sender_join(&tx);
	expect(tcp_unread(s.l.rx) == 0, "%zu bytes unread behind all of them",
	       tcp_unread(s.l.rx));
	scene_remove(&s);
	scene_goes_on(&s);
	expect(tcp_unread(s.l.rx) == 0, "%zu bytes unread behind those of plain TCP",
	       tcp_unread(s.l.rx));
	scene_expect_fin(&s);
	expect(tcp_unread(s.l.rx) <= 1, "%zu bytes unread behind FIN", tcp_unread(s.l.rx));
}

/*
 * The parser waits for the rest of a record, and leaves a part of it in sk_receive_queue. If that
 * counts as read when the records before it are, the parser doesn't see that the rest has come.
 */
static void parser_short_record(const struct test *t)
{
	static const size_t parts[] = { RECORD, RECORD, RECORD / 2, RECORD / 4 };
	struct scene s;

	open_records(&s, t);
	scene_insert(&s);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		scene_send(&s, parts[i]);
	scene_take(&s, 2 * RECORD);
	send_pattern(s.l.peer, s.sent, RECORD / 4, RECORD / 4);
	s.sent += RECORD / 4;
	scene_take_all(&s);
	scene_goes_on(&s);
	scene_remove(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

/* What is queued may not count as read because some of it has been. */
static void parser_unread(const struct test *t)
{
	struct scene s;
	size_t unread;

	open_records(&s, t);
	scene_insert(&s);
	scene_send(&s, 2 * RECORD);
	if (!tcp_unread(s.l.rx))
		skip("on this kernel bytes count as read when the program gets them");
	scene_take(&s, PLACE_CHUNK);
	unread = tcp_unread(s.l.rx);
	expect(unread && unread <= 2 * RECORD, "%zu bytes unread, %d are queued", unread,
	       2 * RECORD - PLACE_CHUNK);
	scene_take_all(&s);
	expect(tcp_unread(s.l.rx) == 0, "%zu bytes unread behind all of them",
	       tcp_unread(s.l.rx));
	scene_expect_fin(&s);
	expect(tcp_unread(s.l.rx) <= 1, "%zu bytes unread behind FIN", tcp_unread(s.l.rx));
}

/*
 * Waits for `queued` bytes of rx's own stream, which come as the congestion window lets them. Only
 * on kernels that leave copied_seq to the reader do they count as unread when the program has them.
 */
static void await_unread(struct scene *s, size_t queued)
{
	double end = now() + PATIENCE_MS / 1000.0;

	if (!tcp_unread(s->l.rx))
		skip("on this kernel bytes count as read when the program gets them");
	while (tcp_unread(s->l.rx) != queued) {
		expect(now() < end, "%zu bytes unread, %zu are queued", tcp_unread(s->l.rx),
		       queued);
		sleep_ms(1);
	}
}

static void expect_unread(struct scene *s, size_t want)
{
	size_t unread = tcp_unread(s->l.rx);

	expect(unread == want, "%zu own bytes are queued, the kernel says %zu", want, unread);
}

/* Redirected bytes have no place in the target's own stream. */
static void redirected_count(const struct test *t)
{
	uint64_t taken[NR_STREAMS] = { 0, 0 };
	struct scene s;

	scene_open(&s, t);
	link_insert(&s.l);
	mixed_send(s.l.tx, REDIRECTED, 0, WAITING);
	await_readable(s.l.rx);
	mixed_send(s.l.peer, OWN, 0, WAITING);
	await_unread(&s, WAITING);
	while (taken[REDIRECTED] < WAITING)
		mixed_take(&s, WAITING - taken[REDIRECTED], taken);
	expect(!taken[OWN], "%llu own bytes came first", (unsigned long long)taken[OWN]);
	expect_unread(&s, WAITING);
	mixed_take_until(&s, MIXED_CHUNK, WAITING, WAITING, taken);
	expect_unread(&s, 0);
}

#define PART		100
#define PARTS		50

static void redirected_count_mixed(const struct test *t)
{
	uint64_t taken[NR_STREAMS] = { 0, 0 };
	double end = now() + PATIENCE_MS / 1000.0;
	struct scene s;

	scene_open(&s, t);
	link_insert(&s.l);
	set_nodelay(s.l.tx);
	for (int i = 0; i < PARTS; i++) {
		mixed_send(s.l.tx, REDIRECTED, i * PART, PART);
		if (i % 2)
			sleep_ms(1);
		mixed_send(s.l.peer, OWN, i * PART, PART);
	}
	await_unread(&s, PARTS * PART);
	for (size_t i = 0; taken[OWN] + taken[REDIRECTED] < 2 * PARTS * PART; i++) {
		if (mixed_take(&s, 31 + i % 3 * 57, taken))
			end = now() + PATIENCE_MS / 1000.0;
		expect_unread(&s, PARTS * PART - taken[OWN]);
		expect(now() < end, "%llu own bytes, %llu redirected ones, then none",
		       (unsigned long long)taken[OWN], (unsigned long long)taken[REDIRECTED]);
	}
	mixed_take_until(&s, 1, PARTS * PART, PARTS * PART, taken);
}

/* Of the bytes before `offset` those that came by TCP: every second part did. */
static size_t own_before(size_t offset)
{
	size_t rest = offset % (2 * PART);

	return offset / (2 * PART) * PART + (rest > PART ? rest - PART : 0);
}

/* One stream whose bytes come through an sk_msg and through an sk_skb program in turn. */
static void both_kinds(const struct test *t)
{
	const size_t own = PARTS * PART;
	struct sockmap *verdict;
	struct scene s;

	scene_open(&s, t);
	verdict = sockmap_open(MODE_SKB_PASS);
	expect(verdict, "sockmap_open: %s", strerror(errno));
	scene_insert(&s);
	expect_result(sockmap_insert(verdict, s.l.rx), 0, "insert of rx, second map");
	for (int i = 0; i < PARTS; i++) {
		expect_result(sockmap_insert(s.l.map, s.l.peer), 0, "insert of peer");
		scene_send(&s, PART);
		expect_result(sockmap_remove(s.l.map, s.l.peer), 0, "removal of peer");
		scene_send(&s, PART);
		await_unread(&s, (i + 1) * PART);
	}
	for (size_t i = 0; s.taken < s.sent; i++) {
		size_t want = 31 + i % 3 * 57;

		scene_take(&s, want < s.sent - s.taken ? want : s.sent - s.taken);
		expect_unread(&s, own - own_before(s.taken));
	}
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

#define DROPPED		333

/* Does the kernel tell a program that may change an skb's length from one that can't? */
static bool kernel_tells_resizing(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int id = btf ? btf__find_by_name_kind(btf, "bpf_prog_aux", BTF_KIND_STRUCT) : -1;
	bool tells = false;

	if (id > 0) {
		const struct btf_type *type = btf__type_by_id(btf, id);
		const struct btf_member *m = btf_members(type);

		for (int i = 0; i < btf_vlen(type) && !tells; i++)
			tells = !strcmp(btf__name_by_offset(btf, m[i].name_off),
					"changes_pkt_data");
	}
	btf__free(btf);
	return tells;
}

static void send_dropped(struct scene *s)
{
	static const char junk[DROPPED];

	expect(send(s->l.peer, junk, DROPPED, 0) == DROPPED, "send: %s", strerror(errno));
}

/*
 * What a program drops counts as read at once, and isn't what a reader has had of the skb before
 * it. Bytes in between have the kernel call the program for that one, or the others would be added
 * to it.
 */
static void dropped_behind(const struct test *t)
{
	const size_t *more = t->b->arg;
	struct scene s;

	scene_open(&s, t);
	need_trace_of_reading(t);
	if (!kernel_tells_resizing())
		skip("nothing tells what was read before from what was dropped");
	link_use_map(&s.l, sockmap_open_drop(DROPPED));
	scene_send(&s, WAITING);
	scene_take(&s, 400);
	scene_insert(&s);
	scene_send(&s, BEHIND);
	send_dropped(&s);
	sleep_ms(ARRIVES_MS);
	if (*more)
		scene_send(&s, *more);
	sleep_ms(ARRIVES_MS);
	scene_take_all(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

#define SEGMENTS	100	/* more than are merged into one skb */

/* Of what came before the program the reader gets the rest of the skb that was read in part. */
static void partly_read_of_several(const struct test *t)
{
	char buf[SEGMENTS * DROPPED];
	struct scene s;
	ssize_t n;

	scene_open(&s, t);
	link_use_map(&s.l, sockmap_open_drop(0));
	send_apart(s.l.peer, 0, SEGMENTS * DROPPED, DROPPED);
	sleep_ms(ARRIVES_MS);
	scene_take(&s, 100);
	scene_insert(&s);
	while ((n = reader_take(&s.r, s.l.rx, buf, sizeof(buf))) != -EAGAIN) {
		expect(n > 0, "the rest of the first skb: %s", result_name(n));
		pattern_check(buf, s.taken, n, "the rest of the first skb");
		s.taken += n;
	}
	expect(s.taken > 100 && s.taken < sizeof(buf) / 2, "%llu bytes, the others are dropped",
	       (unsigned long long)s.taken);
}

/* A program halves what it passes: the other half is read with it. */
static void shortened(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	link_use_map(&s.l, sockmap_open_halve());
	scene_insert(&s);
	scene_send(&s, WAITING);
	scene_take(&s, WAITING / 2);
	expect_nothing_unread(&s, t);
	scene_expect_nothing(&s);
}

/* Bytes that a program added to what it drops count as read, and were never anywhere. */
static void dropped_longer(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	link_use_map(&s.l, sockmap_open_grow_drop(DROPPED));
	scene_insert(&s);
	scene_send(&s, WAITING);
	send_dropped(&s);
	sleep_ms(ARRIVES_MS);
	scene_take_all(&s);
	scene_goes_on(&s);
}

/* The same in front of the first byte that the program passes. */
static void longer_dropped_first(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	if (!kernel_tells_resizing())
		skip("nothing tells what was read before from what was dropped");
	link_use_map(&s.l, sockmap_open_grow_drop(DROPPED));
	scene_insert(&s);
	send_dropped(&s);
	scene_send(&s, WAITING);
	scene_take_all(&s);
	scene_goes_on(&s);
}

/* The kernel's place in the stream is beyond its end then, until bytes come past the program. */
static void longer_dropped_leaves(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	link_use_map(&s.l, sockmap_open_grow_drop(DROPPED));
	insert_in_both(&s, false);
	send_dropped(&s);
	sleep_ms(ARRIVES_MS);
	scene_expect_nothing(&s);
	scene_remove(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

/*
 * A map loses one of the two programs, and then the socket leaves it: the kernel stops what the map
 * has and leaves the other one behind, which nothing calls any more.
 */
static void left_behind(const struct test *t)
{
	const enum bpf_attach_type *lost = t->b->arg;
	struct scene s;

	scene_open(&s, t);
	insert_in_both(&s, false);
	scene_send(&s, WAITING);
	scene_take_all(&s);
	if (s.l.map)
		expect_result(sockmap_detach_program(s.l.map, *lost), 0, "detach");
	scene_remove(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

/* The parser is left behind, and its place in the stream with it; the verdict program is back. */
static void parser_left_behind(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	need_second_verdict(&s);
	insert_in_both(&s, false);
	scene_send(&s, WAITING);
	scene_take_all(&s);
	if (s.l.map)
		expect_result(sockmap_detach_program(s.l.map, BPF_SK_SKB_STREAM_PARSER), 0,
			      "detach");
	scene_remove(&s);
	scene_insert(&s);
	scene_goes_on(&s);
	expect_nothing_unread(&s, t);
	scene_remove(&s);
	scene_goes_on(&s);
	expect_nothing_unread(&s, t);
	scene_expect_fin(&s);
}

/*
 * An urgent byte stops a parser within an skb, of which it has passed the beginning. It leaves
 * before that is read. Behind it comes what plain TCP has there: nothing, before the urgent byte
 * is read.
 */
static void parser_stops_within(const struct test *t)
{
	char buf[PLACE_CHUNK + 1];
	struct scene s;

	scene_open(&s, t);
	need_trace_of_reading(t);
	if (s.l.map)
		link_use_records(&s.l, PLACE_CHUNK);
	insert_in_both(&s, false);
	pattern_fill(buf, 0, sizeof(buf));
	expect(send(s.l.peer, buf, sizeof(buf), MSG_OOB) == sizeof(buf), "send: %s",
	       strerror(errno));
	await_readable(s.l.rx);
	scene_remove(&s);
	scene_take(&s, PLACE_CHUNK);
	expect_result(reader_take(&s.r, s.l.rx, buf, sizeof(buf)), -EAGAIN,
		      "at the urgent byte");
}

/*
 * Own bytes that a program passes queue up behind redirected ones, which wait for room; it leaves,
 * and more bytes come past it.
 */
static void own_behind_redirected(const struct test *t)
{
	const bool *no_room = t->b->arg;
	const size_t redirected = *no_room ? FULL_PARTS * WAITING : WAITING;
	uint64_t taken[NR_STREAMS] = { 0, 0 };
	struct sockmap *pass;
	struct scene s;

	open_mere_target(&s, t);
	if (*no_room) {
		fill_rcvbuf(&s);
	} else {
		mixed_send(s.l.tx, REDIRECTED, 0, WAITING);
		sleep_ms(ARRIVES_MS);
	}
	pass = insert_in_other(&s, MODE_SKB_PASS);
	mixed_send(s.l.peer, OWN, 0, WAITING);
	sleep_ms(ARRIVES_MS);
	expect_result(sockmap_remove(pass, s.l.rx), 0, "removal of rx");
	mixed_send(s.l.peer, OWN, WAITING, BEHIND);
	sleep_ms(ARRIVES_MS);
	mixed_take_until(&s, MIXED_CHUNK, WAITING + BEHIND, redirected, taken);
}

/*
 * Bytes came past a program that was away. If a reader can't have them at once it is told again
 * that they are there, as it might not ask before.
 */
static void older_by_edges(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	need_second_verdict(&s);
	insert_in_both(&s, false);
	scene_expect_nothing(&s);
	scene_remove(&s);
	scene_send(&s, WAITING);
	scene_insert(&s);
	receive_by_edges(&s, WAITING);
	s.taken = WAITING;
	scene_goes_on(&s);
}

/* The end of its own stream isn't the end for redirected bytes that come behind. */
static void behind_own_fin(const struct test *t)
{
	uint64_t taken[NR_STREAMS] = { 0, 0 };
	struct scene s;

	scene_open(&s, t);
	link_insert(&s.l);
	send_fin(s.l.peer);
	mixed_send(s.l.tx, REDIRECTED, 0, WAITING);
	sleep_ms(ARRIVES_MS);
	mixed_take_until(&s, MIXED_CHUNK, 0, WAITING, taken);
	scene_expect_end(&s);
	scene_expect_end(&s);
}

/* The own bytes and their end wait in ingress_skb, behind redirected ones that have no room. */
static void ends_behind_full(const struct test *t)
{
	const uint64_t redirected = FULL_PARTS * WAITING;
	uint64_t taken[NR_STREAMS] = { 0, 0 };
	struct scene s;

	scene_open(&s, t);
	link_insert(&s.l);
	set_nodelay(s.l.tx);
	fill_rcvbuf(&s);
	mixed_send(s.l.peer, OWN, 0, WAITING);
	send_fin(s.l.peer);
	while (taken[OWN] < WAITING || taken[REDIRECTED] < redirected)
		mixed_take(&s, MIXED_CHUNK, taken);
	scene_expect_end(&s);
}

/* Sender of an sk_msg mode; its bytes go to ingress_msg while it is in the map. */
static void insert_tx(struct scene *s)
{
	if (s->l.map)
		expect_result(sockmap_insert(s->l.map, s->l.tx), 0, "insert of tx");
}

static void remove_tx(struct scene *s)
{
	if (s->l.map)
		expect_result(sockmap_remove(s->l.map, s->l.tx), 0, "removal of tx");
}

/* Older bytes in sk_receive_queue, and younger ones, than those in ingress_msg: in one call. */
static void three_in_a_row(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	scene_insert(&s);
	scene_send(&s, WAITING);
	scene_take(&s, 10);
	insert_tx(&s);
	scene_send(&s, WAITING);
	remove_tx(&s);
	scene_send(&s, WAITING);
	scene_take_at_once(&s, s.sent - s.taken, "one call for all");
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

/* Bytes that were in sk_receive_queue when a reader saw ingress_msg empty, not only at first. */
static void looked_twice(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	scene_insert(&s);
	scene_send(&s, WAITING);
	scene_take(&s, 10);
	scene_send(&s, BEHIND);
	while (tcp_unread(s.l.rx) < s.sent - s.taken)
		sleep_ms(1);
	scene_take(&s, 10);
	insert_tx(&s);
	scene_send(&s, WAITING);
	scene_take_all(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

/* A reader found nothing; the program passed bytes on and left; and then more came. */
static void looked_at_nothing(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	scene_insert(&s);
	scene_expect_nothing(&s);
	insert_tx(&s);
	scene_send(&s, WAITING);
	scene_send(&s, WAITING);
	remove_tx(&s);
	scene_send(&s, BEHIND);
	scene_take_all(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

/* The same, and more through the program when some has been taken: it is the youngest. */
static void four_in_a_row(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	scene_insert(&s);
	scene_expect_nothing(&s);
	insert_tx(&s);
	scene_send(&s, WAITING);
	remove_tx(&s);
	scene_send(&s, BEHIND);
	sleep_ms(ARRIVES_MS);
	scene_take(&s, 300);
	insert_tx(&s);
	scene_send(&s, 400);
	sleep_ms(ARRIVES_MS);
	scene_take_at_once(&s, s.sent - s.taken, "one call for all");
	remove_tx(&s);
	scene_goes_on(&s);
	scene_expect_fin(&s);
}

#define PLENTY		(70 << 20)	/* more than can be counted of what goes first */

static void looked_at_nothing_plenty(const struct test *t)
{
	struct scene s;

	scene_open(&s, t);
	scene_insert(&s);
	scene_expect_nothing(&s);
	insert_tx(&s);
	send_pattern(s.l.peer, 0, PLENTY, 1 << 20);
	s.sent = PLENTY;
	remove_tx(&s);
	scene_send(&s, BEHIND);
	receive_all(&s.r, s.l.rx, 0, s.sent, 1 << 20);
}

/* A reader that sleeps is woken by what is redirected to its socket, which has no program. */
static void mere_target_waits(const struct test *t)
{
	struct scene s;
	struct call c;

	open_mere_target(&s, t);
	set_blocking(s.l.rx, true);
	call_start_asleep(&c, t, s.l.rx, 4000);
	send_pattern(s.l.tx, 0, WAITING, WAITING);
	expect_result(call_end(&c, "bytes were redirected"), WAITING, "the blocked call");
	pattern_check(c.buf, 0, WAITING, "the blocked call");
}

/* The stream ends within a record, whose beginning a parser has; the rest waits for more. */
static void ends_within_record(const struct test *t)
{
	struct scene s;
	struct call c;
	ssize_t n;

	open_records(&s, t);
	scene_insert(&s);
	send_pattern(s.l.peer, 0, RECORD / 2, RECORD / 2);
	sleep_ms(FIN_MS);
	send_pattern(s.l.peer, RECORD / 2, RECORD / 4, RECORD / 4);
	sleep_ms(FIN_MS);
	expect(!shutdown(s.l.peer, SHUT_WR), "shutdown: %s", strerror(errno));
	set_blocking(s.l.rx, true);
	do {
		call_start(&c, t, s.l.rx, 4000);
		n = call_end(&c, "the stream ended");
		if (n > 0)
			pattern_check(c.buf, s.taken, n, "the rest");
		s.taken += n > 0 ? n : 0;
	} while (n > 0);
	expect(n == 0 || n == -EAGAIN, "at the end: %s", result_name(n));
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
#define OVERTAKES(text, ...) HISTORY(overtakes, "overtakes" text, \
	.modes = BIT(MODE_SKB_PASS) | BIT(MODE_PLAIN) | AND_UNIX, .limit = 30, \
	.arg = &(const struct overtaking){ __VA_ARGS__ })
#define STARVES(text, ...) HISTORY(starves, text, .modes = BIT(MODE_SKB_REDIRECT), \
	.arg = &(const struct flood){ __VA_ARGS__, .wherever = 0 })
#define BEHIND_STALE(text, taken) HISTORY(behind_stale, "behind-stale" text, \
	.modes = MSG_MODES | BIT(MODE_PLAIN), .arg = &(const size_t){ taken })
/* A parser that starts again takes what is in ingress_msg for a hole (sk_psock_init_strp()). */
#define RETURNS(text, ...) HISTORY(verdict_returns, "verdict-returns" text, \
	.modes = OWN_MODES & ~BIT(MODE_SKB_PARSER), .flags = ASK_SPLATS, \
	.arg = &(const struct returning){ __VA_ARGS__ })
#define PLACE(text, ...) HISTORY(parser_place, "parser-place" text, \
	.modes = BIT(MODE_SKB_PARSER) | BIT(MODE_PLAIN), .flags = ASK_READ, \
	.arg = &(const struct place){ __VA_ARGS__ })
#define SOAK_PLACE(text, ...) { .group = "soak", .name = "parser-place" text, .run = parser_place, \
	.modes = BIT(MODE_SKB_PARSER) | BIT(MODE_PLAIN), .flags = ASK_READ | SOAK, \
	.arg = &(const struct place){ __VA_ARGS__ } }

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
	HISTORY(leaves_before_reader_runs, "leaves-before-reader-runs",
		.modes = BIT(MODE_SKB_PASS), .flags = TCP_ONLY),
	RETURNS("", 0, false),
	RETURNS("-more", WAITING, false),
	RETURNS("-looked", 0, true),
	PARTLY("", 0, 400, 0, false, false),
	PARTLY("-more", 0, 400, 0, true, false),
	/* When a unix socket is shut down its psock goes, and with it what is in ingress_msg. */
	PARTLY("-more-fin", TCP_ONLY, 400, 0, true, true),
	PARTLY("-some-more", 0, 100, 300, true, false),
	PARTLY("-all-but-one", 0, WAITING - 1, 0, false, false),
	PARTLY("-all-but-one-more", 0, WAITING - 1, 0, true, false),
	OVERTAKES("-by-1", 10, 1),
	OVERTAKES("-by-37", 10, 37),
	OVERTAKES("-by-4096", 10, 4096),
	OVERTAKES("-caught-up-by-1", 0, 1),
	OVERTAKES("-caught-up-by-37", 0, 37),
	HISTORY(spins, "spins", .limit = 30, .modes = BIT(MODE_SKB_PASS) | BIT(MODE_PLAIN) | AND_UNIX),
	STARVES("redirected-starves", OWN, false),
	STARVES("redirected-starves-looked", OWN, true),
	STARVES("own-starves", REDIRECTED, false),
	STARVES("own-starves-looked", REDIRECTED, true),
	HISTORY(starves_wherever, "own-starves-wherever",
		.modes = BIT(MODE_SKB_REDIRECT),
		.arg = &(const struct flood){ .which = REDIRECTED, .wherever = 8 }),
	HISTORY(in_turn, "in-turn", .modes = BIT(MODE_SKB_REDIRECT)),
	BEHIND_STALE("", 10),
	BEHIND_STALE("-all-but-one", WAITING - 1),
	HISTORY(behind_redirected_fin, "behind-redirected-fin", .modes = BIT(MODE_SKB_REDIRECT)),
	HISTORY(dropped_behind, "dropped-behind", .modes = BIT(MODE_SKB_PASS),
		.flags = ASK_SPLATS | TCP_ONLY, .arg = &(const size_t){ 0 }),
	HISTORY(dropped_behind, "dropped-between", .modes = BIT(MODE_SKB_PASS),
		.flags = ASK_SPLATS | TCP_ONLY, .arg = &(const size_t){ BEHIND }),
	HISTORY(partly_read_of_several, "partly-read-of-several", .modes = BIT(MODE_SKB_PASS),
		.flags = TCP_ONLY),
	HISTORY(shortened, "shortened", .modes = BIT(MODE_SKB_PASS), .flags = TCP_ONLY),
	HISTORY(redirected_fin_then_program, "redirected-fin-then-program",
		.modes = BIT(MODE_SKB_REDIRECT)),
	HISTORY(redirected_fin_alone, "redirected-fin-alone", .modes = BIT(MODE_SKB_REDIRECT)),
	HISTORY(dropped_longer, "dropped-longer", .modes = BIT(MODE_SKB_PASS),
		.flags = ASK_READ | TCP_ONLY),
	HISTORY(longer_dropped_first, "longer-dropped-first", .modes = BIT(MODE_SKB_PASS),
		.flags = ASK_READ | TCP_ONLY),
	HISTORY(longer_dropped_leaves, "longer-dropped-leaves", .modes = BIT(MODE_SKB_PASS),
		.flags = ASK_SPLATS | TCP_ONLY),
	HISTORY(left_behind, "verdict-left-behind", .modes = BIT(MODE_SKB_PARSER) | BIT(MODE_PLAIN),
		.flags = ASK_SPLATS, .arg = &(const enum bpf_attach_type){ BPF_SK_SKB_STREAM_PARSER }),
	HISTORY(left_behind, "verdict-detached", .modes = BIT(MODE_SKB_PARSER) | BIT(MODE_PLAIN),
		.flags = ASK_SPLATS,
		.arg = &(const enum bpf_attach_type){ BPF_SK_SKB_STREAM_VERDICT }),
	HISTORY(parser_left_behind, "parser-left-behind",
		.modes = BIT(MODE_SKB_PARSER) | BIT(MODE_PLAIN), .flags = ASK_SPLATS),
	HISTORY(parser_stops_within, "parser-stops-within",
		.modes = BIT(MODE_SKB_PARSER) | BIT(MODE_PLAIN)),
	HISTORY(own_behind_redirected, "own-behind-redirected",
		.modes = BIT(MODE_SKB_REDIRECT) | AND_UNIX, .arg = &(const bool){ false }),
	HISTORY(own_behind_redirected, "own-behind-redirected-full",
		.modes = BIT(MODE_SKB_REDIRECT) | AND_UNIX, .arg = &(const bool){ true }),
	HISTORY(behind_own_fin, "behind-own-fin", .modes = BIT(MODE_SKB_REDIRECT)),
	HISTORY(ends_behind_full, "ends-behind-full", .modes = BIT(MODE_SKB_REDIRECT)),
	HISTORY(older_by_edges, "older-by-edges",
		.modes = BIT(MODE_SKB_PASS) | BIT(MODE_PLAIN) | AND_UNIX),
	HISTORY(partly_read_behind, "partly-read-behind", .modes = BIT(MODE_SKB_REDIRECT)),
	HISTORY(partly_read_before_backlog, "partly-read-before-backlog",
		.modes = BIT(MODE_SKB_REDIRECT)),
	HISTORY(partly_read_again, "partly-read-again",
		.modes = BIT(MODE_SKB_PASS) | BIT(MODE_PLAIN) | AND_UNIX),
	HISTORY(three_in_a_row, "three-in-a-row", .modes = MSG_MODES | BIT(MODE_PLAIN)),
	HISTORY(looked_twice, "looked-twice", .modes = MSG_MODES | BIT(MODE_PLAIN)),
	HISTORY(looked_at_nothing, "looked-at-nothing", .modes = MSG_MODES | BIT(MODE_PLAIN)),
	HISTORY(looked_at_nothing_plenty, "looked-at-nothing-plenty", .limit = 60,
		.modes = BIT(MODE_MSG_INGRESS), .flags = V4_ONLY),
	HISTORY(four_in_a_row, "four-in-a-row", .modes = MSG_MODES | BIT(MODE_PLAIN)),
	HISTORY(mere_target_waits, "mere-target-waits", .modes = BIT(MODE_SKB_REDIRECT) | AND_UNIX,
		.flags = ASK_READ),
	HISTORY(ends_within_record, "ends-within-record",
		.modes = BIT(MODE_SKB_PARSER) | BIT(MODE_PLAIN), .flags = ASK_READ),
	PLACE("", 0, 10000, false),
	PLACE("-piled-up", 50, 10000, false),
	PLACE("-edge", 0, 10000, true),
	/*
	 * tcp_collapse() starts at copied_seq, which a parser may have left behind: since 6.14, and
	 * stable, it dies by BUG() then, now and then, with read(2) as well. So these run only when
	 * they are asked for.
	 */
	SOAK_PLACE("-small", 0, RECORD, false),
	SOAK_PLACE("-small-edge", 0, RECORD, true),
	HISTORY(parser_short_record, "parser-short-record",
		.modes = BIT(MODE_SKB_PARSER) | BIT(MODE_PLAIN), .flags = ASK_READ),
	HISTORY(parser_unread, "parser-unread", .modes = BIT(MODE_SKB_PARSER) | BIT(MODE_PLAIN),
		.flags = ASK_READ),
	HISTORY(redirected_count, "redirected-counts-as-read", .modes = BIT(MODE_SKB_REDIRECT),
		.flags = ASK_READ),
	HISTORY(redirected_count_mixed, "redirected-counts-as-read-mixed",
		.modes = BIT(MODE_SKB_REDIRECT), .flags = ASK_READ),
	HISTORY(both_kinds, "both-kinds", .modes = BIT(MODE_MSG_INGRESS), .flags = ASK_READ),
};

const struct suite history_suite = SUITE(behaviours);
