// SPDX-License-Identifier: GPL-2.0
/*
 * One run of one case: a child process in a process group of its own, with a time limit.
 *
 * What is tested is code that may never return, so nothing here trusts the child: the limit ends in
 * SIGKILL for the group, and a child that even SIGKILL doesn't end is reported and left behind. A
 * case that unloads the module may die half way, so the module is put back as it was found.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ko.h"
#include "run.h"

#define GRACE_AFTER_KILL 5	/* seconds */
#define HEARTBEAT	60	/* seconds after which a long case is said to be running */

struct child {
	pid_t pid;
	int pidfd, output;
	size_t len;
};

static __attribute__((format(printf, 3, 4)))
void add_line(struct child *c, struct outcome *out, const char *fmt, ...)
{
	va_list args;
	size_t room = sizeof(out->said) - c->len;
	int n;

	va_start(args, fmt);
	n = vsnprintf(out->said + c->len, room, fmt, args);
	va_end(args);
	if (n > 0)
		c->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void run_in_child(const struct test *t, int output)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	t->b->run(t);
	_exit(0);
}

static void start(struct child *c, const struct test *t)
{
	int ends[2];

	/* Not blocking at either end: a child that says too much loses words, not time. */
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
		perror("pipe2");
		exit(2);
	}
	fflush(stdout);
	c->len = 0;
	c->pid = fork();
	if (c->pid < 0) {
		perror("fork");
		exit(2);
	}
	if (!c->pid)
		run_in_child(t, ends[1]);
	setpgid(c->pid, c->pid);
	close(ends[1]);
	c->output = ends[0];
	c->pidfd = syscall(__NR_pidfd_open, c->pid, 0);
}

static void take_output(struct child *c, struct outcome *out)
{
	ssize_t n;

	while (c->len < sizeof(out->said) - 1) {
		n = read(c->output, out->said + c->len, sizeof(out->said) - 1 - c->len);
		if (n <= 0)
			break;
		c->len += n;
	}
	out->said[c->len] = '\0';
}

static bool ended_within(struct child *c, struct outcome *out, double seconds)
{
	double end = now() + seconds;
	struct pollfd fds[2] = { { .fd = c->pidfd, .events = POLLIN },
				 { .fd = c->output, .events = POLLIN } };

	while (now() < end) {
		poll(fds, 2, (int)((end - now()) * 1000) + 1);
		if (fds[0].revents)
			return true;
		if (fds[1].revents & POLLIN)
			take_output(c, out);
		else if (fds[1].revents)
			fds[1].fd = -1;
		if (c->len >= sizeof(out->said) - 1)
			fds[1].fd = -1;
	}
	return false;
}

static bool ended_in_time(struct child *c, struct outcome *out, double limit)
{
	double begin = now(), left;

	for (;;) {
		left = limit - (now() - begin);
		if (left <= HEARTBEAT)
			return ended_within(c, out, left);
		if (ended_within(c, out, HEARTBEAT))
			return true;
		printf("# running for %.0f s\n", now() - begin);
		fflush(stdout);
	}
}

/* Where the threads of a child that is out of time are asleep. */
static void say_where(struct child *c, struct outcome *out)
{
	char path[300], where[128];
	struct dirent *task;
	FILE *f;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", c->pid);
	dir = opendir(path);
	while (dir && (task = readdir(dir))) {
		if (task->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/wchan", c->pid, task->d_name);
		f = fopen(path, "r");
		if (f && fgets(where, sizeof(where), f))
			add_line(c, out, "thread %s is in %s\n", task->d_name, where);
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
}

static enum verdict verdict_of(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return PASSED;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
		return SKIPPED;
	return FAILED;
}

static void end(struct child *c, struct outcome *out, bool in_time, double limit)
{
	int status = 0;

	if (!in_time)
		say_where(c, out);
	kill(-c->pid, SIGKILL);
	out->verdict = FAILED;
	if (!in_time && !ended_within(c, out, GRACE_AFTER_KILL)) {
		add_line(c, out, "not ended after %g s, nor by SIGKILL\n", limit);
		return;
	}
	take_output(c, out);
	if (waitpid(c->pid, &status, 0) != c->pid)
		add_line(c, out, "waitpid: %s\n", strerror(errno));
	else if (!in_time)
		add_line(c, out, "not ended after %g s\n", limit);
	else if (WIFSIGNALED(status))
		add_line(c, out, "killed by SIG%s\n", sigabbrev_np(WTERMSIG(status)));
	else
		out->verdict = verdict_of(status);
}

void run_child(const struct test *t, bool watch_log, bool thorough, struct outcome *out)
{
	double limit = (t->b->limit ? t->b->limit : DEFAULT_LIMIT) * slowness, begin;
	bool loaded = ko_loaded();
	struct child c;

	memset(out, 0, sizeof(*out));
	if (watch_log)
		kmsg_start();
	begin = now();
	start(&c, t);
	end(&c, out, ended_in_time(&c, out, limit), limit);
	out->seconds = now() - begin;
	close(c.output);
	close(c.pidfd);
	if (ko_loaded() != loaded && ko_restore(loaded))
		add_line(&c, out, "sockmap_splice.ko: not put back as it was found\n");
	if (watch_log)
		kmsg_collect(&out->splats, thorough);
}

const char *outcome_reason(struct outcome *out)
{
	size_t len = strlen(out->said);
	char *last;

	if (out->verdict == PASSED)
		return "";
	if (len && out->said[len - 1] == '\n')
		out->said[--len] = '\0';
	last = strrchr(out->said, '\n');
	snprintf(out->reason, sizeof(out->reason), "%s", last ? last + 1 : out->said);
	*(last ? last : out->said) = '\0';
	return out->reason[0] ? out->reason : "no reason given";
}
