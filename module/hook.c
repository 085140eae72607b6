// SPDX-License-Identifier: GPL-2.0
/*
 * The hook: ftrace on tcp_splice_read() and unix_stream_splice_read().
 *
 * struct proto has no splice_read to fill in for tcp_bpf_prots, so the
 * dispatch is made where every splice from such a socket comes by.  A callback
 * sends sockets that are in a sockmap to the reader by changing the instruction
 * pointer, and lets all others run into the kernel's function: nobody else's
 * data path gets an indirect call.
 *
 * A socket with a ULP (kTLS) that has no keys is read by tcp_bpf_recvmsg(), and
 * so it is served.  With keys its recvmsg() is the ULP's, and it isn't.
 *
 * This file knows nothing of messages; the reader knows nothing of ftrace.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <net/sock.h>

#include "compat.h"
#include "hook.h"
#include "inflight.h"
#include "symbols.h"
#include "tcp.h"
#include "unix.h"

/*
 * Preemption matters to nobody here: a task that is counted is waited for
 * wherever it is, and one that isn't yet is in code that
 * unregister_ftrace_function() waits for.
 */
static void notrace hook_tcp_splice_read(unsigned long ip,
					 unsigned long parent_ip,
					 struct ftrace_ops *ops,
					 struct hook_regs *regs)
{
	struct socket *sock = (struct socket *)hook_argument(regs, 0);

	if (unlikely(!sms_is_tcp_splice_read(ip)))
		return;
	if (likely(!sms_sk_in_sockmap(sock->sk)))
		return;

	sms_inflight_enter();
	hook_jump(regs, sms_tcp_splice_read);
}

/*
 * The reader of these sockets calls the function itself and marks its calls.
 * parent_ip is no mark: where a kretprobe isn't ftrace's (arm64), it is the
 * address of a trampoline.
 */
static void notrace hook_unix_stream_splice_read(unsigned long ip,
						 unsigned long parent_ip,
						 struct ftrace_ops *ops,
						 struct hook_regs *regs)
{
	struct socket *sock = (struct socket *)hook_argument(regs, 0);

	if (unlikely(!sms_is_unix_stream_splice_read(ip)) ||
	    hook_argument(regs, 4) & SMS_UNIX_SPLICE_PASSED)
		return;
	if (likely(!sms_unix_sk_in_sockmap(sock->sk)))
		return;

	sms_inflight_enter();
	hook_jump(regs, sms_unix_splice_read);
}

/* PERMANENT: kernel.ftrace_enabled=0 must not silently undo the fix. */
#define HOOK_OPS(callback) {						\
	.func = callback,						\
	.flags = HOOK_OPS_FLAGS | FTRACE_OPS_FL_PERMANENT,		\
}

static struct hook {
	const char *function;
	struct ftrace_ops ops;
} hooks[] = {
	{ "tcp_splice_read", HOOK_OPS(hook_tcp_splice_read) },
	/* The last: where sockmap takes no unix stream sockets it isn't hooked. */
	{ "unix_stream_splice_read", HOOK_OPS(hook_unix_stream_splice_read) },
};

static int nr_hooks(void)
{
	return sms_have_unix() ? ARRAY_SIZE(hooks) : ARRAY_SIZE(hooks) - 1;
}

/*
 * ftrace_free_filter() isn't exported everywhere: an empty filter holds nothing.
 * To empty it takes a little memory, and there is no later chance.
 */
static void hook_free_filter(struct hook *hook)
{
	while (ftrace_set_filter(&hook->ops, NULL, 0, 1) == -ENOMEM)
		msleep(20);
}

static int __init hook_one(struct hook *hook)
{
	const char *name = hook->function;
	int ret;

	ret = ftrace_set_filter(&hook->ops, (unsigned char *)name, strlen(name),
				1);
	if (ret) {
		pr_err("not loaded: ftrace can't hook %s (error %d)\n", name,
		       ret);
		return ret;
	}

	ret = register_ftrace_function(&hook->ops);
	if (!ret)
		return 0;

	if (ret == -EBUSY)
		pr_err("not loaded: %s is redirected already (by a livepatch, or BPF on old kernels), or kernel.ftrace_enabled is 0\n",
		       name);
	else if (ret == -EAGAIN)
		pr_err("not loaded: BPF is being attached to %s at this moment, try again\n",
		       name);
	else
		pr_err("not loaded: ftrace refused to hook %s (error %d)\n",
		       name, ret);
	hook_free_filter(hook);
	return ret;
}

/*
 * Should ftrace have shut itself down after an error of its own, the callback
 * may still be called: then this doesn't return, which leaves a stuck rmmod and
 * a machine that works.
 */
static void unhook_one(struct hook *hook)
{
	while (unregister_ftrace_function(&hook->ops)) {
		pr_err_once("can't unload: ftrace has shut down and keeps calling the module\n");
		msleep(1000);
	}
	hook_free_filter(hook);
}

/**
 * sms_hook_install - send sockmap sockets to the readers
 *
 * Says in the kernel log what is in the way.  Process context, sleeps.  When it
 * fails, tasks may have been sent to a reader already and be there still.
 *
 * Return: 0; -EBUSY when somebody else has redirected a function or ftrace is
 * switched off; -EAGAIN when a BPF trampoline that must share a function is just
 * being changed; another error of ftrace.
 */
int __init sms_hook_install(void)
{
	int i, ret;

	for (i = 0; i < nr_hooks(); i++) {
		ret = hook_one(&hooks[i]);
		if (ret)
			goto undo;
	}
	return 0;

undo:
	while (i--)
		unhook_one(&hooks[i]);
	return ret;
}

/**
 * sms_hook_remove - give the functions back to the kernel
 *
 * When it returns, no task is sent to a reader any more; those that were go on.
 */
void sms_hook_remove(void)
{
	int i;

	for (i = 0; i < nr_hooks(); i++)
		unhook_one(&hooks[i]);
}
