// SPDX-License-Identifier: GPL-2.0
/*
 * Whole streams, checked byte by byte.
 *
 * Sizes lie around the page and the pipe buffer, and the chunks of sender and reader are chosen so
 * that the ends of messages, of pages and of splices fall apart in every way: many messages in one
 * splice, many splices in one message, and all of one size.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "take.h"

struct shape {
	size_t size, tx_chunk, rx_chunk;
	size_t pipe_size;
	int rcvbuf;
};

/* As long as the kernel needs to fill it. */
#define FILL_MS	300

static void stream(const struct test *t)
{
	const struct shape *shape = t->b->arg;
	struct sender s;
	struct reader r;
	struct link l;

	link_open(&l, t);
	if (shape->rcvbuf)
		set_buffer(l.rx, SO_RCVBUF, shape->rcvbuf);
	set_nonblock(l.rx);
	reader_open(&r, t);
	if (shape->pipe_size)
		reader_set_pipe_size(&r, shape->pipe_size);
	sender_start(&s, l.tx, 0, shape->size, shape->tx_chunk);
	if (shape->rcvbuf)
		sleep_ms(FILL_MS);
	receive_all(&r, l.rx, 0, shape->size, shape->rx_chunk);
	sender_join(&s);
	link_close(&l);
}

struct forwarder {
	struct reader r;
	int from, to;
	size_t size;
};

static void move(struct forwarder *f, char *buf, size_t len)
{
	ssize_t n, moved = 0;

	if (f->r.use_read)
		n = reader_take(&f->r, f->from, buf, len);
	else
		n = splice_to(f->from, f->r.pipe[1], len, 0);
	expect(n > 0, "forwarding: %s from the socket, %zu bytes to come", result_name(n), f->size);
	while (moved < n) {
		ssize_t m = f->r.use_read ? write(f->to, buf + moved, n - moved) :
			    splice_to(f->r.pipe[0], f->to, n - moved, 0);

		expect(m > 0, "forwarding: no more into the other socket");
		moved += m;
	}
	f->size -= n;
}

static void *run_forwarder(void *arg)
{
	struct forwarder *f = arg;
	char *buf = malloc(65536);

	while (f->size)
		move(f, buf, 65536);
	free(buf);
	return NULL;
}

/* What a proxy does: from the sockmap socket through a pipe into another connection. */
static void forward(const struct test *t)
{
	const struct shape *shape = t->b->arg;
	struct reader plain = { .use_read = true };
	struct forwarder f = { .size = shape->size };
	pthread_t thread;
	struct sender s;
	struct link l;
	int end;

	link_open(&l, t);
	end = stream_pair(t->family, &f.to);
	set_nonblock(end);
	reader_open(&f.r, t);
	f.from = l.rx;
	thread_start(&thread, run_forwarder, &f);
	sender_start(&s, l.tx, 0, shape->size, shape->tx_chunk);
	receive(&plain, end, 0, shape->size, shape->rx_chunk);
	sender_join(&s);
	pthread_join(thread, NULL);
	link_close(&l);
}

/* Both directions of one connection at the same time. */
static void duplex(const struct test *t)
{
	const struct shape *shape = t->b->arg;
	struct sender there, back;
	struct reader r;
	struct link l;

	link_open(&l, t);
	set_nonblock(l.rx);
	sender_start(&there, l.tx, 0, shape->size, shape->tx_chunk);
	sender_start(&back, l.rx, 0, shape->size, shape->tx_chunk);
	reader_open(&r, t);
	receive(&r, l.rx, 0, shape->size, shape->rx_chunk);
	set_nonblock(l.peer);
	receive(&r, l.peer, 0, shape->size, shape->rx_chunk);
	sender_join(&there);
	sender_join(&back);
	link_close(&l);
}

#define K 1024
#define M (1024 * 1024)
/* bytes, sender's chunk, reader's chunk, pipe size and SO_RCVBUF (0: the default) */
#define SHAPED(fn, text, ...) { .group = "stream", .name = text, .run = fn, \
	.modes = ALL_MODES | AND_UNIX, .flags = ASK_READ, .limit = 20, \
	.arg = &(const struct shape){ __VA_ARGS__ } }

static const struct behaviour behaviours[] = {
	SHAPED(stream, "1", 1, 1, 1, 0, 0),
	SHAPED(stream, "2-by-1-to-1M", 2, 1, M, 0, 0),
	SHAPED(stream, "4095-by-1000-to-4096", 4095, 1000, 4096, 0, 0),
	SHAPED(stream, "4096-by-4096-to-4096", 4096, 4096, 4096, 0, 0),
	SHAPED(stream, "4097-by-4097-to-7", 4097, 4097, 7, 0, 0),
	SHAPED(stream, "64k", 64 * K, 64 * K, 64 * K, 0, 0),
	SHAPED(stream, "64k-by-7-to-64k", 64 * K, 7, 64 * K, 0, 0),
	SHAPED(stream, "64k-by-64k-to-1000", 64 * K, 64 * K, 1000, 0, 0),
	SHAPED(stream, "100001-by-1000-to-4096", 100001, 1000, 4096, 0, 0),
	SHAPED(stream, "100001-by-4096-to-1000", 100001, 4096, 1000, 0, 0),
	SHAPED(stream, "100001-by-100001-to-1M", 100001, 100001, M, 0, 0),
	SHAPED(stream, "1M-by-1000-to-1M", M, 1000, M, 0, 0),
	SHAPED(stream, "1M-by-64k-to-4097", M, 64 * K, 4097, 0, 0),
	SHAPED(stream, "1M-by-1M-to-1M-wide-pipe", M, M, M, M, 0),
	SHAPED(stream, "4M-by-64k-to-64k", 4 * M, 64 * K, 64 * K, 0, 0),
	SHAPED(stream, "4M-by-1M-to-1M", 4 * M, M, M, 0, 0),
	/* Nothing comes behind it: what a full buffer stopped goes on because of the reader. */
	SHAPED(stream, "512k-beyond-rcvbuf", 512 * K, 8192, 64 * K, 0, 64 * K),
	SHAPED(forward, "forward-1M", M, 30011, 64 * K, 0, 0),
	{ .group = "stream", .name = "duplex-256k", .run = duplex,
	  .modes = (ALL_MODES & ~BIT(MODE_SKB_REDIRECT)) | AND_UNIX, .flags = ASK_READ,
	  .arg = &(const struct shape){ 256 * K, 10007, 4096, 0, 0 } },
};

const struct suite stream_suite = SUITE(behaviours);
