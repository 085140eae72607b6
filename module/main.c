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
#include "ksyms.h"
#include "recvq.h"
#include "sockmap.h"
#include "stats.h"

static int __init sockmap_splice_init(void)
{
	int ret;

	ret = sms_sockmap_init();
	if (ret)
		return ret;

	ret = sms_ksyms_init();
	if (ret)
		return ret;

	sms_recvq_init();
	sms_consume_init();

	ret = sms_stats_init();
	if (ret)
		return ret;

	ret = sms_inflight_init();
	if (ret)
		goto err_inflight;

	ret = sms_hook_install();
	if (ret)
		goto err_hook;

	pr_info("serving splice() on sockmap sockets\n");
	return 0;

err_hook:
	sms_inflight_exit();
err_inflight:
	sms_stats_exit();
	return ret;
}

static void __exit sockmap_splice_exit(void)
{
	sms_hook_remove();
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
