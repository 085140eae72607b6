/* SPDX-License-Identifier: GPL-2.0 */
/* Those who watch the function that the module hooks, each in its own way. */
#ifndef CASES_WATCHER_H
#define CASES_WATCHER_H

#include <linux/bpf.h>
#include <stdbool.h>

#define HOOKED "tcp_splice_read"

struct watcher {
	const char *name;
	int (*come)(const struct watcher *w);		/* 0 or -errno; skips where there is none */
	void (*go)(const struct watcher *w);
	long long (*calls)(const struct watcher *w);	/* that it has seen */
	int loses;		/* calls that it may not see, of one that is asleep at an unload */
	enum bpf_attach_type type;			/* of a BPF program */
	const char *event;				/* of a kprobe, for kprobe_events */
};

extern const struct watcher fentry_watcher, fexit_watcher, kprobe_watcher, kretprobe_watcher,
	graph_watcher;

bool watcher_excludes_us(const struct watcher *w);

#endif
