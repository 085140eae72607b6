/* SPDX-License-Identifier: GPL-2.0 */
/* What cases about the module share: the kernel's files and its log. */
#ifndef CASES_KNOBS_H
#define CASES_KNOBS_H

#include <stddef.h>

#define TRACEFS		"/sys/kernel/tracing"
#define KPROBE		TRACEFS "/kprobe_events"
#define TRACE		TRACEFS "/trace"
#define FTRACE_ENABLED	"/proc/sys/kernel/ftrace_enabled"

/* The lines of a file that have that text, as many as fit. */
void grep_file(const char *path, const char *text, char *out, size_t size);

/* Opens the kernel log at its end. */
int log_open(void);
/* How many records that weren't read yet have that text; reads them all. */
int log_count(int fd, const char *text);

#endif
