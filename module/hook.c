// SPDX-License-Identifier: GPL-2.0
/*
 * The hook: ftrace on tcp_splice_read().
 *
 * struct proto has no splice_read to fill in for tcp_bpf_prots, so the
 * dispatch is made where every splice from a TCP socket comes by.  The callback
 * sends sockets that are in a sockmap to the reader by changing the instruction
 * pointer, and lets all others run into the kernel's function: nobody else's
 * data path gets an indirect call.
 *
 * A socket with a ULP (kTLS) stays with the kernel's function: what it receives
 * is the ULP's to read.
 *
 * This file knows nothing of messages; the reader knows nothing of ftrace.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/net.h>
#include <linux/printk.h>
#include <net/inet_connection_sock.h>

#include "compat.h"
#include "hook.h"
#include "inflight.h"
#include "splice.h"
#include "stats.h"
#include "symbols.h"
#include "trace.h"

#define HOOKED "tcp_splice_read"

/*
 * Preemption matters to nobody here: a task that is counted is waited for
 * wherever it is, and one that isn't yet is in code that
 * unregister_ftrace_function() waits for.
 */
static void notrace hook_tcp_splice_read(unsigned long ip,
					 unsigned long parent_ip,
					 struct ftrace_ops *ops,
					 hook_regs_t *regs)
{
	struct socket *sock = (struct socket *)hook_first_argument(regs);
	struct sock *sk;

	if (unlikely(!symbols_is_tcp_splice_read(ip)))
		return;
	sk = sock->sk;
	if (likely(!symbols_sk_in_sockmap(sk)))
		return;
	if (inet_csk(sk)->icsk_ulp_ops) {
		stats_add(sk, STATS_PASSED_ULP, 1);
		trace_sockmap_splice_passed(sk, STATS_PASSED_ULP);
		return;
	}

	inflight_enter();
	hook_jump(regs, sockmap_splice_read);
}

static struct ftrace_ops hook_ops = {
	.func = hook_tcp_splice_read,
	/* PERMANENT: kernel.ftrace_enabled=0 must not silently undo the fix. */
	.flags = HOOK_OPS_FLAGS | FTRACE_OPS_FL_PERMANENT,
};

/*
 * ftrace_free_filter() isn't exported everywhere: an empty filter holds nothing.
 * To empty it takes a little memory, and there is no later chance.
 */
static void hook_free_filter(void)
{
	while (ftrace_set_filter(&hook_ops, NULL, 0, 1) == -ENOMEM)
		msleep(1);
}

/**
 * hook_install - send sockmap sockets to sockmap_splice_read()
 *
 * Says in the kernel log what is in the way.  Process context, sleeps.
 *
 * Return: 0; -EBUSY when somebody else has redirected the function or ftrace
 * is switched off; -EAGAIN when a BPF trampoline that must share the function
 * is just being changed; another error of ftrace.
 */
int __init hook_install(void)
{
	unsigned char name[] = HOOKED;
	int ret;

	ret = ftrace_set_filter(&hook_ops, name, sizeof(name) - 1, 1);
	if (ret) {
		pr_err("not loaded: ftrace can't hook " HOOKED " (error %d)\n",
		       ret);
		return ret;
	}

	ret = register_ftrace_function(&hook_ops);
	if (!ret)
		return 0;

	if (ret == -EBUSY)
		pr_err("not loaded: " HOOKED " is redirected already (by a livepatch, or BPF on old kernels), or kernel.ftrace_enabled is 0\n");
	else if (ret == -EAGAIN)
		pr_err("not loaded: BPF is being attached to " HOOKED " at this moment, try again\n");
	else
		pr_err("not loaded: ftrace refused to hook " HOOKED " (error %d)\n",
		       ret);
	hook_free_filter();
	return ret;
}

/**
 * hook_remove - give tcp_splice_read() back to the kernel
 *
 * When it returns, no task is sent to the reader any more; those that were go
 * on.  Should ftrace have shut itself down after an error of its own, the
 * callback may still be called: then this doesn't return, which leaves a stuck
 * rmmod and a machine that works.
 */
void hook_remove(void)
{
	while (unregister_ftrace_function(&hook_ops)) {
		pr_err_once("can't unload: ftrace has shut down and keeps calling the module\n");
		msleep(1000);
	}
	hook_free_filter();
}
