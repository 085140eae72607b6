// SPDX-License-Identifier: GPL-2.0
/*
 * The hook: ftrace on tcp_splice_read() and unix_stream_splice_read().
 *
 * struct proto has no splice_read to fill in for tcp_bpf_prots, so the
 * dispatch is made where every splice from such a socket passes.  A callback
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
#include <linux/net.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <net/sock.h>

#include "compat.h"
#include "hook.h"
#include "inflight.h"
#include "ksyms.h"
#include "sockmap.h"
#include "tcp.h"
#include "trace.h"
#include "unix.h"

/* The ftrace site of a function is behind at most ENDBR, or BTI and a NOP. */
#define FTRACE_SITE_MAX 16

/**
 * struct hook - a function of the kernel that is hooked
 * @function:  its name
 * @address:   where it begins, 0 if it isn't to be hooked on this kernel
 * @installed: whether it is hooked
 * @ops:       what ftrace knows of it
 */
struct hook {
	const char *function;
	unsigned long address;
	bool installed;
	struct ftrace_ops ops;
};

/* ftrace finds functions by name, and any module may have one of that name. */
static __always_inline bool is_kernels_own(const struct ftrace_ops *ops,
					   unsigned long ip)
{
	const struct hook *hook = container_of(ops, struct hook, ops);

	return ip - hook->address < FTRACE_SITE_MAX;
}

/*
 * Preemption needn't be disabled: a counted task is waited for; one not yet
 * counted is covered by unregister_ftrace_function().
 *
 * This file isn't traced, and neither is what it calls here, so ftrace can't
 * recurse into the callback.
 */
static void hook_tcp_splice_read(unsigned long ip, unsigned long parent_ip,
				 struct ftrace_ops *ops, struct hook_regs *regs)
{
	struct socket *sock = (struct socket *)hook_argument(regs, 0);

	if (unlikely(!is_kernels_own(ops, ip)))
		return;
	if (likely(!sms_tcp_sk_in_sockmap(sock->sk)))
		return;

	sms_inflight_enter();
	hook_jump(regs, sms_tcp_splice_read);
}

/*
 * The reader of these sockets calls the function itself and marks its calls.
 * parent_ip is no mark: where a kretprobe isn't ftrace's (arm64), it is the
 * address of a trampoline.
 */
static void hook_unix_stream_splice_read(unsigned long ip,
					 unsigned long parent_ip,
					 struct ftrace_ops *ops,
					 struct hook_regs *regs)
{
	struct socket *sock = (struct socket *)hook_argument(regs, 0);

	if (unlikely(!is_kernels_own(ops, ip)) ||
	    hook_argument(regs, 4) & SMS_UNIX_SPLICE_PASSED)
		return;
	if (likely(!sms_unix_sk_in_sockmap(sock->sk)))
		return;

	sms_inflight_enter();
	hook_jump(regs, sms_unix_splice_read);
}

/* PERMANENT: kernel.ftrace_enabled=0 must not silently undo the fix. */
#define HOOK(name) {							\
	.function = #name,						\
	.ops = {							\
		.func = hook_##name,					\
		.flags = HOOK_OPS_FLAGS | FTRACE_OPS_FL_PERMANENT,	\
	},								\
}

static struct hook tcp_hook = HOOK(tcp_splice_read);
static struct hook unix_hook = HOOK(unix_stream_splice_read);
static struct hook *const hooks[] = { &tcp_hook, &unix_hook };

/*
 * ftrace_free_filter() isn't exported everywhere: an empty filter holds
 * nothing.  Emptying it takes a little memory, and there is no later chance.
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
	if (!ret) {
		hook->installed = true;
		return 0;
	}

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
	hook->installed = false;
}

static int __init find_functions(void)
{
	int ret;

	ret = sms_need_symbol(tcp_hook.function, &tcp_hook.address);
	if (ret || !sms_sockmap_takes_unix())
		return ret;
	ret = sms_want_symbol(unix_hook.function, &unix_hook.address);
	if (!ret && !unix_hook.address)
		pr_warn("unix sockets aren't served: this kernel has no usable symbol %s\n",
			unix_hook.function);
	return ret;
}

/**
 * sms_hook_install - send sockmap sockets to the readers
 *
 * Says in the kernel log what is in the way.  Process context, sleeps.  When it
 * fails, tasks may have been sent to a reader already and be there still.
 *
 * Return: 0; -ENOENT when a function is missing; -EBUSY when somebody else has
 * redirected a function or ftrace is switched off; -EAGAIN when a BPF
 * trampoline that must share a function is just being changed; another error of
 * ftrace or kprobes.
 */
int __init sms_hook_install(void)
{
	int ret, i;

	ret = find_functions();
	for (i = 0; i < ARRAY_SIZE(hooks) && !ret; i++)
		if (hooks[i]->address)
			ret = hook_one(hooks[i]);
	if (ret)
		sms_hook_remove();
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

	for (i = ARRAY_SIZE(hooks) - 1; i >= 0; i--)
		if (hooks[i]->installed)
			unhook_one(hooks[i]);
	trace_sockmap_splice_unload(SMS_UNLOAD_UNHOOKED);
}
