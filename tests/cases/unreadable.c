// SPDX-License-Identifier: GPL-2.0
/*
 * Bytes in memory that no pipe can refer to: that of a device, whose fragments have no page.
 *
 * Guests have no such device, so a module of the tests (tests/unreadable) takes a page away.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net.h"
#include "take.h"

#define BYTES		1000
#define MODULE_FILE	"/module/unreadable.ko"
#define SOCKET_FILE	"/sys/module/unreadable/parameters/socket"

static void need_module(void)
{
	int fd = open(MODULE_FILE, O_RDONLY | O_CLOEXEC), err;

	expect(fd >= 0, MODULE_FILE ": %s", strerror(errno));
	err = syscall(__NR_finit_module, fd, "", 0) ? errno : 0;
	close(fd);
	expect(!err || err == EEXIST, "load of " MODULE_FILE ": %s", strerror(err));
}

static void set_socket(int fd)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", fd);
	expect_result(write_file(SOCKET_FILE, 0, text), 0, SOCKET_FILE " < %d", fd);
}

static void first_page(const struct test *t)
{
	struct reader r;
	struct link l;
	char buf[BYTES];

	need_module();
	link_open(&l, t);
	set_nonblock(l.rx);
	reader_open(&r, t);
	send_pattern(l.tx, 0, BYTES, BYTES);
	await_readable(l.rx);
	set_socket(l.rx);
	expect_result(reader_take(&r, l.rx, buf, BYTES), -EFAULT, "bytes without a page");
	expect_result(reader_take(&r, l.rx, buf, BYTES), -EFAULT, "the same again");
	set_socket(-1);
	receive_all(&r, l.rx, 0, BYTES, BYTES);
}

static const struct behaviour behaviours[] = {
	{ .group = "data", .name = "unreadable", .run = first_page,
	  .modes = SOCKMAP_MODES | AND_UNIX, .flags = V4_ONLY },
};

const struct suite unreadable_suite = SUITE(behaviours);
