// SPDX-License-Identifier: GPL-2.0
/*
 * The pipe's side of splice. A pipe is read here with the bytes checked, so that a test can
 * leave them in the pipe while it does something to the socket, the map or the module, and look
 * afterwards.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pattern.h"
#include "pipe_io.h"
#include "take.h"

#define GATHER_MS (600 * slowness)
#define SCRIBBLE 50

void pipe_open(struct pipe *p, size_t size)
{
	int ends[2];

	expect(!pipe2(ends, O_CLOEXEC), "pipe: %s", strerror(errno));
	p->rd = ends[0];
	p->wr = ends[1];
	if (size)
		pipe_resize(p, size);
}

void pipe_close(struct pipe *p)
{
	close(p->rd);
	close(p->wr);
}

void pipe_resize(struct pipe *p, size_t size)
{
	expect(fcntl(p->wr, F_SETPIPE_SZ, size) >= 0, "F_SETPIPE_SZ %zu: %s", size,
	       strerror(errno));
}

size_t pipe_bytes(struct pipe *p)
{
	int n;

	expect(!ioctl(p->rd, FIONREAD, &n), "FIONREAD on a pipe: %s", strerror(errno));
	return n;
}

void pipe_expect(struct pipe *p, uint64_t offset, size_t len, size_t chunk)
{
	char *buf = malloc(chunk);

	expect(buf, "no memory");
	expect(pipe_bytes(p) >= len, "%zu bytes in the pipe, expected %zu", pipe_bytes(p), len);
	while (len) {
		ssize_t n = read(p->rd, buf, len < chunk ? len : chunk);

		expect(n > 0, "pipe: %s", n ? strerror(errno) : "end of file");
		pattern_check(buf, offset, n, "in the pipe");
		offset += n;
		len -= n;
	}
	free(buf);
}

void pipe_expect_empty(struct pipe *p)
{
	expect(!pipe_bytes(p), "%zu bytes left in the pipe", pipe_bytes(p));
}

void pipe_scribble(struct pipe *p)
{
	char text[SCRIBBLE];

	memset(text, 'X', sizeof(text));
	expect(write(p->wr, text, sizeof(text)) == sizeof(text), "write: %s", strerror(errno));
}

void pipe_expect_scribble(struct pipe *p)
{
	char text[SCRIBBLE], want[SCRIBBLE];

	memset(want, 'X', sizeof(want));
	expect(read(p->rd, text, sizeof(text)) == sizeof(text), "pipe: %s", strerror(errno));
	expect(!memcmp(text, want, sizeof(want)), "what was written to the pipe is not in it");
}

void gather(int fd, struct pipe *p, size_t len)
{
	double end = now() + GATHER_MS / 1000.0;

	while (len) {
		ssize_t n = splice_to(fd, p->wr, len, SPLICE_F_NONBLOCK);

		if (n == -EAGAIN && now() < end) {
			sleep_ms(1);
			continue;
		}
		expect(n > 0, "%zu more bytes to splice: %s", len, result_name(n));
		len -= n;
	}
}
