/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a test case is, and how it says what went wrong.
 *
 * A behaviour is written once; the table of its file names the data sources (modes) it makes
 * sense for, and the runner makes one case of it per mode and address family. The mode `plain`
 * is ordinary TCP: it has to pass on a stock kernel, so it proves the test before the test
 * judges anything else.
 *
 * A case runs in a child process of its own. It passes by returning, and fails or skips by
 * leaving the process from whatever thread finds the reason: no case has to be able to clean up.
 */
#ifndef CASES_TEST_H
#define CASES_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "modes.h"

#define MODE_PLAIN	NR_MODES	/* no sockmap: proves the test itself */
#define BIT(nr)		(1u << (nr))
#define MSG_MODES	(BIT(MODE_MSG_INGRESS) | BIT(MODE_MSG_APPLY))
#define SKB_MODES	(BIT(MODE_SKB_PASS) | BIT(MODE_SKB_PARSER) | BIT(MODE_SKB_REDIRECT))
#define SOCKMAP_MODES	(MSG_MODES | SKB_MODES)
#define ALL_MODES	(SOCKMAP_MODES | BIT(MODE_PLAIN))
/* Beside modes: unix stream sockets too, in those of the modes that there are for them. */
#define AND_UNIX	BIT(31)
#define UNIX_MODES	(BIT(MODE_SKB_PASS) | BIT(MODE_SKB_REDIRECT) | BIT(MODE_PLAIN))

#define EXIT_FAILED	1
#define EXIT_SKIPPED	4

enum {
	ASK_READ	= BIT(0),	/* read(2) can do it too: it is the control */
	V4_ONLY		= BIT(1),	/* the address family plays no part */
	ASK_SPLATS	= BIT(2),	/* read(2) is no measure of the result, but of the splats */
	SOAK		= BIT(3),	/* takes long: runs only when it is asked for */
	DEBUG_ONLY	= BIT(4),	/* needs what only the debug kernels have */
	MIXES_MODES	= BIT(5),	/* uses all of them, though it isn't about one */
	TCP_ONLY	= BIT(6),	/* unix sockets have no such thing */
	UNIX_ONLY	= BIT(7),	/* TCP sockets have none */
};

struct test;

struct behaviour {
	const char *group, *name;
	void (*run)(const struct test *t);
	unsigned int modes;		/* 0: not about one socket mode, runs once */
	unsigned int flags;
	unsigned int limit;		/* seconds, 0: DEFAULT_LIMIT */
	const void *arg;
};

/* One behaviour in one mode and address family, with the method that this run reads by. */
struct test {
	const struct behaviour *b;
	int mode, family;
	bool use_read;
	uint64_t seed;		/* of what is random: the same for splice and for its controls */
};

struct suite {
	const struct behaviour *behaviours;
	size_t count;
};

#define DEFAULT_LIMIT	10
#define SUITE(array)	{ array, sizeof(array) / sizeof((array)[0]) }

extern const struct suite fault_suite, stream_suite, block_suite, eof_suite, pipe_suite, data_suite,
	poll_suite, share_suite, map_suite, other_suite, uring_suite, module_suite, unload_suite,
	leak_suite, fuzz_suite, fire_suite, load_suite, security_suite, alloc_suite,
	neighbour_suite, history_suite, history_unix_suite, unreadable_suite, window_suite;

__attribute__((noreturn, format(printf, 3, 4)))
void fail_at(const char *file, int line, const char *fmt, ...);
__attribute__((noreturn, format(printf, 1, 2)))
void skip(const char *fmt, ...);
__attribute__((format(printf, 1, 2)))
void note(const char *fmt, ...);

/* "1000" or "-EAGAIN": the result of a call in the form that all our wrappers return. */
const char *result_name(ssize_t result);

void expect_result_at(const char *file, int line, ssize_t got, ssize_t want, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

#define fail(...)		fail_at(__FILE__, __LINE__, __VA_ARGS__)
#define expect(cond, ...)	do { if (!(cond)) fail(__VA_ARGS__); } while (0)
/* The result (count or -errno) of what is described must be `want`. */
#define expect_result(got, want, ...) \
	expect_result_at(__FILE__, __LINE__, got, want, __VA_ARGS__)

/*
 * By how much a guest with this kernel is slower than one with a stock kernel: what is waited for
 * is waited for so much longer. In the environment as `slow`.
 */
extern int slowness;

/* 0 or -errno; `flags` are open(2)'s besides O_WRONLY. */
int write_file(const char *path, int flags, const char *text);

double now(void);
void sleep_ms(int ms);

#endif
