/* SPDX-License-Identifier: GPL-2.0 */
/* Pipes as objects of a test: their size, what is in them, how they are filled and emptied. */
#ifndef CASES_PIPE_IO_H
#define CASES_PIPE_IO_H

#include <stdint.h>
#include <sys/types.h>

struct pipe {
	int rd, wr;
};

/* `size` 0: the default. */
void pipe_open(struct pipe *p, size_t size);
void pipe_close(struct pipe *p);
void pipe_resize(struct pipe *p, size_t size);
/* Bytes in the pipe. */
size_t pipe_bytes(struct pipe *p);
/* Takes `len` bytes out, which must be the stream's at `offset`, at most `chunk` at a time. */
void pipe_expect(struct pipe *p, uint64_t offset, size_t len, size_t chunk);
void pipe_expect_empty(struct pipe *p);
/* Writes some bytes that are in no stream, few enough to be appended to another buffer. */
void pipe_scribble(struct pipe *p);
void pipe_expect_scribble(struct pipe *p);
/* Splices exactly `len` bytes from a nonblocking socket into a pipe that has room for them. */
void gather(int fd, struct pipe *p, size_t len);

#endif
