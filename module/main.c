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

	ret = symbols_resolve();
	if (ret)
		return ret;

	consume_init();

	ret = stats_init();
	if (ret)
		goto no_memory;

	ret = inflight_init();
	if (ret)
		goto no_inflight;

	ret = hook_install();
	if (ret)
		goto no_hook;

	pr_info("serving splice() on sockmap sockets\n");
	return 0;

no_hook:
	/* One function may have been hooked before the other couldn't be. */
	inflight_drain();
	inflight_exit();
	stats_exit();
	return ret;
no_inflight:
	stats_exit();
no_memory:
	pr_err("not loaded: out of memory\n");
	return ret;
}

static void __exit sockmap_splice_exit(void)
{
	hook_remove();
	trace_sockmap_splice_unload(UNLOAD_UNHOOKED);
	inflight_drain();
	inflight_exit();
	stats_exit();
	pr_info("unloaded, splice() is the kernel's own again\n");
}

module_init(sockmap_splice_init);
module_exit(sockmap_splice_exit);

MODULE_DESCRIPTION("splice(2) on TCP and unix stream sockets that are in a BPF sockmap");
MODULE_AUTHOR("The sockmap_splice authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(SOCKMAP_SPLICE_VERSION);
