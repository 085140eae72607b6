// SPDX-License-Identifier: GPL-2.0
/*
 * The ways out of a test case. Each writes one line, which the runner passes on as a diagnostic,
 * and leaves the child process at once: with other threads asleep in the kernel there is nobody
 * to unwind. And the few things that any case may need.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static void say(const char *prefix, const char *fmt, va_list args)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, args);
	dprintf(STDOUT_FILENO, "%s%s\n", prefix, text);
}

void fail_at(const char *file, int line, const char *fmt, ...)
{
	char prefix[64];
	va_list args;

	snprintf(prefix, sizeof(prefix), "%s:%d: ", file, line);
	va_start(args, fmt);
	say(prefix, fmt, args);
	va_end(args);
	_exit(EXIT_FAILED);
}

void skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say("", fmt, args);
	va_end(args);
	_exit(EXIT_SKIPPED);
}

void note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say("", fmt, args);
	va_end(args);
}

const char *result_name(ssize_t result)
{
	static __thread char text[4][32];
	static __thread unsigned int turn;
	char *out = text[turn++ % 4];
	const char *name = result < 0 ? strerrorname_np(-result) : NULL;

	if (name)
		snprintf(out, sizeof(text[0]), "-%s", name);
	else
		snprintf(out, sizeof(text[0]), "%zd", result);
	return out;
}

void expect_result_at(const char *file, int line, ssize_t got, ssize_t want, const char *fmt, ...)
{
	char what[256];
	va_list args;

	if (got == want)
		return;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	fail_at(file, line, "%s: got %s, expected %s", what, result_name(got), result_name(want));
}

int slowness = 1;

int write_file(const char *path, int flags, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

void sleep_ms(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}
