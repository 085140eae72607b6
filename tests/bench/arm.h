/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BENCH_ARM_H
#define BENCH_ARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an arm works with, and how many system calls it has made. */
struct arm_state {
	int in, out;		/* the socket; behind a proxy, where the bytes go */
	int pipe[2], copy[2];	/* copy: to look at what goes to /dev/null */
	int null;
	char *buf;
	size_t block;
	size_t calls;
};

/* A way to take bytes from a blocking socket. */
struct arm {
	const char *name;
	bool splices;
	bool is_proxy;
	/* One round, in blocks of `block` at most; returns how many bytes. */
	size_t (*take)(struct arm_state *a, uint64_t offset, bool checked);
};

extern const struct arm arms[];		/* ends with one without a name */

void arm_open(struct arm_state *a, int in, size_t block);
void arm_close(struct arm_state *a);

/* They do nothing; profile.c counts from a call of the one to a call of the other. */
void __attribute__((noinline)) profile_begin(void);
void __attribute__((noinline)) profile_end(void);

/* The stream: at least 1 MiB of it in a row, from an offset on. */
void stream_init(void);
const char *stream_bytes(uint64_t offset);
/* Ends the run, saying what is wrong, unless buf holds those bytes. */
void stream_check(const char *buf, uint64_t offset, size_t len, const char *what);

#endif
