/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CASES_TAKE_H
#define CASES_TAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "test.h"

/* How long a reader may go on sleeping after what has to wake it. */
#define PATIENCE_MS	(1500 * slowness)

/* Reads by the method of the run: read(2), or splice(2) into a pipe that is emptied at once. */
struct reader {
	bool use_read;
	int pipe[2];
	unsigned int flags;	/* of splice */
};

void reader_open(struct reader *r, const struct test *t);
void reader_set_pipe_size(struct reader *r, size_t size);
void reader_close(struct reader *r);
/* One read or splice: bytes taken, 0, or -errno. */
ssize_t reader_take(struct reader *r, int fd, void *buf, size_t len);

/* The stream bytes [offset, offset + size) from a nonblocking socket, `chunk` at a time. */
void receive(struct reader *r, int fd, uint64_t offset, size_t size, size_t chunk);
/* The same, and nothing behind them. */
void receive_all(struct reader *r, int fd, uint64_t offset, size_t size, size_t chunk);

/* splice(2) to a pipe in the form of our results: bytes, 0, or -errno. */
ssize_t splice_to(int fd, int pipe_wr, size_t len, unsigned int flags);

/* Is that thread asleep in the system call that the run reads by? */
bool taking(const struct test *t, pid_t tid);

/* A read or splice in a thread of its own, for calls that are meant to sleep. */
struct call {
	pthread_t thread;
	struct reader r;
	int fd;
	size_t len;
	char *buf;
	ssize_t result;
	atomic_int tid, done;
};

void call_start(struct call *c, const struct test *t, int fd, size_t len);
/* In two steps, for a call with flags or a pipe of its own. */
void call_prepare(struct call *c, const struct test *t, int fd, size_t len);
void call_run_asleep(struct call *c, const struct test *t);
/* Both, and the thread is asleep in the system call when this returns. */
void call_start_asleep(struct call *c, const struct test *t, int fd, size_t len);
bool call_done_within(struct call *c, int ms);
/* Fails the case when the call returns within that time. */
void call_expect_asleep(struct call *c, int ms);
/* The result; fails the case when the call outlasts our patience after the event described. */
ssize_t call_end(struct call *c, const char *event);

#endif
