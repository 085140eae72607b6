/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CASES_RUN_H
#define CASES_RUN_H

#include "kmsg.h"
#include "test.h"

enum verdict { PASSED, FAILED, SKIPPED };

/* How one run of a case ended; the last line of `said` is the reason when it didn't pass. */
struct outcome {
	enum verdict verdict;
	char said[4096], reason[600];
	double seconds;
	struct splats splats;
};

void run_child(const struct test *t, bool watch_log, bool thorough, struct outcome *out);
/* Why it didn't pass: the last line said, which is cut off from the others. */
const char *outcome_reason(struct outcome *out);

#endif
