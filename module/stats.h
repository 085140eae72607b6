/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_STATS_H
#define SOCKMAP_SPLICE_STATS_H

#include <linux/percpu.h>
#include <linux/types.h>

/**
 * struct stats - what went into pipes since the module was loaded
 * @gifted: bytes, as references to the pages they came in
 * @copied: bytes, as copies, because the page can't be shared or by parameter
 * @buffers: the pipe buffers that hold both, each with one reference to a page
 */
struct stats {
	u64 gifted;
	u64 copied;
	u64 buffers;
};

DECLARE_PER_CPU(struct stats, stats);

#define stats_add(counter, n) this_cpu_add(stats.counter, n)

#endif
