// SPDX-License-Identifier: GPL-2.0
/*
 * sockmap_splice: splice(2) on TCP and unix stream sockets that are in a BPF
 * sockmap.
 *
 * The hook is installed last and removed first, so that nothing is left behind
 * by a load that fails, and no task enters a module that is going.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/module.h>

#include "consume.h"
#include "hook.h"
#include "inflight.h"
#include "stats.h"
#include "symbols.h"
#include "trace.h"

static int __init sockmap_splice_init(void)
{
	int ret;

	ret = sms_symbols_resolve();
	if (ret)
		return ret;

	sms_consume_init();

	ret = sms_stats_init();
	if (ret)
		goto no_memory;

	ret = sms_inflight_init();
	if (ret)
		goto no_inflight;

	ret = sms_hook_install();
	if (ret)
		goto no_hook;

	pr_info("serving splice() on sockmap sockets\n");
	return 0;

no_hook:
	/* One function may have been hooked before the other couldn't be. */
	sms_inflight_drain();
	sms_inflight_exit();
	sms_stats_exit();
	return ret;
no_inflight:
	sms_stats_exit();
no_memory:
	pr_err("not loaded: out of memory\n");
	return ret;
}

static void __exit sockmap_splice_exit(void)
{
	sms_hook_remove();
	trace_sockmap_splice_unload(SMS_UNLOAD_UNHOOKED);
	sms_inflight_drain();
	sms_inflight_exit();
	sms_stats_exit();
	pr_info("unloaded, splice() is the kernel's own again\n");
}

module_init(sockmap_splice_init);
module_exit(sockmap_splice_exit);

MODULE_DESCRIPTION("splice(2) on TCP and unix stream sockets that are in a BPF sockmap");
MODULE_AUTHOR("The sockmap_splice authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(SOCKMAP_SPLICE_VERSION);
