// SPDX-License-Identifier: GPL-2.0
/*
 * The fuzzer: one random episode after the other (episode.c), each in a process of its own and
 * drawn from a seed; the case's own is the first one's.
 *
 * An episode that fails with splice(2) is asked of read(2). Where read fails too, now and then, the
 * kernel is at fault; such episodes are counted, and the case skips when they are many.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "episode.h"
#include "ko.h"

#define EPISODE_S	(60 * slowness)
#define CONTROLS	4
#define PARSER_CONTROLS	10
#define STOCK_PERCENT	10

/* How much to do: whichever comes first. */
struct budget {
	long ops;
	double seconds;
};

static struct diary *diary;

static bool ended_within(pid_t pid, double seconds, int *status)
{
	double end = now() + seconds;

	while (!waitpid(pid, status, WNOHANG)) {
		if (now() > end)
			return false;
		sleep_ms(2);
	}
	return true;
}

/* Runs an episode in a process of its own; it says itself what is wrong. */
static bool episode_passes(const struct test *t, uint64_t seed, bool use_read)
{
	struct test by = *t;
	int status;
	pid_t pid;

	by.use_read = use_read;
	by.family = seed & 1 ? AF_INET6 : AF_INET;
	diary->ops = 0;
	pid = fork();
	expect(pid >= 0, "fork: %s", strerror(errno));
	if (!pid) {
		run_episode(&by, seed, diary);
		_exit(0);
	}
	if (!ended_within(pid, EPISODE_S, &status)) {
		note("an episode doesn't end");
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool read_fails_too(const struct test *t, uint64_t seed)
{
	int tries = t->mode == MODE_SKB_PARSER ? PARSER_CONTROLS : CONTROLS;

	for (int i = 0; i < tries; i++)
		if (!episode_passes(t, seed, true))
			return true;
	return false;
}

static void tell_trail(uint64_t seed)
{
	long first = diary->ops > TRAIL ? diary->ops - TRAIL : 0;

	for (long i = first; i < diary->ops; i++)
		note("operation %s", diary->trail[i % TRAIL]);
	note("replay with SEED=0x%llx", (unsigned long long)seed);
}

static void fuzz(const struct test *t)
{
	const struct budget *budget = t->b->arg;
	double end = now() + budget->seconds;
	long ops = 0, episodes = 0, stock = 0;
	uint64_t seed = t->seed;
	bool was_loaded = ko_loaded();

	diary = mmap(NULL, sizeof(*diary), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	expect(diary != MAP_FAILED, "mmap: %s", strerror(errno));
	for (; ops < budget->ops && now() < end; seed++, episodes++) {
		bool passes = episode_passes(t, seed, t->use_read);

		ops += diary->ops;
		if (passes)
			continue;
		if (t->use_read)
			continue;
		tell_trail(seed);
		if (ko_loaded() != was_loaded)
			ko_restore(was_loaded);
		if (t->mode == MODE_PLAIN || !read_fails_too(t, seed))
			fail("episode %ld (SEED=0x%llx) after %ld operations, read(2) passes it",
			     episodes, (unsigned long long)seed, ops);
		note("read(2) fails there too");
		stock++;
	}
	note("%ld operations, %ld episodes from seed 0x%llx on, %ld of them read(2) fails", ops,
	     episodes, (unsigned long long)t->seed, stock);
	if (stock * 100 > episodes * STOCK_PERCENT && stock > 1)
		skip("read(2) fails %ld of %ld episodes", stock, episodes);
}

#define FUZZ(group_name, text, the_flags, the_limit, ...) { .group = group_name, .name = text, \
	.run = fuzz, .modes = ALL_MODES, .flags = V4_ONLY | ASK_SPLATS | (the_flags), .limit = the_limit, \
	.arg = &(const struct budget){ __VA_ARGS__ } }

static const struct behaviour behaviours[] = {
	FUZZ("module", "fuzz", 0, 120, .ops = 400, .seconds = 20),
	FUZZ("slice", "fuzz", DEBUG_ONLY, 400, .ops = 1000000, .seconds = 100),
	FUZZ("soak", "fuzz", SOAK, 7000, .ops = 17000, .seconds = 6000),
};

const struct suite fuzz_suite = SUITE(behaviours);
