// SPDX-License-Identifier: GPL-2.0
/*
 * Others at tcp_splice_read().
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
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "knobs.h"
#include "served.h"
#include "ko.h"
#include "net.h"
#include "pattern.h"
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

#define NEIGHBOUR(fn, text, ...) { .group = "module", .name = "neighbour-" text, .run = fn, \
	.limit = 40, __VA_ARGS__ }

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
};

const struct suite neighbour_suite = SUITE(behaviours);
