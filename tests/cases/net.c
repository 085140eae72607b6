// SPDX-License-Identifier: GPL-2.0
/*
 * Connections over the loopback, and the sockmap that they are put into.
 *
 * The behaviours don't care how the bytes get into the psock; all that differs between the modes is
 * which sockets there are, and that is settled here.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/mptcp.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "fault.h"
#include "net.h"
#include "pattern.h"

#ifndef SOL_MPTCP
#define SOL_MPTCP 284
#endif

#define PATIENCE_MS (2000 * slowness)
#define BUSY_MS		1000
#define ROOMY_RCVBUF (64 << 20)	/* for any stream of these tests at once */

static void listen_on_loopback(int fd, int family)
{
	struct sockaddr_in6 any = { .sin6_family = family };
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(any);

	if (family == AF_INET)
		((struct sockaddr_in *)&any)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		any.sin6_addr = in6addr_loopback;
	expect(!bind(fd, (struct sockaddr *)&any, len), "bind: %s", strerror(errno));
	expect(!listen(fd, 16), "listen: %s", strerror(errno));
}

int tcp_listen(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	expect(fd >= 0, "socket: %s", strerror(errno));
	listen_on_loopback(fd, family);
	return fd;
}

int tcp_connect(int listener)
{
	struct sockaddr_in6 addr;
	socklen_t len = sizeof(addr), protocol_len = sizeof(int);
	int fd, protocol;

	expect(!getsockopt(listener, SOL_SOCKET, SO_PROTOCOL, &protocol, &protocol_len),
	       "SO_PROTOCOL: %s", strerror(errno));
	expect(!getsockname(listener, (struct sockaddr *)&addr, &len), "getsockname: %s",
	       strerror(errno));
	fd = socket(addr.sin6_family, SOCK_STREAM | SOCK_CLOEXEC, protocol);
	expect(fd >= 0, "socket: %s", strerror(errno));
	expect(!connect(fd, (struct sockaddr *)&addr, len), "connect: %s", strerror(errno));
	return fd;
}

static int pair_of(int listener, int *connecting)
{
	int fd;

	*connecting = tcp_connect(listener);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	expect(fd >= 0, "accept: %s", strerror(errno));
	close(listener);
	return fd;
}

static int unix_pair(int *other)
{
	int ends[2];

	expect(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair: %s",
	       strerror(errno));
	*other = ends[1];
	return ends[0];
}

int stream_pair(int family, int *connecting)
{
	if (family == AF_UNIX)
		return unix_pair(connecting);
	return pair_of(tcp_listen(family), connecting);
}

int mptcp_pair(int family, int *connecting)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
	struct mptcp_info info = {};
	socklen_t len = sizeof(info);

	if (fd < 0)
		skip("no MPTCP on this kernel: %s", strerror(errno));
	listen_on_loopback(fd, family);
	fd = pair_of(fd, connecting);
	expect(!getsockopt(fd, SOL_MPTCP, MPTCP_INFO, &info, &len), "MPTCP_INFO: %s",
	       strerror(errno));
	expect(!(info.mptcpi_flags & MPTCP_INFO_FLAG_FALLBACK), "MPTCP fell back to TCP");
	return fd;
}

struct tcp_info tcp_info(int fd)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	expect(!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), "TCP_INFO: %s",
	       strerror(errno));
	return info;
}

struct sockmap *open_map(const struct test *t)
{
	struct sockmap *map;

	if (t->mode == MODE_MSG_APPLY && faults & VERDICT_GOES_ASTRAY)
		map = sockmap_open_apply_within_send();
	else
		map = sockmap_open(t->mode);
	expect(map, "sockmap_open: %s", strerror(errno));
	return map;
}

static void set_roomy_rcvbuf(int fd)
{
	int size = ROOMY_RCVBUF;

	expect(!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)),
	       "SO_RCVBUFFORCE: %s", strerror(errno));
}

static void connect_sockets(struct link *l, const struct test *t)
{
	memset(l, 0, sizeof(*l));
	l->t = t;
	l->via = -1;
	l->rx = stream_pair(t->family, &l->peer);
	l->tx = l->peer;
	if (t->mode == MODE_SKB_REDIRECT)
		l->via = stream_pair(t->family, &l->tx);
	if (t->mode == MODE_SKB_REDIRECT && faults & REDIRECT_STALLS)
		set_roomy_rcvbuf(l->rx);
}

void link_connect(struct link *l, const struct test *t)
{
	connect_sockets(l, t);
	if (t->mode == MODE_PLAIN)
		return;
	l->map = open_map(t);
}

int insert_again(struct sockmap *map, int fd)
{
	int err = -EBUSY;

	for (int ms = 0; err == -EBUSY && ms < 1000; ms++) {
		if (ms)
			sleep_ms(1);
		err = sockmap_insert(map, fd);
	}
	return err;
}

/* In skb-redirect mode tx stays out: it is the client of a proxy, and not on this machine's map. */
void link_insert_others(struct link *l)
{
	if (l->via < 0) {
		expect_result(insert_again(l->map, l->tx), 0, "insert of tx");
		return;
	}
	expect_result(sockmap_route(l->map, l->t->family == AF_UNIX ? l->tx : l->via, l->rx), 0,
		      "route");
	expect_result(insert_again(l->map, l->via), 0, "insert of via");
}

void link_insert(struct link *l)
{
	int err;

	if (!l->map)
		return;
	err = insert_again(l->map, l->rx);
	if (err == -EOPNOTSUPP && l->t->family == AF_UNIX)
		skip("this kernel takes no unix stream sockets into a sockmap");
	expect_result(err, 0, "insert of rx");
	link_insert_others(l);
}

bool sockmap_takes_unix(void)
{
	struct sockmap *map = open_map(&(const struct test){ .mode = MODE_SKB_PASS });
	int other, fd = unix_pair(&other);
	int err = sockmap_insert(map, fd);

	expect(!err || err == -EOPNOTSUPP, "insert of a unix socket: %s", strerror(-err));
	close(other);
	close(fd);
	sockmap_close(map);
	return !err;
}

bool sockmap_traces_reading(void)
{
	const struct test pass = { .mode = MODE_SKB_PASS, .family = AF_INET };
	struct link l;
	bool unread;

	link_open(&l, &pass);
	send_pattern(l.peer, 0, 100, 100);
	await_readable(l.rx);
	unread = tcp_unread(l.rx);
	link_close(&l);
	return unread;
}

bool sockmap_gives_second_verdict(void)
{
	const struct test pass = { .mode = MODE_SKB_PASS, .family = AF_INET };
	struct link l;
	int err;

	link_connect(&l, &pass);
	bare_sockmap_insert(l.rx);
	expect_result(sockmap_insert(l.map, l.rx), 0, "insert of rx");
	expect_result(sockmap_remove(l.map, l.rx), 0, "removal of rx");
	err = sockmap_insert(l.map, l.rx);
	expect(!err || err == -EBUSY, "insert of rx, again: %s", strerror(-err));
	link_close(&l);
	return !err;
}

void link_open(struct link *l, const struct test *t)
{
	link_connect(l, t);
	link_insert(l);
}

void link_use_map(struct link *l, struct sockmap *map)
{
	expect(map, "a map of one's own: %s", strerror(errno));
	sockmap_close(l->map);
	l->map = map;
}

void link_use_records(struct link *l, size_t bytes)
{
	link_use_map(l, sockmap_open_records(bytes));
}

void link_open_in(struct link *l, const struct test *t, struct sockmap *map)
{
	connect_sockets(l, t);
	l->map = map;
	l->map_is_shared = true;
	link_insert(l);
}

void link_remove(struct link *l)
{
	if (!l->map)
		return;
	if (l->via >= 0)
		expect_result(sockmap_remove(l->map, l->via), 0, "removal of via");
	else
		expect_result(sockmap_remove(l->map, l->tx), 0, "removal of tx");
	expect_result(sockmap_remove(l->map, l->rx), 0, "removal of rx");
}

/*
 * What comes through another connection is not ordered with this one's FIN, so in skb-redirect mode
 * wait until it has all arrived. Peeking is harmless there: nothing of it is in rx's receive queue.
 */
static void await_redirected(struct link *l, size_t sent)
{
	char *buf = malloc(sent + 1);
	double end = now() + PATIENCE_MS / 1000.0;
	ssize_t n = 0;

	while (sent && n != (ssize_t)sent) {
		expect(now() < end, "redirect: %zd of %zu bytes arrived", n, sent);
		if (n)
			sleep_ms(5);
		await_readable(l->rx);
		n = recv(l->rx, buf, sent, MSG_PEEK | MSG_DONTWAIT);
	}
	free(buf);
}

void link_finish(struct link *l, size_t sent)
{
	if (l->via >= 0)
		await_redirected(l, sent);
	expect(!shutdown(l->peer, SHUT_WR), "shutdown: %s", strerror(errno));
}

void link_close(struct link *l)
{
	if (l->via >= 0) {
		close(l->tx);
		close(l->via);
	}
	close(l->peer);
	close(l->rx);
	if (l->map && !l->map_is_shared)
		sockmap_close(l->map);
}

/* libbpf does that too. Before 5.11 maps count as locked memory, of which 64 KiB are allowed. */
static void allow_locked_memory(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	expect(!setrlimit(RLIMIT_MEMLOCK, &unlimited), "RLIMIT_MEMLOCK: %s", strerror(errno));
}

static int bare_sockmap(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 4, .max_entries = 1,
	};
	int map;

	allow_locked_memory();
	map = syscall(__NR_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
	expect(map >= 0, "BPF_MAP_CREATE: %s", strerror(errno));
	return map;
}

int sockmap_insert_patiently(struct sockmap *map, int fd)
{
	int err = -EBUSY;

	for (int ms = 0; err == -EBUSY && ms < BUSY_MS; ms++) {
		if (ms)
			sleep_ms(1);
		err = sockmap_insert(map, fd);
	}
	return err;
}

void bare_sockmap_insert(int fd)
{
	__u32 key = 0, value = fd;
	union bpf_attr attr;
	int err = EBUSY;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = bare_sockmap();
	attr.key = (unsigned long)&key;
	attr.value = (unsigned long)&value;
	for (int ms = 0; err == EBUSY && ms < BUSY_MS; ms++) {
		if (ms)
			sleep_ms(1);
		err = syscall(__NR_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)) ? errno : 0;
	}
	expect(!err, "BPF_MAP_UPDATE_ELEM: %s", strerror(err));
}

void set_nonblock(int fd)
{
	int on = 1;

	expect(!ioctl(fd, FIONBIO, &on), "FIONBIO: %s", strerror(errno));
}

void set_blocking(int fd, bool blocking)
{
	int flags = fcntl(fd, F_GETFL);

	expect(flags >= 0 && !fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK :
				    flags | O_NONBLOCK), "F_SETFL: %s", strerror(errno));
}

void set_nodelay(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) && errno != EOPNOTSUPP)
		fail("TCP_NODELAY: %s", strerror(errno));
}

void set_buffer(int fd, int option, int size)
{
	expect(!setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size)), "SO_*BUF: %s",
	       strerror(errno));
}

void set_rcvtimeo(int fd, int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	expect(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), "SO_RCVTIMEO: %s",
	       strerror(errno));
}

void reset(int fd)
{
	struct linger hard = { .l_onoff = 1 };

	expect(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), "SO_LINGER: %s",
	       strerror(errno));
	close(fd);
}

bool readable_within(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

void await_readable(int fd)
{
	expect(readable_within(fd, PATIENCE_MS), "poll: not readable within %d ms", PATIENCE_MS);
}

bool has_bytes(int fd)
{
	char first;

	return recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static unsigned int port_of(int fd, int (*name)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_in6 addr;
	socklen_t len = sizeof(addr);

	expect(!name(fd, (struct sockaddr *)&addr, &len), "name of a socket: %s", strerror(errno));
	return ntohs(addr.sin6_port);
}

static bool find_unread(const char *path, unsigned int local, unsigned int remote, size_t *unread)
{
	char line[512];
	bool found = false;
	FILE *f = fopen(path, "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		unsigned int local_port, remote_port;

		found = sscanf(line, "%*s %*[^:]:%x %*[^:]:%x %*x %*[^:]:%zx", &local_port,
			       &remote_port, unread) == 3 &&
			local_port == local && remote_port == remote;
	}
	if (f)
		fclose(f);
	return found;
}

/* Both ends are in the same table: only the ports together tell which is which. */
size_t tcp_unread(int fd)
{
	unsigned int local = port_of(fd, getsockname), remote = port_of(fd, getpeername);
	size_t unread;

	expect(find_unread("/proc/net/tcp", local, remote, &unread) ||
	       find_unread("/proc/net/tcp6", local, remote, &unread),
	       "the socket isn't in /proc/net/tcp");
	return unread;
}

static void await_writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	poll(&p, 1, -1);
}

void send_pattern(int fd, uint64_t offset, size_t size, size_t chunk)
{
	char *buf = malloc(chunk);

	expect(buf, "no memory");
	while (size) {
		size_t want = size < chunk ? size : chunk, done = 0;

		pattern_fill(buf, offset, want);
		while (done < want) {
			ssize_t n = send(fd, buf + done, want - done, MSG_NOSIGNAL);

			if (n < 0 && errno == EAGAIN) {
				await_writable(fd);
				continue;
			}
			expect(n > 0, "send at byte %llu: %s", (unsigned long long)(offset + done),
			       strerror(errno));
			done += n;
		}
		offset += want;
		size -= want;
	}
	free(buf);
}

void send_apart(int fd, uint64_t offset, size_t size, size_t chunk)
{
	int other, sink = stream_pair(AF_INET, &other);

	set_nodelay(fd);
	set_nodelay(other);
	for (uint64_t end = offset + size; offset < end; offset += chunk) {
		send_pattern(fd, offset, end - offset < chunk ? end - offset : chunk, chunk);
		send_pattern(other, offset, chunk, chunk);
	}
	close(other);
	close(sink);
}

void lo_up(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	expect(!ioctl(fd, SIOCSIFFLAGS, &lo), "lo up: %s", strerror(errno));
	close(fd);
}

void thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	int err = pthread_create(thread, NULL, run, arg);

	expect(!err, "pthread_create: %s", strerror(err));
}

void run_on(pid_t tid, int first, int last)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	for (int cpu = first; cpu <= last; cpu++)
		CPU_SET(cpu, &cpus);
	expect(!sched_setaffinity(tid, sizeof(cpus), &cpus), "affinity: %s", strerror(errno));
}

static void *run_sender(void *arg)
{
	struct sender *s = arg;

	send_pattern(s->fd, s->offset, s->size, s->chunk);
	return NULL;
}

void sender_start(struct sender *s, int fd, uint64_t offset, size_t size, size_t chunk)
{
	*s = (struct sender){ .fd = fd, .offset = offset, .size = size, .chunk = chunk };
	thread_start(&s->thread, run_sender, s);
}

void sender_join(struct sender *s)
{
	pthread_join(s->thread, NULL);
}
