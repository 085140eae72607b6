/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CASES_EPISODE_H
#define CASES_EPISODE_H

#include <stdint.h>

#include "test.h"

#define TRAIL 12

/* What an episode did: it is still there when the episode's process has ended. */
struct diary {
	long ops;
	bool waits;		/* for bytes that should have come by now */
	char trail[TRAIL][96];	/* the last ones, operation n at n % TRAIL */
};

/* Before the first episode: what the running kernel can do. */
void learn_kernel(void);
/* Runs one to its end, or fails. The same seed does the same. */
void run_episode(const struct test *t, uint64_t seed, struct diary *diary);

#endif
