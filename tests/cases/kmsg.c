// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel splats, read from /dev/kmsg, so that a run can be compared with its control run.
 *
 * Stock kernels warn by themselves in some sockmap runs, so the question is not "did it warn"
 * but "did it warn where read(2) doesn't". For that a splat needs a name that is the same each
 * time: the source line of a WARNING or BUG, or the message without its numbers.
 *
 * Sockets and psocks are destroyed after RCU grace periods and in work queues. A splat from
 * there must not be charged to the next run, so collecting waits for grace periods first, and for
 * the run's last socket: a psock keeps its socket until it is destroyed itself.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kmsg.h"
#include "ko.h"
#include "test.h"

#define THOROUGH_MS	400
#define SETTLE_MS	500

static const char *const marks[] = {
	"WARNING: ", "BUG: ", "kernel BUG at", "Oops", "KASAN", "KCSAN", "UBSAN",
	"general protection fault", "unable to handle", "refcount_t: ", "list_add corruption",
	"list_del corruption", "inconsistent lock state", "circular locking", "recursive locking",
	"suspicious RCU usage", "bad unlock balance", "rcu: INFO: ", "blocked for more than",
	"new suspected memory leaks", "ODEBUG", "scheduling while atomic",
	"sleeping function called", "Bad page state", "Kernel panic",
};

static int kmsg_fd = -1;
static long sockets_before;

/* Sockets of all kinds that aren't freed yet. */
static long sockets_used(void)
{
	FILE *f = fopen("/proc/net/sockstat", "r");
	long used = 0;

	if (!f)
		return 0;
	if (fscanf(f, "sockets: used %ld", &used) != 1)
		used = 0;
	fclose(f);
	return used;
}

void kmsg_open(void)
{
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg_fd < 0)
		printf("# /dev/kmsg: no kernel log to watch\n");
}

void kmsg_start(void)
{
	int fd;

	if (kmsg_fd < 0)
		return;
	lseek(kmsg_fd, 0, SEEK_END);
	sockets_before = sockets_used();
	fd = open("/sys/kernel/debug/clear_warn_once", O_WRONLY);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		printf("# clear_warn_once: not written\n");
	close(fd);
}

/* Stock kernels have many races; a report's first line names the functions that race. */
static bool race_of_others(const char *message)
{
	return strstr(message, "KCSAN: ") && !strstr(message, "[" KO_NAME "]");
}

static const char *splat_in(const char *message)
{
	if (race_of_others(message))
		return NULL;
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		const char *at = strstr(message, marks[i]);

		if (at)
			return at;
	}
	return NULL;
}

static bool in_path(unsigned char c)
{
	return isalnum(c) || (c && strchr("/_-.", c));
}

/* "net/ipv4/af_inet.c:155" out of a line that has it: the start of a source position, or NULL. */
static const char *source_position(const char *text, size_t *len)
{
	const char *dot = text;

	while ((dot = strstr(dot, ".c:"))) {
		const char *start = dot, *end = dot + 3;

		while (start > text && in_path(start[-1]))
			start--;
		while (isdigit((unsigned char)*end))
			end++;
		*len = end - start;
		if (end > dot + 3)
			return start;
		dot += 3;
	}
	return NULL;
}

static void splat_name(const char *splat, char *out)
{
	size_t len, n = 0;
	const char *source = source_position(splat, &len);

	if (source) {
		snprintf(out, SPLAT_NAME, "%.*s", (int)len, source);
		return;
	}
	for (; *splat && *splat != '\n' && n < SPLAT_NAME - 1; splat++)
		if (!isdigit((unsigned char)*splat))
			out[n++] = *splat;
	out[n] = '\0';
}

bool splats_have(const struct splats *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (!strcmp(s->name[i], name))
			return true;
	return false;
}

static void splats_add(struct splats *s, const char *name)
{
	if (s->count < MAX_SPLATS && !splats_have(s, name))
		strcpy(s->name[s->count++], name);
}

static void settle(bool thorough)
{
	double end = now() + SETTLE_MS / 1000.0;

	for (int i = 0; i < 2; i++)
		if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
			sleep_ms(20);
	while (sockets_used() > sockets_before && now() < end)
		sleep_ms(2);
	if (thorough)
		sleep_ms(THOROUGH_MS);
}

/* A record is "level,sequence,time,flags;message\n" and continuation lines. */
void kmsg_collect(struct splats *s, bool thorough)
{
	char record[8192], name[SPLAT_NAME];
	ssize_t len;

	s->count = 0;
	if (kmsg_fd < 0)
		return;
	settle(thorough);
	for (;;) {
		const char *message, *splat;

		len = read(kmsg_fd, record, sizeof(record) - 1);
		if (len < 0 && errno == EPIPE)	/* records were overwritten before we came */
			continue;
		if (len <= 0)
			break;
		record[len] = '\0';
		message = strchr(record, ';');
		splat = message ? splat_in(message) : NULL;
		if (!splat)
			continue;
		splat_name(splat, name);
		splats_add(s, name);
	}
}
