// SPDX-License-Identifier: GPL-2.0
/*
 * The arms: read(2); splice(2) to a pipe and then read(2), as the benchmark of the upstream series
 * does it; splice(2) to a pipe and on to /dev/null; and proxies, from socket to socket.
 *
 * A splice(2) moves no more bytes than the pipe has pages, so for calls of more than the default
 * pipe's 64 KiB the pipe is as large as the call; Go's runtime does the same. The stream repeats
 * itself every PERIOD bytes, so that sending it costs no more than handing over a buffer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cases/pattern.h"
#include "../cases/test.h"
#include "arm.h"

#define PERIOD		(1 << 20)
#define DEFAULT_PIPE	(64 << 10)

static char *stream;

void stream_init(void)
{
	stream = malloc(2 * PERIOD);
	expect(stream, "no memory");
	pattern_fill(stream, 0, PERIOD);
	memcpy(stream + PERIOD, stream, PERIOD);
}

const char *stream_bytes(uint64_t offset)
{
	return stream + offset % PERIOD;
}

void stream_check(const char *buf, uint64_t offset, size_t len, const char *what)
{
	if (memcmp(buf, stream_bytes(offset), len))
		pattern_check(buf, offset % PERIOD, len, what);
}

void profile_begin(void)
{
	__asm__ volatile("");
}

static size_t moved(ssize_t n, const char *what)
{
	expect(n > 0, "%s: %s", what, n ? strerror(errno) : "end of file");
	return n;
}

static size_t to_pipe(struct arm_state *a)
{
	a->calls++;
	return moved(splice(a->in, NULL, a->pipe[1], NULL, a->block, 0), "splice from the socket");
}

static void from_pipe(struct arm_state *a, int to, size_t len)
{
	while (len) {
		a->calls++;
		len -= moved(splice(a->pipe[0], NULL, to, NULL, len, 0), "splice from the pipe");
	}
}

static void read_pipe(struct arm_state *a, int fd, size_t len)
{
	size_t done = 0;

	while (done < len) {
		a->calls++;
		done += moved(read(fd, a->buf + done, len - done), "read from the pipe");
	}
}

/* A stock recvmsg() says EAGAIN now and then, on a socket that blocks. */
static ssize_t read_socket(struct arm_state *a)
{
	ssize_t n;

	do {
		a->calls++;
		n = read(a->in, a->buf, a->block);
	} while (n < 0 && errno == EAGAIN);
	return n;
}

static size_t take_read(struct arm_state *a, uint64_t offset, bool checked)
{
	size_t n = moved(read_socket(a), "read");

	if (checked)
		stream_check(a->buf, offset, n, "read");
	return n;
}

static size_t take_splice_read(struct arm_state *a, uint64_t offset, bool checked)
{
	size_t n = to_pipe(a);

	read_pipe(a, a->pipe[0], n);
	if (checked)
		stream_check(a->buf, offset, n, "read from the pipe");
	return n;
}

static size_t take_splice_null(struct arm_state *a, uint64_t offset, bool checked)
{
	size_t n = to_pipe(a), seen = 0;

	while (checked && seen < n) {
		size_t m = moved(tee(a->pipe[0], a->copy[1], n - seen, 0), "tee");

		read_pipe(a, a->copy[0], m);
		stream_check(a->buf, offset + seen, m, "on its way to /dev/null");
		from_pipe(a, a->null, m);
		seen += m;
	}
	from_pipe(a, a->null, n - seen);
	return n;
}

static size_t take_proxy_read(struct arm_state *a, uint64_t offset, bool checked)
{
	size_t n = take_read(a, offset, checked), written = 0;

	while (written < n) {
		a->calls++;
		written += moved(write(a->out, a->buf + written, n - written), "write");
	}
	return n;
}

/* What comes out of it is checked at the sink. */
static size_t take_proxy_splice(struct arm_state *a, uint64_t offset, bool checked)
{
	size_t n = to_pipe(a);

	(void)offset;
	(void)checked;
	from_pipe(a, a->out, n);
	return n;
}

void profile_end(void)
{
	__asm__ volatile("");
}

const struct arm arms[] = {
	{ "read", false, false, take_read },
	{ "splice-read", true, false, take_splice_read },
	{ "splice-null", true, false, take_splice_null },
	{ "proxy-read", false, true, take_proxy_read },
	{ "proxy-splice", true, true, take_proxy_splice },
	{ }
};

static void open_pipe(int pipe[2], size_t block)
{
	expect(!pipe2(pipe, O_CLOEXEC), "pipe: %s", strerror(errno));
	if (block > DEFAULT_PIPE)
		expect(fcntl(pipe[1], F_SETPIPE_SZ, block) >= 0, "F_SETPIPE_SZ: %s",
		       strerror(errno));
}

void arm_open(struct arm_state *a, int in, size_t block)
{
	a->in = in;
	a->block = block;
	a->buf = malloc(block);
	a->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	expect(a->buf && a->null >= 0, "can't prepare: %s", strerror(errno));
	open_pipe(a->pipe, block);
	open_pipe(a->copy, block);
}

void arm_close(struct arm_state *a)
{
	for (int i = 0; i < 2; i++) {
		close(a->pipe[i]);
		close(a->copy[i]);
	}
	close(a->null);
	free(a->buf);
}
