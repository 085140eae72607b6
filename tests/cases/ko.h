/* SPDX-License-Identifier: GPL-2.0 */
/* Loading and unloading the module under test, and reading its parameters and counters. */
#ifndef CASES_KO_H
#define CASES_KO_H

#include <stdbool.h>

#define KO_NAME	"sockmap_splice"

bool ko_loaded(void);
/* For a case: skips it when there is no module file, has the module loaded when it returns. */
void ko_need(void);
/* Unloads it, however much is going on, or fails the case; the time it took. */
double ko_unload_in_time(void);
int ko_load(const char *params);	/* 0 or -errno */
/* The same module as another one, with a name as long as KO_NAME. */
int ko_load_as(const char *name);	/* 0 or -errno */
int ko_unload(void);			/* 0 or -errno */
int ko_restore(bool loaded);

/* A parameter's value, or -errno. */
long long ko_parameter(const char *name);
int ko_set_parameter(const char *name, const char *value);

#define KO_COUNTERS	"/proc/net/sockmap_splice_stat"

/* The sum of this network namespace's counters named SockmapSplice and what matches, or -errno. */
long long ko_counter(const char *glob);

#endif
