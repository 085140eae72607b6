// SPDX-License-Identifier: GPL-2.0
/*
 * Others at tcp_splice_read(), and a livepatch elsewhere.
 *
 * Who merely watches the function (BPF's fentry and fexit, kprobes, tracers) and the module get
 * along whoever comes first, and the watcher sees the calls that the module takes over. Only one
 * can redirect it: the second comer is refused, with nothing left behind, and the first goes on.
 *
 * A watcher that sees the function return has put itself between it and its caller: a reader that
 * was asleep leaves the module by way of it, while the module is being unloaded.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "knobs.h"
#include "ko.h"
#include "net.h"
#include "pattern.h"
#include "served.h"
#include "take.h"
#include "watcher.h"

#define BYTES		500

static const struct test simplest = { .mode = MODE_MSG_INGRESS, .family = AF_INET };

/* A reader that sleeps in the module. */
struct sleeper {
	struct link l;
	struct call c;
};

static void sleeper_start(struct sleeper *s)
{
	link_open(&s->l, &simplest);
	call_start_asleep(&s->c, &simplest, s->l.rx, 4000);
}

static void expect_asleep_again(struct sleeper *s)
{
	double end = now() + PATIENCE_MS / 1000.0;

	call_expect_asleep(&s->c, 10);
	while (!taking(&simplest, s->c.tid)) {
		expect(now() < end, "the reader isn't asleep again");
		sleep_ms(1);
	}
}

static void expect_woken(struct sleeper *s, int from, const char *event)
{
	send_pattern(from, 0, BYTES, BYTES);
	expect_result(call_end(&s->c, event), BYTES, "the reader that was asleep");
	pattern_check(s->c.buf, 0, BYTES, event);
	link_close(&s->l);
}

static void expect_served_in_sleep(struct sleeper *s)
{
	expect_woken(s, s->l.tx, "bytes in the psock");
}

/* Out of the map it is plain TCP, which the kernel's own function that it sleeps in serves. */
static void expect_in_kernel_function(struct sleeper *s)
{
	link_remove(&s->l);
	expect_woken(s, s->l.peer, "plain TCP bytes");
}

/* The kprobes that there are, and who is at the function. */
static void list_hooks(char *out, size_t size)
{
	grep_file("/sys/kernel/debug/kprobes/list", "", out, size / 2);
	grep_file(TRACEFS "/enabled_functions", HOOKED, out + strlen(out), size / 2);
}

/* Refused because of another one: it says so once, and leaves nothing behind. */
static void expect_load_refused(void)
{
	char before[4096], after[4096];
	int log = log_open(), lines;

	list_hooks(before, sizeof(before));
	expect_result(ko_load(""), -EBUSY, "load with " HOOKED " redirected");
	expect(!ko_loaded(), "refused and yet there");
	lines = log_count(log, KO_NAME ": not loaded: " HOOKED " is redirected already");
	expect(lines == 1, "refused with %d lines in the kernel log that say why", lines);
	list_hooks(after, sizeof(after));
	expect(!strcmp(before, after), "hooks left behind:\n%swhere there were:\n%s", after,
	       before);
	close(log);
}

static void come(const struct watcher *w)
{
	expect_result(w->come(w), 0, "%s", w->name);
}

static void expect_served_and_seen(const struct watcher *w)
{
	long long before = w->calls(w);

	expect_served();
	expect(w->calls(w) > before, "the %s sees no call while the module serves", w->name);
}

static void expect_only_seen(const struct watcher *w)
{
	long long before = w->calls(w);

	expect_not_served();
	expect(w->calls(w) > before, "the %s sees no call without the module", w->name);
}

static void watcher_first(const struct test *t)
{
	const struct watcher *w = t->b->arg;

	ko_need();
	ko_unload_in_time();
	come(w);
	if (watcher_excludes_us(w)) {
		expect_load_refused();
		expect_only_seen(w);
	} else {
		expect_result(ko_load(""), 0, "load with %s there", w->name);
		expect_served_and_seen(w);
		ko_unload_in_time();
		expect_only_seen(w);
	}
	w->go(w);
	expect_not_served();
	expect_result(ko_load(""), 0, "load once %s has gone", w->name);
	expect_served();
}

static void watcher_second(const struct test *t)
{
	const struct watcher *w = t->b->arg;

	ko_need();
	expect_served();
	if (watcher_excludes_us(w)) {
		expect_result(w->come(w), -EBUSY, "%s with the module there", w->name);
		expect_served();
		ko_unload_in_time();
		come(w);
	} else {
		come(w);
		expect_served_and_seen(w);
		ko_unload_in_time();
	}
	expect_only_seen(w);
	w->go(w);
	expect_result(ko_load(""), 0, "load once %s has gone", w->name);
	expect_served();
}

/* The watcher goes first, with the module's reader asleep. */
static void watcher_leaves(const struct test *t)
{
	const struct watcher *w = t->b->arg;
	struct sleeper s;

	ko_need();
	if (watcher_excludes_us(w))
		skip("%s and the module exclude each other on this kernel", w->name);
	come(w);
	sleeper_start(&s);
	w->go(w);
	expect_asleep_again(&s);
	expect_served_in_sleep(&s);
	expect_served();
}

/*
 * The call goes back through the watcher while the module is being unloaded, and starts again;
 * with the watcher there last, and first.
 */
static void watcher_asleep(const struct test *t)
{
	const struct watcher *w = t->b->arg;
	struct sleeper s;
	long long calls;

	ko_need();
	if (watcher_excludes_us(w))
		skip("%s and the module exclude each other on this kernel", w->name);
	come(w);
	for (int first = 0; first < 2; first++) {
		calls = w->calls(w);
		sleeper_start(&s);
		ko_unload_in_time();
		expect_asleep_again(&s);
		expect_in_kernel_function(&s);
		calls = w->calls(w) - calls;
		expect(calls >= 2 - w->loses, "the %s saw %lld calls of one that started again",
		       w->name, calls);
		expect_only_seen(w);
		expect_result(ko_load(""), 0, "load with %s there", w->name);
	}
	expect_served();
	w->go(w);
	expect_served();
}

/* The livepatch of ours, which replaces the one function that it is told. */
#define LIVEPATCH		"neighbour_livepatch"
#define LIVEPATCH_FILE		"/module/" LIVEPATCH ".ko"
#define LIVEPATCH_STATE		"/sys/kernel/livepatch/" LIVEPATCH
/* Seconds. The kernel looks at the tasks once in each, and wakes those that are left after 15. */
#define TRANSITION_LIMIT	20

static int livepatch_load(const char *function)
{
	int fd = open(LIVEPATCH_FILE, O_RDONLY | O_CLOEXEC), err = 0;
	char params[64];

	expect(fd >= 0, LIVEPATCH_FILE ": %s", strerror(errno));
	snprintf(params, sizeof(params), "function=%s", function);
	if (syscall(__NR_finit_module, fd, params, 0))
		err = -errno;
	close(fd);
	return err;
}

static bool livepatch_state_is(const char *file, const char *value)
{
	char path[128], text[16] = "";
	FILE *f;

	snprintf(path, sizeof(path), LIVEPATCH_STATE "/%s", file);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return !strncmp(text, value, strlen(value));
}

static void livepatch_come(const char *function)
{
	double end = now() + TRANSITION_LIMIT;

	expect_result(livepatch_load(function), 0, "load of a livepatch of %s", function);
	while (!livepatch_state_is("transition", "0")) {
		expect(now() < end, "the livepatch of %s isn't through after %d s", function,
		       TRANSITION_LIMIT);
		sleep_ms(10);
	}
}

/* Whether there is none any more; once disabled it goes when no task is in it. */
static bool livepatch_gone(void)
{
	if (access(LIVEPATCH_STATE, F_OK))
		syscall(__NR_delete_module, LIVEPATCH, O_NONBLOCK);
	return access("/sys/module/" LIVEPATCH, F_OK);
}

static void livepatch_go(void)
{
	double end = now() + TRANSITION_LIMIT;

	expect_result(write_file(LIVEPATCH_STATE "/enabled", 0, "0"), 0, "livepatch off");
	while (!livepatch_gone()) {
		expect(now() < end, "the livepatch is there %d s after it was disabled",
		       TRANSITION_LIMIT);
		sleep_ms(10);
	}
}

/* Without what a case that failed has left. */
static void livepatch_need(void)
{
	if (access("/sys/kernel/livepatch", F_OK))
		skip("no livepatches on this kernel");
	if (access(LIVEPATCH_FILE, R_OK))
		skip("no module file " LIVEPATCH_FILE);
	if (!access(LIVEPATCH_STATE, F_OK))
		livepatch_go();
	ko_need();
}

static void expect_owned_by_livepatch(void)
{
	expect_splice_gives(-EOPNOTSUPP, "the livepatch's");
}

static void owner_first(const struct test *t)
{
	(void)t;
	livepatch_need();
	ko_unload_in_time();
	livepatch_come(HOOKED);
	expect_owned_by_livepatch();
	expect_load_refused();
	expect_owned_by_livepatch();
	livepatch_go();
	expect_not_served();
	expect_result(ko_load(""), 0, "load once the livepatch has gone");
	expect_served();
}

static void owner_second(const struct test *t)
{
	struct sleeper s;

	(void)t;
	livepatch_need();
	sleeper_start(&s);
	expect_result(livepatch_load(HOOKED), -EBUSY, "load of a livepatch of " HOOKED);
	expect(access("/sys/module/" LIVEPATCH, F_OK), "the livepatch was refused and is there");
	expect_served();
	expect_served_in_sleep(&s);
	ko_unload_in_time();
	livepatch_come(HOOKED);
	expect_owned_by_livepatch();
	livepatch_go();
	expect_not_served();
}

#define OTHER_FUNCTION	"version_proc_show"

static void expect_other_patched(bool patched)
{
	char version[512];

	grep_file("/proc/version", "", version, sizeof(version));
	expect(patched == !strcmp(version, "livepatched\n"), "/proc/version is%s livepatched",
	       patched ? "n't" : "");
}

static void other_first(const struct test *t)
{
	(void)t;
	livepatch_need();
	ko_unload_in_time();
	expect_other_patched(false);
	livepatch_come(OTHER_FUNCTION);
	expect_result(ko_load(""), 0, "load beside a livepatch");
	expect_served();
	expect_other_patched(true);
	ko_unload_in_time();
	expect_not_served();
	expect_other_patched(true);
	expect_result(ko_load(""), 0, "load beside a livepatch");
	livepatch_go();
	expect_other_patched(false);
	expect_served();
}

/* A task changes over when its stack says that it may: one that sleeps in the module, too. */
static void other_second(const struct test *t)
{
	struct sleeper s, unloaded;

	(void)t;
	livepatch_need();
	sleeper_start(&s);
	sleeper_start(&unloaded);
	livepatch_come(OTHER_FUNCTION);
	expect_other_patched(true);
	expect_served();
	expect_asleep_again(&s);
	expect_served_in_sleep(&s);
	ko_unload_in_time();
	expect_asleep_again(&unloaded);
	expect_in_kernel_function(&unloaded);
	livepatch_go();
	expect_other_patched(false);
	expect_not_served();
}

#define NAMESAKE	"namesake"
#define NAMESAKE_FILE	"/module/" NAMESAKE ".ko"
#define NAMESAKE_CALL	"/sys/module/" NAMESAKE "/parameters/call"

static void namesake_load(void)
{
	int fd = open(NAMESAKE_FILE, O_RDONLY | O_CLOEXEC);

	expect(fd >= 0, NAMESAKE_FILE ": %s", strerror(errno));
	expect(!syscall(__NR_finit_module, fd, "", 0), "load of " NAMESAKE_FILE ": %s",
	       strerror(errno));
	close(fd);
}

static void expect_own_answer(int fd, const char *when)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", fd);
	expect_result(write_file(NAMESAKE_CALL, 0, text), 0, "a namesake of " HOOKED ", %s", when);
}

/* A function of that name in another module, whose sockets are none of ours. */
static void namesake(const struct test *t)
{
	struct link l;

	(void)t;
	ko_need();
	ko_unload_in_time();
	namesake_load();
	link_open(&l, &simplest);
	expect_own_answer(l.rx, "without the module");
	expect_result(ko_load(""), 0, "load beside the namesake");
	expect_served();
	expect_own_answer(l.rx, "with the module");
	link_close(&l);
	ko_unload_in_time();
	expect(!syscall(__NR_delete_module, NAMESAKE, O_NONBLOCK), "unload of " NAMESAKE ": %s",
	       strerror(errno));
}

static void ftrace_off_asleep(const struct test *t)
{
	struct sleeper s;
	int err;

	(void)t;
	ko_need();
	sleeper_start(&s);
	err = write_file(FTRACE_ENABLED, 0, "0");
	if (!err)
		write_file(FTRACE_ENABLED, 0, "1");
	expect(err == -EBUSY || err == -EOPNOTSUPP, "kernel.ftrace_enabled=0 while loaded: %s",
	       result_name(err));
	call_expect_asleep(&s.c, 60);
	expect_served_in_sleep(&s);
	expect_served();
}

#define NEIGHBOUR(fn, text, ...) { .group = "module", .name = "neighbour-" text, .run = fn, \
	.limit = 60, __VA_ARGS__ }

static const struct behaviour behaviours[] = {
	NEIGHBOUR(watcher_first, "fentry-first", .arg = &fentry_watcher),
	NEIGHBOUR(watcher_second, "fentry-second", .arg = &fentry_watcher),
	NEIGHBOUR(watcher_asleep, "fentry-asleep", .arg = &fentry_watcher),
	NEIGHBOUR(watcher_leaves, "fentry-leaves", .arg = &fentry_watcher),
	NEIGHBOUR(watcher_first, "fexit-first", .arg = &fexit_watcher),
	NEIGHBOUR(watcher_second, "fexit-second", .arg = &fexit_watcher),
	NEIGHBOUR(watcher_asleep, "fexit-asleep", .arg = &fexit_watcher),
	NEIGHBOUR(watcher_leaves, "fexit-leaves", .arg = &fexit_watcher),
	NEIGHBOUR(watcher_first, "kprobe-first", .arg = &kprobe_watcher),
	NEIGHBOUR(watcher_second, "kprobe-second", .arg = &kprobe_watcher),
	NEIGHBOUR(watcher_first, "kretprobe-first", .arg = &kretprobe_watcher),
	NEIGHBOUR(watcher_second, "kretprobe-second", .arg = &kretprobe_watcher),
	NEIGHBOUR(watcher_asleep, "kretprobe-asleep", .arg = &kretprobe_watcher),
	NEIGHBOUR(watcher_leaves, "kretprobe-leaves", .arg = &kretprobe_watcher),
	NEIGHBOUR(watcher_asleep, "graph-tracer-asleep", .arg = &graph_watcher),
	NEIGHBOUR(watcher_leaves, "graph-tracer-leaves", .arg = &graph_watcher),
	NEIGHBOUR(owner_first, "livepatch-owner-first"),
	NEIGHBOUR(owner_second, "livepatch-owner-second"),
	NEIGHBOUR(other_first, "livepatch-other-first"),
	NEIGHBOUR(other_second, "livepatch-other-second"),
	NEIGHBOUR(namesake, "namesake"),
	NEIGHBOUR(ftrace_off_asleep, "ftrace-stays-on-asleep"),
};

const struct suite neighbour_suite = SUITE(behaviours);
