// SPDX-License-Identifier: GPL-2.0
/*
 * The neighbours: sockets that are none of a sockmap's business go on as before while one is in use
 * beside them, and sendfile(2), the other system call that ends in a socket's splice_read.
 *
 * All of these pass on a stock kernel, except sendfile on a sockmap socket.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "knobs.h"
#include "net.h"
#include "pattern.h"
#include "pipe_io.h"
#include "take.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define ARRIVES_MS	100

/* A sockmap under traffic while the case lasts, by read(2): that works on any kernel. */
struct traffic {
	struct test t;
	struct link l;
	atomic_bool stop;
};

static void *run_traffic(void *arg)
{
	struct traffic *tr = arg;
	char buf[2000];

	while (!tr->stop) {
		send_pattern(tr->l.tx, 0, sizeof(buf), sizeof(buf));
		while (readable_within(tr->l.rx, 1))
			if (read(tr->l.rx, buf, sizeof(buf)) <= 0)
				break;
	}
	return NULL;
}

static void start_traffic(struct traffic *tr, pthread_t *thread)
{
	tr->t = (struct test){ .mode = MODE_MSG_INGRESS, .family = AF_INET };
	link_open(&tr->l, &tr->t);
	set_nonblock(tr->l.rx);
	thread_start(thread, run_traffic, tr);
}

/* From `tx` to `rx` with the sockmap in use; what `rx` is, it is no socket of a sockmap. */
static void expect_unaffected(const struct test *t, int tx, int rx, size_t size, size_t chunk)
{
	static struct traffic tr;
	pthread_t thread;
	struct sender s;
	struct reader r;

	start_traffic(&tr, &thread);
	set_nonblock(rx);
	reader_open(&r, t);
	r.flags = SPLICE_F_NONBLOCK;	/* which is what splice on kTLS goes by */
	sender_start(&s, tx, 0, size, chunk);
	receive_all(&r, rx, 0, size, 4096);
	sender_join(&s);
	tr.stop = true;
	pthread_join(thread, NULL);
}

static void plain_tcp(const struct test *t)
{
	int tx, rx = stream_pair(t->family, &tx);

	expect_unaffected(t, tx, rx, 300000, 10007);
}

static void mptcp(const struct test *t)
{
	int tx, rx = mptcp_pair(t->family, &tx);

	expect_unaffected(t, tx, rx, 300000, 10007);
}

static void unix_stream(const struct test *t)
{
	int ends[2];

	expect(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair: %s",
	       strerror(errno));
	expect_unaffected(t, ends[0], ends[1], 300000, 10007);
}

/* Datagrams that are sent from two processors may overtake each other. */
static void stay_on_this_cpu(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	expect(!sched_setaffinity(0, sizeof(here), &here), "affinity: %s", strerror(errno));
}

/* One datagram at a time: the loopback drops what doesn't fit the receive buffer. */
static void udp(const struct test *t)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int rx = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int tx = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	stay_on_this_cpu();
	expect(!bind(rx, (struct sockaddr *)&addr, len), "bind: %s", strerror(errno));
	getsockname(rx, (struct sockaddr *)&addr, &len);
	expect(!connect(tx, (struct sockaddr *)&addr, len), "connect: %s", strerror(errno));
	expect_unaffected(t, tx, rx, 16000, 4000);
}

static void set_tls_key(int fd, int direction)
{
	struct tls12_crypto_info_aes_gcm_128 key = {
		.info = { .version = TLS_1_2_VERSION, .cipher_type = TLS_CIPHER_AES_GCM_128 },
	};

	if (setsockopt(fd, SOL_TLS, direction, &key, sizeof(key)))
		skip("kTLS with AES-GCM: %s", strerror(errno));
}

static void ktls(const struct test *t)
{
	int tx, rx = stream_pair(AF_INET, &tx);

	if (setsockopt(tx, SOL_TCP, TCP_ULP, "tls", sizeof("tls")) ||
	    setsockopt(rx, SOL_TCP, TCP_ULP, "tls", sizeof("tls")))
		skip("no kTLS on this kernel: %s", strerror(errno));
	set_tls_key(tx, TLS_TX);
	set_tls_key(rx, TLS_RX);
	expect_unaffected(t, tx, rx, 100000, 10007);
}

/* A socket in a map already that gets a ULP: without keys recvmsg() is sockmap's still. */
static void open_with_ulp(struct link *l, const struct test *t)
{
	link_open(l, t);
	if (setsockopt(l->rx, SOL_TCP, TCP_ULP, "tls", sizeof("tls")))
		skip("no tls on a socket that is in a map: %s", strerror(errno));
}

static void ulp_stream(const struct test *t)
{
	const size_t size = 100000;
	struct sender s;
	struct reader r;
	struct link l;
	char buf[100];

	open_with_ulp(&l, t);
	set_nonblock(l.rx);
	reader_open(&r, t);
	sender_start(&s, l.tx, 0, size, 10007);
	receive_all(&r, l.rx, 0, size, 4096);
	sender_join(&s);
	link_finish(&l, 0);
	await_readable(l.rx);
	expect_result(reader_take(&r, l.rx, buf, sizeof(buf)), 0, "the end");
}

static void ulp_waits(const struct test *t)
{
	struct call c;
	struct link l;

	open_with_ulp(&l, t);
	call_start_asleep(&c, t, l.rx, 4000);
	send_pattern(l.tx, 0, 1000, 1000);
	expect_result(call_end(&c, "1000 bytes came"), 1000, "bytes");
	pattern_check(c.buf, 0, 1000, "after the sleep");
}

static ssize_t sendfile_to(struct pipe *p, int fd, size_t len)
{
	ssize_t n = sendfile(p->wr, fd, NULL, len);

	return n < 0 ? -errno : n;
}

/* sendfile(2) to a pipe is a splice; kernels before 5.12 don't know it, whatever the socket. */
static void need_sendfile(const struct test *t)
{
	int tx, rx = stream_pair(t->family, &tx);
	struct pipe p;

	pipe_open(&p, 0);
	send_pattern(tx, 0, 1, 1);
	await_readable(rx);
	if (sendfile_to(&p, rx, 1) == -EINVAL)
		skip("this kernel has no sendfile from a plain TCP socket to a pipe");
}

static void sendfile_data(const struct test *t)
{
	const size_t size = 30000;
	size_t got = 0;
	struct link l;
	struct pipe p;

	need_sendfile(t);
	link_open(&l, t);
	set_nonblock(l.rx);
	pipe_open(&p, 0);
	send_pattern(l.tx, 0, size, 4000);
	while (got < size) {
		ssize_t n;

		await_readable(l.rx);
		n = sendfile_to(&p, l.rx, size);
		expect(n > 0, "sendfile after %zu bytes: %s", got, result_name(n));
		pipe_expect(&p, got, n, 4096);
		got += n;
	}
	expect_result(sendfile_to(&p, l.rx, size), -EAGAIN, "sendfile after all bytes");
	link_finish(&l, 0);
	await_readable(l.rx);
	expect_result(sendfile_to(&p, l.rx, size), 0, "sendfile after FIN");
}

/*
 * An urgent byte: splice(2) doesn't get beyond its mark, and says 0 there. Some programs take it
 * for a byte like the others. Nobody sleeps in front of it while there are bytes.
 */
static void urgent(const struct test *t)
{
	const ssize_t part = 1000, whole = 2 * part + 1;
	ssize_t n, taken = 0;
	struct link l;

	link_open(&l, t);
	send_pattern(l.tx, 0, part, part);
	expect(send(l.tx, "!", 1, MSG_OOB) == 1, "MSG_OOB: %s", strerror(errno));
	send_pattern(l.tx, part, part, part);
	sleep_ms(ARRIVES_MS * slowness);
	do {
		struct call c;

		call_start(&c, t, l.rx, 2 * whole);
		n = call_end(&c, "an urgent byte came");
		expect(n >= 0, "at byte %zd: %s", taken, result_name(n));
		if (taken < part)
			pattern_check(c.buf, taken, n < part - taken ? n : part - taken,
				      "before the mark");
		taken += n;
		expect(n || taken >= part, "0 at byte %zd, in front of the mark", taken);
	} while (n && taken < whole - 1);
	note("%zd bytes, the last call %s", taken, result_name(n));
	link_close(&l);
}

/* rx is in the map and its peer isn't, so the mark is in the ordinary queue. */
static void urgent_mark(const struct test *t)
{
	const ssize_t part = 1000;
	struct call c;
	struct link l;

	link_connect(&l, t);
	if (l.map)
		expect_result(sockmap_insert(l.map, l.rx), 0, "insert of rx");
	send_pattern(l.tx, 0, part, part);
	expect(send(l.tx, "!", 1, MSG_OOB) == 1, "MSG_OOB: %s", strerror(errno));
	send_pattern(l.tx, part, part, part);
	sleep_ms(ARRIVES_MS * slowness);
	call_start(&c, t, l.rx, 2 * part);
	expect_result(call_end(&c, "an urgent byte came"), part, "in front of the mark");
	pattern_check(c.buf, 0, part, "in front of the mark");
	for (int i = 0; i < 2; i++) {
		call_start(&c, t, l.rx, 2 * part);
		expect_result(call_end(&c, "the mark was reached"), 0, "at the mark");
	}
	link_close(&l);
}

/* Sends bytes with a descriptor, which is closed here: the kernel has it until they are read. */
static void send_with_file(int fd, uint64_t offset, size_t size, int file)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = {
		.cmsg_len = CMSG_LEN(sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	} };
	char buf[size];
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	pattern_fill(buf, offset, size);
	memcpy(CMSG_DATA(&control.header), &file, sizeof(file));
	expect(sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)size, "SCM_RIGHTS: %s",
	       strerror(errno));
	close(file);
}

/*
 * Files that came before the program. A call doesn't go beyond the bytes that bring some, and who
 * can't take them has them closed.
 */
static void passed_files(const struct test *t)
{
	char buf[4000], count[64];
	struct reader r;
	struct pipe p;
	struct link l;

	if (t->mode != MODE_PLAIN && !sockmap_takes_unix())
		skip("this kernel takes no unix stream sockets into a sockmap");
	link_connect(&l, t);
	set_nonblock(l.rx);
	reader_open(&r, t);
	pipe_open(&p, 0);
	send_with_file(l.peer, 0, 1000, p.wr);
	send_pattern(l.peer, 1000, 1000, 1000);
	if (l.map)
		expect_result(sockmap_insert(l.map, l.rx), 0, "insert of rx");
	expect_result(reader_take(&r, l.rx, buf, sizeof(buf)), 1000, "bytes with a file");
	pattern_check(buf, 0, 1000, "bytes with a file");
	receive_all(&r, l.rx, 1000, 1000, 1000);
	expect(!read(p.rd, buf, 1), "the file that was passed is open still");
	snprintf(buf, sizeof(buf), "/proc/self/fdinfo/%d", l.rx);
	grep_file(buf, "scm_fds:", count, sizeof(count));
	expect(!strstr(count, "scm_fds:") || strstr(count, "scm_fds: 0\n"), "files on their way: %s",
	       count);
}

#define OTHER(fn, text, ...) { .group = "other", .name = text, .run = fn, __VA_ARGS__ }

static const struct behaviour behaviours[] = {
	OTHER(plain_tcp, "tcp", .modes = BIT(MODE_PLAIN), .flags = ASK_READ),
	OTHER(mptcp, "mptcp", .modes = BIT(MODE_PLAIN), .flags = ASK_READ),
	OTHER(udp, "udp", .flags = ASK_READ),
	OTHER(unix_stream, "unix-stream", .flags = ASK_READ),
	OTHER(ktls, "ktls", .flags = ASK_READ, .limit = 20),
	OTHER(ulp_stream, "ulp-without-keys", .modes = ALL_MODES, .flags = ASK_READ | V4_ONLY),
	OTHER(ulp_waits, "ulp-without-keys-waits", .modes = MSG_MODES | BIT(MODE_SKB_PASS),
	      .flags = ASK_READ | V4_ONLY),
	OTHER(urgent, "urgent", .modes = SKB_MODES | BIT(MODE_PLAIN), .flags = ASK_READ),
	OTHER(urgent_mark, "urgent-mark", .modes = MSG_MODES | BIT(MODE_PLAIN)),
	OTHER(passed_files, "passed-files", .modes = UNIX_MODES | AND_UNIX,
	      .flags = ASK_READ | UNIX_ONLY),
	{ .group = "sendfile", .name = "data", .run = sendfile_data, .modes = ALL_MODES },
};

const struct suite other_suite = SUITE(behaviours);
