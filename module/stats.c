// SPDX-License-Identifier: GPL-2.0
/*
 * Counters of a network namespace, in /proc/net/sockmap_splice_stat, in the
 * manner of /proc/net/tls_stat.  One set per CPU, so that counting shares no
 * cache line; summed when somebody reads them.  They begin at zero when the
 * module is loaded or the namespace is made.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/printk.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#include "stats.h"

/* No two modules have one name, whatever a copy of this one is called. */
static char stats_file[MODULE_NAME_LEN + sizeof("_stat")];

static const char *const stats_names[SMS_STATS_COUNTERS] = {
	[SMS_STATS_SERVED]		= "SockmapSpliceServed",
	[SMS_STATS_GIFTED]		= "SockmapSpliceGiftedBytes",
	[SMS_STATS_COPIED_HEAD]	= "SockmapSpliceCopiedHeadBytes",
	[SMS_STATS_COPIED_PAGE]	= "SockmapSpliceCopiedPageBytes",
	[SMS_STATS_COPIED_PARAM]	= "SockmapSpliceCopiedParamBytes",
	[SMS_STATS_RECEIVE_QUEUE]	= "SockmapSpliceReceiveQueueBytes",
	[SMS_STATS_PIPE_BUFFERS]	= "SockmapSplicePipeBuffers",
	[SMS_STATS_WAITS]		= "SockmapSpliceWaits",
	[SMS_STATS_RESTARTS]	= "SockmapSpliceRestarts",
	[SMS_STATS_PASSED_UNIX]	= "SockmapSplicePassedUnix",
	[SMS_STATS_NO_MEMORY]	= "SockmapSpliceNoMemory",
};

unsigned int sms_stats_net_id;

static int stats_show(struct seq_file *seq, void *v)
{
	struct sms_stats_net *sn = net_generic(seq->private, sms_stats_net_id);
	int i, cpu;

	for (i = 0; i < SMS_STATS_COUNTERS; i++) {
		unsigned long sum = 0;

		for_each_possible_cpu(cpu)
			sum += per_cpu_ptr(sn->stats, cpu)->count[i];
		seq_printf(seq, "%-32s\t%lu\n", stats_names[i], sum);
	}
	return 0;
}

static int __net_init stats_net_init(struct net *net)
{
	struct sms_stats_net *sn = net_generic(net, sms_stats_net_id);

	sn->stats = alloc_percpu(struct sms_stats);
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
	struct sms_stats_net *sn = net_generic(net, sms_stats_net_id);

	remove_proc_entry(stats_file, net->proc_net);
	free_percpu(sn->stats);
}

static struct pernet_operations stats_net_ops = {
	.init = stats_net_init,
	.exit = stats_net_exit,
	.id = &sms_stats_net_id,
	.size = sizeof(struct sms_stats_net),
};

/**
 * sms_stats_init - give every network namespace its counters
 *
 * Says so in the kernel log when there is no memory.  Process context, sleeps.
 *
 * Return: 0 or -ENOMEM.
 */
int __init sms_stats_init(void)
{
	int ret;

	snprintf(stats_file, sizeof(stats_file), "%s_stat", THIS_MODULE->name);
	ret = register_pernet_subsys(&stats_net_ops);
	if (ret)
		pr_err("not loaded: out of memory\n");
	return ret;
}

/**
 * sms_stats_exit - undo sms_stats_init()
 *
 * No task may count any more: not in the reader, not in the hook.
 */
void sms_stats_exit(void)
{
	unregister_pernet_subsys(&stats_net_ops);
}
