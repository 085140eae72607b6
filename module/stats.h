/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_STATS_H
#define SOCKMAP_SPLICE_STATS_H

#include <linux/percpu.h>
#include <linux/types.h>

/**
 * struct stats - what went into pipes since the module was loaded, in bytes
 * @gifted: as references to the pages they came in
 * @copied: as copies, because the page can't be shared or by parameter
 */
struct stats {
	u64 gifted;
	u64 copied;
};

DECLARE_PER_CPU(struct stats, stats);

#define stats_add(counter, n) this_cpu_add(stats.counter, n)

#endif
