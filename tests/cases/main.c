// SPDX-License-Identifier: GPL-2.0
/*
 * The runner: makes the cases out of the tables, runs those whose names match, reports in KTAP.
 *
 * The rule is differential: splice has to deliver whatever read(2) delivers on this kernel. A case
 * that fails, and that read(2) can be asked for, runs with read(2) as well: where that fails too, it
 * is reported as a skip with read's reason, so that a stock kernel's defects are neither ours nor
 * hidden. The kernel log is judged in the same way: a splat counts when the control run didn't give
 * it. A case that passes needs no control.
 *
 * Stock kernels have races of their own, and one good control run proves nothing there. So a
 * failing case has the control run again a few times; it counts when it fails for the same reason.
 * Behind a stream_parser any reason will do: there stock kernels lose the wake-up of a stream now
 * and then, and where that shows is chance.
 *
 * A skipped case says nothing. Where a stock kernel's fault would make that of most cases of a mode
 * and some traffic keeps clear of it, the cases get that traffic (fault.c).
 *
 * `plain` (ordinary TCP) gets no such allowance: there the control runs every time, and its failure
 * means that the test is wrong.
 */
#define _GNU_SOURCE
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "fault.h"
#include "modes.h"
#include "run.h"

#define CASE_NAME	128
#define SLOW_SECONDS	3
#define SPLAT_TRIES	8	/* control runs asked before a splat is called ours */
#define RARE_TRIES	40	/* and where stock kernels are known to give it now and then */
#define CONTROL_TRIES	6	/* and before a failure is */
#define PARSER_TRIES	150	/* the same behind a parser: it stalls once in 70 runs on 5.10 */
#define PARSER_SECONDS	60	/* but no longer: who runs the guest takes silence for its end */
#define FAULT_TRIES	2	/* as many have to fail before a fault is believed in */

static const struct suite *const suites[] = {
	&fault_suite, &stream_suite, &block_suite, &eof_suite, &pipe_suite, &data_suite,
	&poll_suite, &share_suite, &map_suite, &other_suite, &uring_suite, &module_suite,
	&unload_suite, &leak_suite, &fuzz_suite, &fire_suite, &load_suite, &security_suite,
	&alloc_suite, &neighbour_suite, &history_suite, &history_unix_suite, &unreadable_suite,
	&window_suite,
};

static const struct {
	int number;
	const char *name;
} families[] = { { AF_INET, "v4" }, { AF_INET6, "v6" }, { AF_UNIX, "unix" } };
#define NR_FAMILIES (sizeof(families) / sizeof(families[0]))

static struct {
	bool list, watch_log, times, read_only, first_failure;
	unsigned int more;	/* SOAK and DEBUG_ONLY cases are wanted, too */
	char **globs;
	int nr_globs;
	int number, passed, failed, skipped;
} runner;

static const char *mode_name(int mode)
{
	return mode == MODE_PLAIN ? "plain" : sockmap_mode_name(mode);
}

static void case_name(const struct test *t, const char *family, char *name)
{
	const struct behaviour *b = t->b;

	if (!b->modes)
		snprintf(name, CASE_NAME, "%s/%s", b->group, b->name);
	else
		snprintf(name, CASE_NAME, "%s/%s/%s/%s", b->group, mode_name(t->mode), family,
			 b->name);
}

/* A behaviour that is about no mode runs once. */
static bool has_variant(const struct behaviour *b, int mode, int family)
{
	if (!b->modes)
		return mode == MODE_PLAIN && family == AF_INET;
	if (!(b->modes & BIT(mode)))
		return false;
	if (family == AF_UNIX)
		return b->modes & AND_UNIX && UNIX_MODES & BIT(mode) && !(b->flags & TCP_ONLY);
	return !(b->flags & UNIX_ONLY) && (family == AF_INET || !(b->flags & V4_ONLY));
}

/* A case that isn't for every run is wanted when its whole name is given, too. */
static bool wanted(const struct behaviour *b, const char *name)
{
	bool everyday = !(b->flags & (SOAK | DEBUG_ONLY) & ~runner.more);

	for (int i = 0; i < runner.nr_globs; i++)
		if (!strcmp(runner.globs[i], name) ||
		    (everyday && !fnmatch(runner.globs[i], name, 0)))
			return true;
	return everyday && !runner.nr_globs;
}

/* Every line of what a run said, as diagnostics under a heading. */
static void print_said(const char *heading, char *said)
{
	for (char *line = strtok(said, "\n"); line; line = strtok(NULL, "\n"))
		printf("# %s: %s\n", heading, line);
}

static void report(const char *name, enum verdict verdict, const char *skip_reason)
{
	static const char *const words[] = { "ok", "not ok", "ok" };
	int *const counters[] = { &runner.passed, &runner.failed, &runner.skipped };

	++*counters[verdict];
	printf("%s %d %s", words[verdict], runner.number, name);
	if (verdict == SKIPPED)
		printf(" # SKIP %s", skip_reason);
	printf("\n");
	fflush(stdout);
}

/* What control runs of a mode gave so far: a stock kernel's race may splat once in 500 runs. */
static struct splats seen_by_read[NR_MODES + 1];

static void remember_splats(const struct test *t, const struct splats *splats)
{
	struct splats *seen = &seen_by_read[t->mode];

	for (size_t i = 0; i < splats->count && seen->count < MAX_SPLATS; i++)
		if (!splats_have(seen, splats->name[i]))
			strcpy(seen->name[seen->count++], splats->name[i]);
}

/* A splat may be rare, or come late: ask the control again before it is called ours. */
static bool control_splats_too(struct test *t, const char *splat, int tries)
{
	struct outcome again;
	bool found = false;

	if (splats_have(&seen_by_read[t->mode], splat))
		return true;
	if (!(t->b->flags & (ASK_READ | ASK_SPLATS)))
		return false;
	t->use_read = true;
	for (int i = 0; i < tries && !found; i++) {
		/* Also a sign of life. */
		printf("# asks read(2) about a kernel splat, %d\n", i + 1);
		run_child(t, true, true, &again);
		found = splats_have(&again.splats, splat);
		remember_splats(t, &again.splats);
	}
	t->use_read = false;
	return found;
}

/*
 * inet_sock_destruct() finds sk_forward_alloc wrong: a psock's work changes it without the socket
 * lock. read(2) gives it on 6.12 and 7.3: where processors run at once, in one of ten to thirty
 * runs of the fuzzer; where they take turns, in one of some hundred, too rarely to ask for it.
 * Wrong accounting of ours would give it every time, so see whether it comes again.
 */
static bool rare_in_stock(struct test *t, const char *splat)
{
	struct outcome again;
	int found = 0;

	/* A kernel says the file, or where it doesn't know that, the function. */
	if (!strstr(splat, "net/ipv4/af_inet.c:") && !strstr(splat, "inet_sock_destruct"))
		return false;
	for (int i = 0; i < SPLAT_TRIES; i++) {
		run_child(t, true, true, &again);
		found += splats_have(&again.splats, splat);
	}
	printf("# kernel splat, rare on stock kernels: came again in %d of %d runs\n", found,
	       SPLAT_TRIES);
	return found <= 1 || control_splats_too(t, splat, RARE_TRIES);
}

static bool judge_splats(struct test *t, struct outcome *splice, const struct outcome *control)
{
	bool clean = true;

	for (size_t i = 0; i < control->splats.count; i++)
		if (!splats_have(&splice->splats, control->splats.name[i]))
			printf("# kernel splat, read(2) alone gives it: %s\n",
			       control->splats.name[i]);
	for (size_t i = 0; i < splice->splats.count; i++) {
		const char *splat = splice->splats.name[i];

		if (splats_have(&control->splats, splat) || control_splats_too(t, splat, SPLAT_TRIES)) {
			printf("# kernel splat, read(2) gives it too: %s\n", splat);
			continue;
		}
		if (rare_in_stock(t, splat)) {
			printf("# kernel splat, not again: %s\n", splat);
			continue;
		}
		printf("# kernel splat: %s\n", splat);
		clean = false;
	}
	return clean;
}

static void judge(struct test *t, const char *name, struct outcome *splice,
		  struct outcome *control)
{
	const char *reason = outcome_reason(splice), *why = outcome_reason(control);
	bool control_failed = control->verdict == FAILED, clean;
	char skip_reason[700];

	clean = judge_splats(t, splice, control);
	print_said("said", splice->said);
	if (runner.times || splice->seconds > SLOW_SECONDS)
		printf("# took %.2f s, the control %.2f s\n", splice->seconds, control->seconds);
	if (control_failed) {
		print_said("control said", control->said);
		printf("# control (read): %s\n", why);
	}
	if (splice->verdict == FAILED)
		printf("# failed: %s\n", reason);

	if (!clean || (control_failed && t->mode == MODE_PLAIN)) {
		report(name, FAILED, NULL);
	} else if (splice->verdict == FAILED && control_failed) {
		snprintf(skip_reason, sizeof(skip_reason), "read(2) fails here too: %s", why);
		report(name, SKIPPED, skip_reason);
	} else {
		report(name, splice->verdict, reason);
	}
}

static bool same_reason(struct outcome a, struct outcome b)
{
	return !strcmp(outcome_reason(&a), outcome_reason(&b));
}

/* Leaves the last control run that failed alike, if one did, in `control`. */
static void ask_again(struct test *t, const struct outcome *splice, struct outcome *control)
{
	const bool by_chance = t->mode == MODE_SKB_PARSER;
	const double end = now() + PARSER_SECONDS;
	static struct outcome again;
	int failed = 0, tries = 0;

	t->use_read = true;
	while (tries < CONTROL_TRIES ||
	       (by_chance && tries < PARSER_TRIES && now() < end)) {
		run_child(t, runner.watch_log, false, &again);
		tries++;
		if (again.verdict != FAILED || (!by_chance && !same_reason(again, *splice)))
			continue;
		failed++;
		*control = again;
		if (by_chance)
			break;
	}
	t->use_read = false;
	printf("# control asked again: %d of %d runs failed\n", failed, tries);
}

static bool needs_control(const struct test *t, const struct outcome *splice)
{
	return t->mode == MODE_PLAIN || splice->verdict == FAILED || splice->splats.count;
}

static void run_case(struct test *t, const char *name)
{
	static struct outcome splice, control;

	memset(&control, 0, sizeof(control));
	t->use_read = false;
	run_child(t, runner.watch_log, false, &splice);
	if (t->b->flags & ASK_READ && needs_control(t, &splice)) {
		t->use_read = true;
		run_child(t, runner.watch_log, false, &control);
		remember_splats(t, &control.splats);
		t->use_read = false;
	}
	if (t->b->flags & ASK_READ && t->mode != MODE_PLAIN && splice.verdict == FAILED &&
	    control.verdict == PASSED)
		ask_again(t, &splice, &control);
	judge(t, name, &splice, &control);
}

/* What read(2) makes of a case, to tell a stock kernel's faults from ours by hand. */
static void run_control(struct test *t, const char *name)
{
	static struct outcome control;

	t->use_read = true;
	run_child(t, runner.watch_log, false, &control);
	for (size_t i = 0; i < control.splats.count; i++)
		printf("# kernel splat: %s\n", control.splats.name[i]);
	if (control.verdict == FAILED)
		printf("# failed: %s\n", outcome_reason(&control));
	report(name, control.verdict, outcome_reason(&control));
}

static bool read_fails(const struct fault *f, struct outcome *out)
{
	struct test t = {
		.b = f->shown_by, .mode = f->mode, .family = AF_INET, .use_read = true,
	};

	for (int i = 0; i < FAULT_TRIES; i++) {
		run_child(&t, runner.watch_log, false, out);
		if (out->verdict != FAILED)
			return false;
	}
	return true;
}

/* Before the first case of a mode: which of the known faults are to be gone round. */
static void find_faults(enum sockmap_mode mode)
{
	static struct outcome out;
	static unsigned int asked;

	if (asked & BIT(mode))
		return;
	asked |= BIT(mode);
	for (size_t i = 0; i < NR_FAULTS; i++) {
		const struct fault *f = &known_faults[i];

		if (f->mode != mode || !read_fails(f, &out))
			continue;
		faults |= f->bit;
		printf("# %s from here on: goes round %s, which read(2) fails: %s\n",
		       mode_name(mode), f->shown_by->name, outcome_reason(&out));
	}
}

/* Calls back for each mode and family of a behaviour, or once when it is about none. */
static void each_variant(const struct behaviour *b, void (*visit)(struct test *, const char *))
{
	struct test t = { .b = b, .mode = MODE_PLAIN, .family = AF_INET };
	char name[CASE_NAME];

	for (t.mode = 0; t.mode <= MODE_PLAIN; t.mode++) {
		for (size_t i = 0; i < NR_FAMILIES; i++) {
			t.family = families[i].number;
			if (!has_variant(b, t.mode, t.family))
				continue;
			case_name(&t, families[i].name, name);
			if (wanted(b, name))
				visit(&t, name);
		}
	}
}

static void each_case(void (*visit)(struct test *, const char *))
{
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		for (size_t j = 0; j < suites[i]->count; j++)
			each_variant(&suites[i]->behaviours[j], visit);
}

static void count_case(struct test *t, const char *name)
{
	(void)t;
	(void)name;
	runner.number++;
}

static void list_case(struct test *t, const char *name)
{
	(void)t;
	puts(name);
}

static uint64_t new_seed(void)
{
	const char *given = getenv("fuzz_seed");
	uint64_t seed;

	if (given)
		return strtoull(given, NULL, 0);
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
		perror("getrandom");
		exit(2);
	}
	return seed;
}

static void visit_case(struct test *t, const char *name)
{
	if (runner.first_failure && runner.failed)
		return;
	runner.number++;
	t->seed = new_seed();
	for (int mode = 0; mode < NR_MODES; mode++)
		if (mode == t->mode || t->b->flags & MIXES_MODES)
			find_faults(mode);
	if (runner.read_only)
		run_control(t, name);
	else
		run_case(t, name);
}

static void usage(void)
{
	fprintf(stderr, "usage: cases [--list] [--kernel-log] [--times] [--read] [--soak] "
		"[--debug] [--first-failure] [GLOB...]\n");
	exit(2);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "list", no_argument, NULL, 'l' },
		{ "kernel-log", no_argument, NULL, 'k' },
		{ "times", no_argument, NULL, 't' },
		{ "read", no_argument, NULL, 'r' },
		{ "soak", no_argument, NULL, 's' },
		{ "debug", no_argument, NULL, 'd' },
		{ "first-failure", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'l')
			runner.list = true;
		else if (opt == 'k')
			runner.watch_log = true;
		else if (opt == 't')
			runner.times = true;
		else if (opt == 'r')
			runner.read_only = true;
		else if (opt == 's')
			runner.more |= SOAK;
		else if (opt == 'd')
			runner.more |= DEBUG_ONLY;
		else if (opt == 'f')
			runner.first_failure = true;
		else
			usage();
	}
	runner.globs = argv + optind;
	runner.nr_globs = argc - optind;
}

/* libbpf finds out what the kernel can do: once, not in the child of each case. */
static void let_libbpf_look(void)
{
	struct sockmap *map = sockmap_open(MODE_SKB_PASS);

	if (map)
		sockmap_close(map);
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	if (getenv("slow"))
		slowness = atoi(getenv("slow"));
	if (runner.list) {
		each_case(list_case);
		return 0;
	}
	let_libbpf_look();
	each_case(count_case);
	if (!runner.number) {
		fprintf(stderr, "cases: no case matches\n");
		return 2;
	}
	if (runner.watch_log)
		kmsg_open();
	printf("KTAP version 1\n1..%d\n", runner.number);
	runner.number = 0;
	each_case(visit_case);
	printf("# passed %d, failed %d, skipped %d\n", runner.passed, runner.failed,
	       runner.skipped);
	return runner.failed ? 1 : 0;
}
