/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CASES_FAULT_H
#define CASES_FAULT_H

#include "test.h"

/* Faults of the running kernel, found by the runner with read(2), that the traffic goes round. */
enum {
	VERDICT_GOES_ASTRAY	= BIT(0),
	REDIRECT_STALLS		= BIT(1),
};

extern unsigned int faults;

/* The case that shows a fault, in the mode that it spoils. */
struct fault {
	unsigned int bit;
	enum sockmap_mode mode;
	const struct behaviour *shown_by;
};

#define NR_FAULTS 2

extern const struct fault known_faults[NR_FAULTS];

#endif
