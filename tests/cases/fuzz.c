// SPDX-License-Identifier: GPL-2.0
/*
 * The fuzzer: one random episode after the other (episode.c), each in a process of its own and
 * drawn from a seed; the case's own is the first one's.
 *
 * An episode that fails with splice(2) is asked of read(2). Where read fails too, now and then, the
 * kernel is at fault; such episodes are counted, and the case skips when they are many.
 *
 * Behind a parser streams stand still by chance, with read as well (a parser that says skb->len is
 * told to wait for bytes that are there already), so there the same episodes are run by read when
 * all is done, and splice may not stand still much more often.
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
#include "net.h"

#define EPISODE_S	(60 * slowness)
#define CONTROLS	4
/* Behind a parser chance plays a part: on 5.10 recv(2) may take what the parser has seen. */
#define PARSER_CONTROLS	80
#define PARSER_S	60
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
	if (t->family != AF_UNIX)
		by.family = seed & 1 ? AF_INET6 : AF_INET;
	diary->ops = 0;
	diary->waits = false;
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
	const bool by_chance = t->mode == MODE_SKB_PARSER;
	const double end = now() + PARSER_S;

	for (int i = 0; i < CONTROLS || (by_chance && i < PARSER_CONTROLS && now() < end); i++)
		if (!episode_passes(t, seed, true))
			return true;
	return false;
}

static void tell_trail(const struct diary *failed, uint64_t seed)
{
	long first = failed->ops > TRAIL ? failed->ops - TRAIL : 0;

	for (long i = first; i < failed->ops; i++)
		note("operation %s", failed->trail[i % TRAIL]);
	note("replay with SEED=0x%llx", (unsigned long long)seed);
}

/* Are they about as many as by read(2)? The diary is that of one. Looks no further than it must. */
static void compare_stalls(const struct test *t, long episodes, long stalled, uint64_t seed,
			   const struct diary *one)
{
	long by_read = 0, tried = 0;

	while (stalled > 2 * by_read + 2 && tried < episodes)
		by_read += !episode_passes(t, t->seed + tried++, true);
	note("%ld of %ld episodes stand still, %ld of %ld by read(2)",
	     stalled, episodes, by_read, tried);
	if (stalled <= 2 * by_read + 2)
		return;
	tell_trail(one, seed);
	fail("%ld of %ld episodes stand still, %ld by read(2)", stalled, episodes, by_read);
}

static void fuzz(const struct test *t)
{
	const struct budget *budget = t->b->arg;
	double end = now() + budget->seconds;
	long ops = 0, episodes = 0, stock = 0, stalled = 0;
	uint64_t stalled_seed = 0;
	struct diary one_stalled;
	uint64_t seed = t->seed;
	bool was_loaded = ko_loaded();

	if (t->family == AF_UNIX && !sockmap_takes_unix())
		skip("this kernel takes no unix stream sockets into a sockmap");
	diary = mmap(NULL, sizeof(*diary), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	expect(diary != MAP_FAILED, "mmap: %s", strerror(errno));
	if (t->mode != MODE_PLAIN)
		learn_kernel();
	for (; ops < budget->ops && now() < end; seed++, episodes++) {
		bool passes = episode_passes(t, seed, t->use_read);
		struct diary failed = *diary;

		ops += failed.ops;
		if (passes || t->use_read)
			continue;
		if (ko_loaded() != was_loaded)
			ko_restore(was_loaded);
		if (t->mode == MODE_SKB_PARSER && failed.waits) {
			stalled++;
			stalled_seed = seed;
			one_stalled = failed;
			continue;
		}
		if (t->mode == MODE_PLAIN || !read_fails_too(t, seed)) {
			tell_trail(&failed, seed);
			fail("episode %ld (SEED=0x%llx) after %ld operations, read(2) passes it",
			     episodes, (unsigned long long)seed, ops);
		}
		note("read(2) fails SEED=0x%llx too", (unsigned long long)seed);
		stock++;
	}
	note("%ld operations, %ld episodes from seed 0x%llx on, %ld of them read(2) fails", ops,
	     episodes, (unsigned long long)t->seed, stock);
	if (stalled)
		compare_stalls(t, episodes, stalled, stalled_seed, &one_stalled);
	if (stock * 100 > episodes * STOCK_PERCENT && stock > 1)
		skip("read(2) fails %ld of %ld episodes", stock, episodes);
}

#define FUZZ(group_name, text, the_flags, the_limit, ...) { \
	.group = group_name, .name = text, .run = fuzz, .modes = ALL_MODES | AND_UNIX, \
	.flags = V4_ONLY | ASK_SPLATS | (the_flags), .limit = the_limit, \
	.arg = &(const struct budget){ __VA_ARGS__ } }

static const struct behaviour behaviours[] = {
	FUZZ("module", "fuzz", 0, 120, .ops = 400, .seconds = 20),
	FUZZ("slice", "fuzz", DEBUG_ONLY, 400, .ops = 1000000, .seconds = 100),
	FUZZ("soak", "fuzz", SOAK, 7000, .ops = 17000, .seconds = 6000),
};

const struct suite fuzz_suite = SUITE(behaviours);
