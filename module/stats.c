// SPDX-License-Identifier: GPL-2.0
/*
 * Counters, one set per CPU so that counting shares no cache line, summed when
 * somebody reads them: /sys/module/sockmap_splice/parameters/bytes_*
 * and pipe_buffers.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "stats.h"

DEFINE_PER_CPU(struct stats, stats);

/* @kp->arg is the counter's place in struct stats. */
static int counter_get(char *buffer, const struct kernel_param *kp)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += *(u64 *)((char *)per_cpu_ptr(&stats, cpu) +
				(unsigned long)kp->arg);
	return scnprintf(buffer, PAGE_SIZE, "%llu\n", sum);
}

static int counter_set(const char *val, const struct kernel_param *kp)
{
	return -EPERM;
}

static const struct kernel_param_ops counter_ops = {
	.get = counter_get,
	.set = counter_set,
};

module_param_cb(bytes_gifted, &counter_ops,
		(void *)offsetof(struct stats, gifted), 0444);
MODULE_PARM_DESC(bytes_gifted, "Bytes that went into pipes without a copy (read only)");
module_param_cb(bytes_copied, &counter_ops,
		(void *)offsetof(struct stats, copied), 0444);
MODULE_PARM_DESC(bytes_copied, "Bytes that were copied into pipes (read only)");
module_param_cb(pipe_buffers, &counter_ops,
		(void *)offsetof(struct stats, buffers), 0444);
MODULE_PARM_DESC(pipe_buffers, "Pipe buffers that took these bytes (read only)");
