// SPDX-License-Identifier: GPL-2.0
/*
 * Unloading while the module is in use. It has to end in bounded time whatever the readers do,
 * and no reader may notice: a call that is asleep goes on sleeping in the kernel's own function,
 * without EINTR, and delivers what that function can see. Bytes are neither lost nor repeated.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ko.h"
#include "net.h"
#include "pattern.h"
#include "pipe_io.h"
#include "ring.h"
#include "take.h"

#define NR_SLEEPERS	6
#define NR_CROWD	64
#define NR_BUSY		3
#define RELOADS		6
#define IN_FLIGHT	200000
#define BYTES		500
#define LOCKED_MS	100
#define HELD_MS		2500	/* longer than any unload takes */
#define NR_COUNTED	2

/* A stream that goes on until told. Nonblocking: without the module it finds nothing. */
struct traffic {
	struct link l;
	struct reader r;
	pthread_t sender, reader;
	atomic_bool stop, all_sent;
	atomic_size_t sent, taken;
};

static void *run_sender(void *arg)
{
	struct traffic *tr = arg;

	while (!tr->stop) {
		if (tr->sent > tr->taken + IN_FLIGHT) {
			sleep_ms(1);
			continue;
		}
		send_pattern(tr->l.tx, tr->sent, 3001, 3001);
		tr->sent += 3001;
	}
	tr->all_sent = true;
	return NULL;
}

static void *run_reader(void *arg)
{
	struct traffic *tr = arg;
	char buf[8000];

	while (!tr->all_sent || tr->taken < tr->sent) {
		ssize_t n = reader_take(&tr->r, tr->l.rx, buf, sizeof(buf));

		if (n == -EAGAIN) {
			sleep_ms(1);
			continue;
		}
		expect(n > 0, "a reader under traffic: %s", result_name(n));
		pattern_check(buf, tr->taken, n, "under traffic");
		tr->taken += n;
	}
	return NULL;
}

static void traffic_start(struct traffic *tr, const struct test *t)
{
	link_open(&tr->l, t);
	set_nonblock(tr->l.rx);
	reader_open(&tr->r, t);
	thread_start(&tr->sender, run_sender, tr);
	thread_start(&tr->reader, run_reader, tr);
}

static void traffic_stop(struct traffic *tr)
{
	double end = now() + 3 * slowness;

	tr->stop = true;
	pthread_join(tr->sender, NULL);
	while (tr->taken < tr->sent) {
		expect(now() < end, "%zu of %zu bytes arrived", tr->taken, tr->sent);
		sleep_ms(1);
	}
	pthread_join(tr->reader, NULL);
}

static void expect_goes_on(struct traffic *tr)
{
	size_t before = tr->taken;
	double end = now() + 2 * slowness;

	while (tr->taken == before) {
		expect(now() < end, "no byte for 2 s with the module loaded");
		sleep_ms(1);
	}
}

static void under_traffic(const struct test *t)
{
	static struct traffic tr;

	ko_need();
	traffic_start(&tr, t);
	for (int i = 0; i < RELOADS; i++) {
		expect_goes_on(&tr);
		ko_unload_in_time();
		sleep_ms(10 * (i % 3));
		expect_result(ko_load(""), 0, "load under traffic");
	}
	expect_goes_on(&tr);
	traffic_stop(&tr);
}

struct sleepers {
	struct link l[NR_SLEEPERS];
	struct call c[NR_SLEEPERS];
};

static void sleepers_start(struct sleepers *s, const struct test *t, int rcvtimeo)
{
	for (int i = 0; i < NR_SLEEPERS; i++) {
		link_open(&s->l[i], t);
		if (rcvtimeo)
			set_rcvtimeo(s->l[i].rx, rcvtimeo);
		call_start_asleep(&s->c[i], t, s->l[i].rx, 4000);
	}
}

static void expect_all_asleep(struct sleepers *s, const struct test *t)
{
	double end = now() + PATIENCE_MS / 1000.0;

	for (int i = 0; i < NR_SLEEPERS; i++) {
		call_expect_asleep(&s->c[i], 10);
		while (!taking(t, s->c[i].tid)) {
			expect(now() < end, "reader %d isn't asleep again", i);
			sleep_ms(1);
		}
	}
}

/* Out of the map they are plain TCP, and the stock function that they sleep in serves them. */
static void expect_plain_tcp_wakes(struct sleepers *s)
{
	for (int i = 0; i < NR_SLEEPERS; i++) {
		link_remove(&s->l[i]);
		send_pattern(s->l[i].peer, 0, BYTES, BYTES);
		expect_result(call_end(&s->c[i], "plain TCP bytes"), BYTES, "reader %d", i);
		pattern_check(s->c[i].buf, 0, BYTES, "after the unload");
	}
}

static void asleep(const struct test *t)
{
	static struct sleepers s;

	ko_need();
	sleepers_start(&s, t, 0);
	note("unload took %.3f s", ko_unload_in_time());
	expect_all_asleep(&s, t);
	expect_plain_tcp_wakes(&s);
}

static void *stay_busy(void *arg)
{
	atomic_bool *stop = arg;

	while (!*stop)
		;
	return NULL;
}

/*
 * The same with the CPUs taken by others, streams among them; not of a mode in which stock kernels
 * may stall a stream.
 */
static void asleep_under_load(const struct test *t)
{
	static const struct test stream = { .mode = MODE_MSG_INGRESS, .family = AF_INET };
	static atomic_bool stop;
	static struct sleepers s;
	static struct traffic tr;
	pthread_t busy[NR_BUSY];

	ko_need();
	sleepers_start(&s, t, 0);
	traffic_start(&tr, &stream);
	for (int i = 0; i < NR_BUSY; i++)
		thread_start(&busy[i], stay_busy, &stop);
	expect_goes_on(&tr);
	note("unload took %.3f s", ko_unload_in_time());
	stop = true;
	expect_all_asleep(&s, t);
	expect_result(ko_load(""), 0, "load");
	traffic_stop(&tr);
	expect_plain_tcp_wakes(&s);
}

/* SO_RCVTIMEO would make a signal end the call with EINTR. This is none. */
static void asleep_timeout(const struct test *t)
{
	static struct sleepers s;

	ko_need();
	sleepers_start(&s, t, 4000);
	ko_unload_in_time();
	expect_all_asleep(&s, t);
	expect_plain_tcp_wakes(&s);
}

static void timeout_runs_out(const struct test *t)
{
	struct link l;
	struct call c;

	ko_need();
	link_open(&l, t);
	set_rcvtimeo(l.rx, 500);
	call_start_asleep(&c, t, l.rx, 4000);
	ko_unload_in_time();
	expect_result(call_end(&c, "the unload"), -EAGAIN, "SO_RCVTIMEO over an unload");
}

/* Many readers of one socket. */
static void crowd_asleep(const struct test *t)
{
	static struct call c[NR_CROWD];
	struct link l;

	ko_need();
	link_open(&l, t);
	for (int i = 0; i < NR_CROWD; i++)
		call_start_asleep(&c[i], t, l.rx, 4000);
	note("unload took %.3f s", ko_unload_in_time());
	for (int i = 0; i < NR_CROWD; i++)
		call_expect_asleep(&c[i], 1);
	link_remove(&l);
	expect(!shutdown(l.peer, SHUT_WR), "shutdown: %s", strerror(errno));
	for (int i = 0; i < NR_CROWD; i++)
		expect_result(call_end(&c[i], "FIN"), 0, "reader %d of many", i);
}

static void reset_after(const struct test *t)
{
	static struct sleepers s;

	ko_need();
	sleepers_start(&s, t, 0);
	ko_unload_in_time();
	for (int i = 0; i < NR_SLEEPERS; i++)
		reset(s.l[i].peer);
	for (int i = 0; i < NR_SLEEPERS; i++)
		expect_result(call_end(&s.c[i], "RST"), -ECONNRESET, "reader %d", i);
}

static void bytes_in_pipe(const struct test *t)
{
	struct pipe p;
	struct link l;

	ko_need();
	link_open(&l, t);
	set_nonblock(l.rx);
	pipe_open(&p, 0);
	send_pattern(l.tx, 0, 40000, 4000);
	gather(l.rx, &p, 40000);
	ko_unload_in_time();
	link_close(&l);
	pipe_expect(&p, 0, 20000, 777);
	pipe_close(&p);
}

/* Bytes that were queued when the module went are there when it comes back. */
static void bytes_in_socket(const struct test *t)
{
	struct reader r;
	struct link l;

	ko_need();
	link_open(&l, t);
	set_nonblock(l.rx);
	reader_open(&r, t);
	send_pattern(l.tx, 0, 10000, 10000);
	receive(&r, l.rx, 0, 3000, 3000);
	ko_unload_in_time();
	expect_result(ko_load(""), 0, "load");
	receive_all(&r, l.rx, 3000, 7000, 4096);
}

/* A worker of io_uring's has no system call to restart: its request ends with EINTR. */
static void ring_asleep(const struct test *t)
{
	struct ring ring;
	struct link l;
	struct pipe p;

	ko_need();
	ring_open(&ring);
	link_open(&l, t);
	pipe_open(&p, 0);
	ring_splice(&ring, l.rx, p.wr, 4096);
	expect_result(ring_result(&ring, 100), -ETIME, "splice with nothing there");
	ko_unload_in_time();
	expect_result(ring_result(&ring, PATIENCE_MS), -EINTR, "splice that waited at the unload");
}

/*
 * A call that keeps a socket's lock: the page it sends from isn't there before it is served.
 */
struct lock_holder {
	pthread_t thread;
	int fd, uffd;
	char *page;
	size_t size;
};

static void *run_lock_holder(void *arg)
{
	struct lock_holder *h = arg;

	expect(send(h->fd, h->page, 1, MSG_NOSIGNAL) == 1, "send: %s", strerror(errno));
	return NULL;
}

static void lock_hold(struct lock_holder *h, int fd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffd_msg fault;

	h->fd = fd;
	h->uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (h->uffd < 0)
		skip("no userfaultfd in this kernel: %s", strerror(errno));
	h->size = getpagesize();
	h->page = mmap(NULL, h->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(h->page != MAP_FAILED, "mmap: %s", strerror(errno));
	range.range.start = (uintptr_t)h->page;
	range.range.len = h->size;
	expect(!ioctl(h->uffd, UFFDIO_API, &api) && !ioctl(h->uffd, UFFDIO_REGISTER, &range),
	       "userfaultfd: %s", strerror(errno));
	thread_start(&h->thread, run_lock_holder, h);
	expect(read(h->uffd, &fault, sizeof(fault)) == sizeof(fault), "no page fault: %s",
	       strerror(errno));
}

static void lock_let_go(struct lock_holder *h)
{
	struct uffdio_zeropage zero = { .range = { (uintptr_t)h->page, h->size } };

	expect(!ioctl(h->uffd, UFFDIO_ZEROPAGE, &zero), "UFFDIO_ZEROPAGE: %s", strerror(errno));
	pthread_join(h->thread, NULL);
}

static void *run_unload(void *arg)
{
	atomic_bool *unloaded = arg;

	expect_result(ko_unload(), 0, "unload");
	*unloaded = true;
	return NULL;
}

/* A reader that waits for the socket's lock is in the module, and nothing can wake it. */
static void locked_out(const struct test *t)
{
	static atomic_bool unloaded;
	struct lock_holder holder;
	pthread_t unloader;
	struct call c;
	struct link l;

	ko_need();
	link_open(&l, t);
	lock_hold(&holder, l.rx);
	call_start(&c, t, l.rx, 4000);
	call_expect_asleep(&c, LOCKED_MS);
	thread_start(&unloader, run_unload, &unloaded);
	sleep_ms(HELD_MS * slowness);
	expect(!unloaded, "unloaded with a reader in the module's text");
	lock_let_go(&holder);
	pthread_join(unloader, NULL);
	call_expect_asleep(&c, LOCKED_MS);
	link_finish(&l, 0);
	expect_result(call_end(&c, "FIN"), 0, "the call, in the kernel's function");
}

static const struct test simplest = { .mode = MODE_MSG_INGRESS, .family = AF_INET };

/* Calls that start again are counted, which can be seen while another one keeps the module. */
static void restarts_counted(const struct test *t)
{
	static atomic_bool unloaded;
	struct link l[NR_COUNTED], held;
	struct call c[NR_COUNTED], last;
	struct lock_holder holder;
	pthread_t unloader;
	long long before;
	double end;

	ko_need();
	before = ko_counter("Restarts");
	for (int i = 0; i < NR_COUNTED; i++) {
		link_open(&l[i], t);
		call_start_asleep(&c[i], t, l[i].rx, 4000);
	}
	link_open(&held, &simplest);
	lock_hold(&holder, held.rx);
	call_start(&last, t, held.rx, 4000);
	call_expect_asleep(&last, LOCKED_MS);
	thread_start(&unloader, run_unload, &unloaded);
	end = now() + (HELD_MS * slowness + PATIENCE_MS) / 1000.0;
	while (ko_counter("Restarts") != before + NR_COUNTED) {
		expect(now() < end, "%lld of %d calls that started again were counted",
		       ko_counter("Restarts") - before, NR_COUNTED);
		sleep_ms(5);
	}
	expect(!unloaded, "unloaded with a reader in the module's text");
	lock_let_go(&holder);
	pthread_join(unloader, NULL);
	for (int i = 0; i < NR_COUNTED; i++)
		call_expect_asleep(&c[i], 1);
}

#define CPU_ONLINE "/sys/devices/system/cpu/cpu1/online"

/* A reader that went to sleep on a CPU which has been taken away since. */
static void asleep_offline(const struct test *t)
{
	struct link l;
	struct call c;
	int err;

	ko_need();
	if (access(CPU_ONLINE, W_OK))
		skip("no second CPU that can be taken away");
	link_open(&l, t);
	run_on(0, 1, 1);
	call_start_asleep(&c, t, l.rx, 4000);
	run_on(0, 0, CPU_SETSIZE - 1);
	run_on(c.tid, 0, CPU_SETSIZE - 1);
	expect_result(write_file(CPU_ONLINE, 0, "0"), 0, "CPU 1 offline");
	err = ko_unload();
	expect_result(write_file(CPU_ONLINE, 0, "1"), 0, "CPU 1 online");
	expect_result(err, 0, "unload");
	call_expect_asleep(&c, 1);
}

#define UNLOAD(fn, text, ...) { .group = "module", .name = "unload-" text, .run = fn, \
	.modes = SOCKMAP_MODES | AND_UNIX, __VA_ARGS__ }

static const struct behaviour behaviours[] = {
	/* Without the module, splice on a unix socket overtakes what is in ingress_msg. */
	UNLOAD(under_traffic, "under-traffic", .flags = ASK_READ | V4_ONLY | TCP_ONLY, .limit = 30),
	UNLOAD(asleep, "asleep", .flags = ASK_SPLATS, .limit = 20),
	UNLOAD(asleep_under_load, "asleep-under-load", .flags = ASK_SPLATS | V4_ONLY, .limit = 30),
	UNLOAD(asleep_timeout, "asleep-timeout", .flags = ASK_SPLATS | V4_ONLY, .limit = 20),
	UNLOAD(timeout_runs_out, "timeout-runs-out", .flags = V4_ONLY),
	UNLOAD(crowd_asleep, "crowd-asleep", .flags = ASK_SPLATS | V4_ONLY, .limit = 20),
	UNLOAD(reset_after, "reset-after", .flags = V4_ONLY | TCP_ONLY, .limit = 20),
	UNLOAD(bytes_in_pipe, "bytes-in-pipe", .flags = V4_ONLY),
	UNLOAD(bytes_in_socket, "bytes-in-socket", .flags = V4_ONLY),
	UNLOAD(locked_out, "locked-out", .flags = ASK_SPLATS | V4_ONLY | TCP_ONLY, .limit = 20),
	UNLOAD(ring_asleep, "io_uring-asleep", .flags = V4_ONLY),
	{ .group = "module", .name = "unload-counts", .run = restarts_counted,
	  .modes = BIT(MODE_MSG_INGRESS) | BIT(MODE_SKB_PASS) | AND_UNIX, .flags = V4_ONLY,
	  .limit = 20 },
	{ .group = "module", .name = "unload-offline", .run = asleep_offline,
	  .modes = BIT(MODE_MSG_INGRESS), .flags = V4_ONLY, .limit = 20 },
};

const struct suite unload_suite = SUITE(behaviours);
