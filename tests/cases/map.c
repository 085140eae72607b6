// SPDX-License-Identifier: GPL-2.0
/*
 * The socket on its way into the map, in it twice, and out of it.
 *
 * A connection carries bytes before it is in the map: those are in sk_receive_queue, those after
 * are in the psock, and a reader has to give them out in the order in which they were sent.
 * Stock recvmsg doesn't where an sk_msg program is at work (it looks into the psock first), so
 * read(2) isn't asked there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net.h"
#include "pattern.h"
#include "take.h"

#define BEFORE	1000
#define AFTER	5000
#define ROUNDS	4

struct scene {
	struct link l;
	struct reader r;
};

static void connect_scene(struct scene *s, const struct test *t)
{
	link_connect(&s->l, t);
	set_nonblock(s->l.rx);
	reader_open(&s->r, t);
}

static void before_insert(const struct test *t)
{
	struct scene s;

	connect_scene(&s, t);
	send_pattern(s.l.tx, 0, BEFORE, BEFORE);
	await_readable(s.l.via < 0 ? s.l.rx : s.l.via);
	link_insert(&s.l);
	send_pattern(s.l.tx, BEFORE, AFTER, 1000);
	receive_all(&s.r, s.l.rx, 0, BEFORE + AFTER, 4096);
}

/* A reader has found nothing before there was a program. That doesn't make what comes next its. */
static void program_later(const struct test *t)
{
	struct scene s;
	char byte;

	connect_scene(&s, t);
	bare_sockmap_insert(s.l.rx);
	expect_result(reader_take(&s.r, s.l.rx, &byte, 1), -EAGAIN, "nothing there");
	send_pattern(s.l.tx, 0, BEFORE, BEFORE);
	await_readable(s.l.rx);
	link_insert(&s.l);
	receive_all(&s.r, s.l.rx, 0, BEFORE, 4096);
	send_pattern(s.l.tx, BEFORE, AFTER, 1000);
	receive_all(&s.r, s.l.rx, BEFORE, AFTER, 4096);
}

/* Nothing comes after the insert that would push what came before through the verdict program. */
static void only_before_insert(const struct test *t)
{
	struct scene s;

	connect_scene(&s, t);
	send_pattern(s.l.peer, 0, BEFORE, BEFORE);
	await_readable(s.l.rx);
	link_insert(&s.l);
	receive_all(&s.r, s.l.rx, 0, BEFORE, 4096);
}

/*
 * What a reader left of an skb before the insert is all that may come of it. A mere verdict program
 * isn't asked about: on newer kernels tcp_read_skb() gives it the whole skb, whoever reads.
 */
static void partly_read_before_insert(const struct test *t)
{
	struct scene s;

	connect_scene(&s, t);
	send_pattern(s.l.peer, 0, BEFORE, BEFORE);
	await_readable(s.l.rx);
	receive(&s.r, s.l.rx, 0, 400, 400);
	link_insert(&s.l);
	receive(&s.r, s.l.rx, 400, BEFORE - 400, 4096);
	send_pattern(s.l.tx, BEFORE, AFTER, 1000);
	receive_all(&s.r, s.l.rx, BEFORE, AFTER, 4096);
}

static void fin_before_insert(const struct test *t)
{
	struct scene s;
	char buf[10];

	connect_scene(&s, t);
	send_pattern(s.l.tx, 0, BEFORE, BEFORE);
	await_readable(s.l.via < 0 ? s.l.rx : s.l.via);
	link_insert(&s.l);
	send_pattern(s.l.tx, BEFORE, AFTER, 1000);
	link_finish(&s.l, BEFORE + AFTER);
	receive(&s.r, s.l.rx, 0, BEFORE + AFTER, 4096);
	expect_result(reader_take(&s.r, s.l.rx, buf, sizeof(buf)), 0, "behind all bytes");
}

/* A cgroup of this process alone, whose connections go into the map as they are established. */
static void own_cgroup(struct sockmap *map)
{
	char dir[64], procs[96];
	int fd;

	snprintf(dir, sizeof(dir), "/sys/fs/cgroup/cases.%d", getpid());
	expect(!mkdir(dir, 0755), "%s: %s", dir, strerror(errno));
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", dir);
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	expect(fd >= 0 && write(fd, "0", 1) == 1, "%s: %s", procs, strerror(errno));
	close(fd);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect_result(sockmap_attach_cgroup(map, fd), 0, "attach to the cgroup");
	close(fd);
}

static void leave_cgroup(void)
{
	char dir[64];
	int fd = open("/sys/fs/cgroup/cgroup.procs", O_WRONLY | O_CLOEXEC);

	expect(fd >= 0 && write(fd, "0", 1) == 1, "cgroup.procs: %s", strerror(errno));
	close(fd);
	snprintf(dir, sizeof(dir), "/sys/fs/cgroup/cases.%d", getpid());
	rmdir(dir);
}

struct unaccepted {
	struct sockmap *map;
	int listener, client;
};

/* A connection that the sockops program put into the map, with bytes in it, not yet accepted. */
static void connect_unaccepted(struct unaccepted *u, const struct test *t)
{
	u->map = open_map(t);
	own_cgroup(u->map);
	u->listener = tcp_listen(t->family);
	u->client = tcp_connect(u->listener);
	send_pattern(u->client, 0, BEFORE, BEFORE);
}

static int accept_it(struct unaccepted *u)
{
	int fd = accept4(u->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	expect(fd >= 0, "accept: %s", strerror(errno));
	leave_cgroup();
	return fd;
}

static void before_accept(const struct test *t)
{
	struct unaccepted u;
	struct reader r;
	int rx;

	connect_unaccepted(&u, t);
	rx = accept_it(&u);
	reader_open(&r, t);
	receive(&r, rx, 0, BEFORE, 4096);
	send_pattern(u.client, BEFORE, AFTER, 1000);
	receive_all(&r, rx, BEFORE, AFTER, 4096);
}

static void around_accept(const struct test *t)
{
	struct unaccepted u;
	struct reader r;
	int rx;

	connect_unaccepted(&u, t);
	rx = accept_it(&u);
	send_pattern(u.client, BEFORE, AFTER, 1000);
	reader_open(&r, t);
	receive_all(&r, rx, 0, BEFORE + AFTER, 4096);
}

static void fin_before_accept(const struct test *t)
{
	struct unaccepted u;
	struct reader r;
	char buf[10];
	int rx;

	connect_unaccepted(&u, t);
	expect(!shutdown(u.client, SHUT_WR), "shutdown: %s", strerror(errno));
	sleep_ms(50);
	rx = accept_it(&u);
	reader_open(&r, t);
	receive(&r, rx, 0, BEFORE, 4096);
	expect_result(reader_take(&r, rx, buf, sizeof(buf)), 0, "behind all bytes");
}

/* What the sockops program gets to see are MPTCP's subflows; not every kernel lets them in. */
static void mptcp(const struct test *t)
{
	struct sockmap *map = open_map(t);
	struct reader r;
	int tx, rx;

	own_cgroup(map);
	rx = mptcp_pair(t->family, &tx);
	leave_cgroup();
	set_nonblock(rx);
	reader_open(&r, t);
	send_pattern(tx, 0, AFTER, 1000);
	receive_all(&r, rx, 0, AFTER, 4096);
}

/* Bytes in sk_receive_queue of a socket that is in the map: its peer got there only later. */
static void both_queues(const struct test *t)
{
	struct scene s;

	connect_scene(&s, t);
	expect_result(sockmap_insert(s.l.map, s.l.rx), 0, "insert of rx");
	send_pattern(s.l.tx, 0, BEFORE, BEFORE);
	await_readable(s.l.rx);
	expect_result(sockmap_insert(s.l.map, s.l.tx), 0, "insert of tx");
	send_pattern(s.l.tx, BEFORE, AFTER, 1000);
	receive_all(&s.r, s.l.rx, 0, BEFORE + AFTER, 4096);
}

/* The sender joins and leaves the map, so its bytes come by this way and by that. */
static void alternating(const struct test *t)
{
	struct scene s;
	size_t sent = 0;

	connect_scene(&s, t);
	expect_result(sockmap_insert(s.l.map, s.l.rx), 0, "insert of rx");
	for (int i = 0; i < ROUNDS; i++) {
		send_pattern(s.l.tx, sent, BEFORE, BEFORE);
		receive_all(&s.r, s.l.rx, sent, BEFORE, 4096);
		sent += BEFORE;
		expect_result(sockmap_insert(s.l.map, s.l.tx), 0, "insert of tx");
		send_pattern(s.l.tx, sent, BEFORE, BEFORE);
		receive_all(&s.r, s.l.rx, sent, BEFORE, 4096);
		sent += BEFORE;
		expect_result(sockmap_remove(s.l.map, s.l.tx), 0, "removal of tx");
	}
}

/* The sender leaves while the reader waits: the bytes come by the queue it wasn't waiting for. */
static void sender_leaves(const struct test *t)
{
	struct link l;
	struct call c;

	link_open(&l, t);
	call_start_asleep(&c, t, l.rx, 4000);
	expect_result(sockmap_remove(l.map, l.tx), 0, "removal of tx");
	send_pattern(l.tx, 0, BEFORE, BEFORE);
	expect_result(call_end(&c, "bytes by plain TCP"), BEFORE, "bytes by plain TCP");
	pattern_check(c.buf, 0, BEFORE, "bytes by plain TCP");
}

static void expect_passes(struct scene *s, int fd, size_t offset)
{
	send_pattern(fd, offset, BEFORE, BEFORE);
	receive_all(&s->r, s->l.rx, offset, BEFORE, 4096);
}

static void removed(const struct test *t)
{
	struct scene s;

	connect_scene(&s, t);
	link_insert(&s.l);
	expect_passes(&s, s.l.tx, 0);
	link_remove(&s.l);
	expect_passes(&s, s.l.peer, BEFORE);
	expect_passes(&s, s.l.peer, 2 * BEFORE);
}

static void removed_asleep(const struct test *t)
{
	struct link l;
	struct call c;

	link_open(&l, t);
	call_start_asleep(&c, t, l.rx, 4000);
	link_remove(&l);
	call_expect_asleep(&c, 60);
	send_pattern(l.peer, 0, BEFORE, BEFORE);
	expect_result(call_end(&c, "the socket left and got bytes"), BEFORE, "the blocked call");
	pattern_check(c.buf, 0, BEFORE, "the blocked call");
}

static void removed_asleep_fin(const struct test *t)
{
	struct link l;
	struct call c;

	link_open(&l, t);
	call_start_asleep(&c, t, l.rx, 4000);
	link_remove(&l);
	expect(!shutdown(l.peer, SHUT_WR), "shutdown: %s", strerror(errno));
	expect_result(call_end(&c, "the socket left and got FIN"), 0, "the blocked call");
}

static void reinserted(const struct test *t)
{
	struct scene s;

	connect_scene(&s, t);
	for (int i = 0; i < ROUNDS; i++) {
		link_insert(&s.l);
		expect_passes(&s, s.l.tx, i * BEFORE);
		link_remove(&s.l);
	}
}

/* The kernel refuses to put a socket with programs into a map again. No byte minds. */
static void inserted_twice(const struct test *t)
{
	struct scene s;
	int err;

	connect_scene(&s, t);
	link_insert(&s.l);
	for (int i = 0; i < ROUNDS; i++) {
		send_pattern(s.l.tx, i * BEFORE, BEFORE, BEFORE);
		err = sockmap_insert(s.l.map, s.l.rx);
		expect(!err || err == -EBUSY, "second insert: %s", result_name(err));
		receive_all(&s.r, s.l.rx, i * BEFORE, BEFORE, 4096);
	}
}

struct churn {
	struct scene s;
	atomic_bool stop;
	pthread_t sender, reader;
};

static void *churn_sender(void *arg)
{
	struct churn *c = arg;
	char buf[3000];

	pattern_fill(buf, 0, sizeof(buf));
	while (!c->stop)
		if (send(c->s.l.tx, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			sleep_ms(1);
	return NULL;
}

static void *churn_reader(void *arg)
{
	struct churn *c = arg;
	char buf[5000];

	while (!c->stop)
		if (reader_take(&c->s.r, c->s.l.rx, buf, sizeof(buf)) <= 0)
			sleep_ms(1);
	return NULL;
}

/* EBUSY: a reader still holds the psock of the time before. ENOENT: it wasn't put in for that. */
static void churn_once(struct link *l, int fd, int (*change)(struct sockmap *, int))
{
	int err = change(l->map, fd);

	expect(!err || err == -EBUSY || err == -ENOENT, "in and out: %s", result_name(err));
}

/*
 * Into the map and out of it under traffic. What is in the psock when a socket leaves is lost,
 * to read(2) as well, so there is no stream to check: the kernel has to survive it, and to say
 * nothing. Behind a parser Linux 7.3 doesn't, without any module and by read(2) alone: it dies in
 * tcp_collapse(), by BUG(), or where it takes strp_work from its queue. So that case runs only when
 * it is asked for.
 */
static void churned(const struct test *t)
{
	static struct churn c;
	int other;

	connect_scene(&c.s, t);
	other = c.s.l.via < 0 ? c.s.l.tx : c.s.l.via;
	if (c.s.l.via >= 0)
		expect_result(sockmap_route(c.s.l.map, c.s.l.via, c.s.l.rx), 0, "route");
	thread_start(&c.sender, churn_sender, &c);
	thread_start(&c.reader, churn_reader, &c);
	for (int i = 0; i < 40; i++) {
		churn_once(&c.s.l, c.s.l.rx, sockmap_insert);
		churn_once(&c.s.l, other, sockmap_insert);
		sleep_ms(i % 5);
		churn_once(&c.s.l, c.s.l.rx, sockmap_remove);
		churn_once(&c.s.l, other, sockmap_remove);
		sleep_ms(i % 3);
	}
	c.stop = true;
	pthread_join(c.sender, NULL);
	pthread_join(c.reader, NULL);
	link_close(&c.s.l);
}

/* In a map without programs nothing is diverted: the socket goes on as plain TCP. */
static void no_programs(const struct test *t)
{
	struct scene s;

	connect_scene(&s, t);
	send_pattern(s.l.tx, 0, BEFORE, BEFORE);
	bare_sockmap_insert(s.l.rx);
	send_pattern(s.l.tx, BEFORE, AFTER, 1000);
	receive_all(&s.r, s.l.rx, 0, BEFORE + AFTER, 4096);
}

#define MAP_CASE(fn, text, ...) { .group = "map", .name = text, .run = fn, __VA_ARGS__ }
#define PLAIN BIT(MODE_PLAIN)

static const struct behaviour behaviours[] = {
	MAP_CASE(before_insert, "before-insert", .modes = MSG_MODES | PLAIN),
	MAP_CASE(before_insert, "before-insert", .modes = SKB_MODES, .flags = ASK_READ),
	MAP_CASE(only_before_insert, "only-before-insert", .modes = ALL_MODES, .flags = ASK_READ),
	MAP_CASE(program_later, "program-later", .modes = BIT(MODE_SKB_PASS) | AND_UNIX,
		 .flags = ASK_READ),
	MAP_CASE(partly_read_before_insert, "partly-read-before-insert",
		 .modes = MSG_MODES | BIT(MODE_SKB_PARSER) | PLAIN, .flags = ASK_READ),
	MAP_CASE(fin_before_insert, "before-insert-fin", .modes = MSG_MODES | PLAIN),
	MAP_CASE(fin_before_insert, "before-insert-fin", .modes = SKB_MODES, .flags = ASK_READ),
	MAP_CASE(before_accept, "before-accept", .modes = SOCKMAP_MODES, .flags = ASK_READ),
	MAP_CASE(around_accept, "around-accept", .modes = SOCKMAP_MODES, .flags = ASK_READ),
	MAP_CASE(fin_before_accept, "before-accept-fin", .modes = SOCKMAP_MODES, .flags = ASK_READ),
	MAP_CASE(mptcp, "mptcp", .modes = SOCKMAP_MODES, .flags = ASK_READ | V4_ONLY),
	MAP_CASE(both_queues, "both-queues", .modes = MSG_MODES),
	MAP_CASE(alternating, "alternating", .modes = MSG_MODES, .flags = ASK_READ),
	MAP_CASE(sender_leaves, "sender-leaves", .modes = MSG_MODES, .flags = ASK_READ),
	MAP_CASE(removed, "removed", .modes = ALL_MODES, .flags = ASK_READ),
	MAP_CASE(removed_asleep, "removed-asleep", .modes = ALL_MODES, .flags = ASK_SPLATS),
	MAP_CASE(removed_asleep_fin, "removed-asleep-fin", .modes = ALL_MODES,
		 .flags = ASK_SPLATS),
	MAP_CASE(reinserted, "reinserted", .modes = ALL_MODES, .flags = ASK_READ),
	MAP_CASE(inserted_twice, "inserted-twice", .modes = SOCKMAP_MODES, .flags = ASK_READ),
	MAP_CASE(churned, "churn", .modes = SOCKMAP_MODES & ~BIT(MODE_SKB_PARSER),
		 .flags = ASK_READ | V4_ONLY),
	{ .group = "soak", .name = "churn", .run = churned, .modes = BIT(MODE_SKB_PARSER),
	  .flags = ASK_READ | V4_ONLY | SOAK },
	MAP_CASE(no_programs, "no-programs", .modes = PLAIN, .flags = ASK_READ),
};

const struct suite map_suite = SUITE(behaviours);
