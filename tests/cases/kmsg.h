/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CASES_KMSG_H
#define CASES_KMSG_H

#include <stdbool.h>
#include <stddef.h>

#define MAX_SPLATS	8
#define SPLAT_NAME	160

/* What the kernel complained about during one run, each complaint by a name that repeats. */
struct splats {
	char name[MAX_SPLATS][SPLAT_NAME];
	size_t count;
};

void kmsg_open(void);
/* Forget what is logged so far, and let every WARN_ONCE speak again. */
void kmsg_start(void);
/* Wait for what the kernel frees behind our back, then collect the splats since the start. */
void kmsg_collect(struct splats *s, bool thorough);
bool splats_have(const struct splats *s, const char *name);

#endif
