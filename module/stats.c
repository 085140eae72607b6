// SPDX-License-Identifier: GPL-2.0
/*
 * Counters of a network namespace, in /proc/net/sockmap_splice_stat, in the
 * manner of /proc/net/tls_stat.  One set per CPU, so that counting shares no
 * cache line; summed when somebody reads them.  They begin at zero when the
 * module is loaded or the namespace is made.
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#include "stats.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* No two modules have one name, whatever a copy of this one is called. */
static char stats_file[MODULE_NAME_LEN + sizeof("_stat")];

static const char *const stats_names[STATS_COUNTERS] = {
	[STATS_SERVED]		= "SockmapSpliceServed",
	[STATS_GIFTED]		= "SockmapSpliceGiftedBytes",
	[STATS_COPIED_HEAD]	= "SockmapSpliceCopiedHeadBytes",
	[STATS_COPIED_PAGE]	= "SockmapSpliceCopiedPageBytes",
	[STATS_COPIED_PARAM]	= "SockmapSpliceCopiedParamBytes",
	[STATS_RECEIVE_QUEUE]	= "SockmapSpliceReceiveQueueBytes",
	[STATS_PIPE_BUFFERS]	= "SockmapSplicePipeBuffers",
	[STATS_WAITS]		= "SockmapSpliceWaits",
	[STATS_RESTARTS]	= "SockmapSpliceRestarts",
	[STATS_PASSED_UNIX]	= "SockmapSplicePassedUnix",
	[STATS_NO_MEMORY]	= "SockmapSpliceNoMemory",
};

unsigned int stats_net_id;

static int stats_show(struct seq_file *seq, void *v)
{
	struct stats_net *sn = net_generic(seq->private, stats_net_id);
	int i, cpu;

	for (i = 0; i < STATS_COUNTERS; i++) {
		unsigned long sum = 0;

		for_each_possible_cpu(cpu)
			sum += per_cpu_ptr(sn->stats, cpu)->count[i];
		seq_printf(seq, "%-32s\t%lu\n", stats_names[i], sum);
	}
	return 0;
}

static int __net_init stats_net_init(struct net *net)
{
	struct stats_net *sn = net_generic(net, stats_net_id);

	sn->stats = alloc_percpu(struct stats);
	if (!sn->stats)
		return -ENOMEM;
	if (!proc_create_net_single(stats_file, 0444, net->proc_net, stats_show,
				    NULL)) {
		free_percpu(sn->stats);
		return -ENOMEM;
	}
	return 0;
}

static void __net_exit stats_net_exit(struct net *net)
{
	struct stats_net *sn = net_generic(net, stats_net_id);

	remove_proc_entry(stats_file, net->proc_net);
	free_percpu(sn->stats);
}

static struct pernet_operations stats_net_ops = {
	.init = stats_net_init,
	.exit = stats_net_exit,
	.id = &stats_net_id,
	.size = sizeof(struct stats_net),
};

/**
 * stats_init - give every network namespace its counters
 *
 * Process context, sleeps.
 *
 * Return: 0 or -ENOMEM.
 */
int __init stats_init(void)
{
	snprintf(stats_file, sizeof(stats_file), "%s_stat", THIS_MODULE->name);
	return register_pernet_subsys(&stats_net_ops);
}

/**
 * stats_exit - undo stats_init()
 *
 * No task may count any more: not in the reader, not in the hook.
 */
void stats_exit(void)
{
	unregister_pernet_subsys(&stats_net_ops);
}
