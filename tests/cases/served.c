// SPDX-License-Identifier: GPL-2.0
/*
 * Whether splice(2) is served now, for cases that load and unload the module or make that fail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>

#include "net.h"
#include "served.h"
#include "take.h"

void stream(const struct test *t, size_t size)
{
	struct sender s;
	struct reader r;
	struct link l;

	link_open(&l, t);
	set_nonblock(l.rx);
	reader_open(&r, t);
	sender_start(&s, l.tx, 0, size, 8192);
	receive_all(&r, l.rx, 0, size, 65536);
	sender_join(&s);
	reader_close(&r);
	link_close(&l);
}

static const struct test simplest = { .mode = MODE_MSG_INGRESS, .family = AF_INET };

void expect_served(void)
{
	stream(&simplest, 20000);
}

void expect_splice_gives(ssize_t want, const char *whose)
{
	struct reader r;
	struct link l;
	char buf[10];

	link_open(&l, &simplest);
	set_nonblock(l.rx);
	reader_open(&r, &simplest);
	send_pattern(l.tx, 0, 10, 10);
	await_readable(l.rx);
	expect_result(reader_take(&r, l.rx, buf, sizeof(buf)), want, "%s splice", whose);
	reader_close(&r);
	link_close(&l);
}

void expect_not_served(void)
{
	expect_splice_gives(-EAGAIN, "the kernel's own");
}
