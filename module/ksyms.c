// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel functions that aren't exported: where they are, and how they are
 * called.
 *
 * Two are called, and must not be called through a pointer: in a kernel built
 * with IBT, functions whose address nobody takes have lost their ENDBR, and an
 * indirect call to one is fatal.  A static call is patched into a direct one.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/printk.h>
#include <linux/string.h>

#include "compat.h"
#include "ksyms.h"

DEFINE_STATIC_CALL_NULL(sms_rcv_space_adjust, tcp_rcv_space_adjust);
DEFINE_STATIC_CALL_NULL(sms_cleanup_rbuf, __tcp_cleanup_rbuf);

/**
 * sms_find_symbol - find where a kernel function begins
 * @name: the function
 * @addr: receives the address
 *
 * A kprobe that is registered disabled patches nothing and tells the address.
 * On IBT kernels that is the one behind ENDBR, so kallsyms is asked how far
 * into the function it is.  Process context, sleeps.
 *
 * Return: 0; -ENOENT when the kernel has no such function, or none that kprobes
 * can find; another error when that can't be found out.
 */
int __init sms_find_symbol(const char *name, unsigned long *addr)
{
	struct kprobe kp = {
		.symbol_name = name,
		.flags = KPROBE_FLAG_DISABLED,
	};
	char text[KSYM_SYMBOL_LEN];
	unsigned long probed, offset;
	char *plus;
	int ret;

	ret = register_kprobe(&kp);
	if (ret)
		return ret;
	probed = (unsigned long)kp.addr;
	unregister_kprobe(&kp);

	sprint_symbol(text, probed);
	plus = strchr(text, '+');
	if (!plus || sscanf(plus, "+0x%lx/", &offset) != 1)
		return -ENOENT;
	*plus = '\0';
	if (strcmp(text, name))
		return -ENOENT;
	*addr = probed - offset;
	return 0;
}

/**
 * sms_need_symbol - find a function that every kernel has to have
 * @name: the function
 * @addr: receives the address
 *
 * Says in the kernel log if it is missing.
 *
 * Return: as sms_find_symbol().
 */
int __init sms_need_symbol(const char *name, unsigned long *addr)
{
	int ret = sms_find_symbol(name, addr);

	if (ret)
		pr_err("not loaded: this kernel has no usable symbol %s (error %d)\n",
		       name, ret);
	return ret;
}

/**
 * sms_want_symbol - find a function that not every kernel has
 * @name: the function
 * @addr: receives the address, or 0 when the kernel has no such function
 *
 * Return: 0, or an error when that can't be found out, which is said in the
 * kernel log.
 */
int __init sms_want_symbol(const char *name, unsigned long *addr)
{
	int ret = sms_find_symbol(name, addr);

	if (!ret)
		return 0;
	*addr = 0;
	if (ret == -ENOENT)
		return 0;
	pr_err("not loaded: can't look for %s (error %d)\n", name, ret);
	return ret;
}

/**
 * sms_ksyms_init - get ready to call what this file calls
 *
 * Says in the kernel log what is missing.  Process context, sleeps.
 *
 * Return: 0, or as sms_find_symbol().
 */
int __init sms_ksyms_init(void)
{
	unsigned long adjust = 0, cleanup;
	int ret;

	ret = sms_want_symbol("__tcp_cleanup_rbuf", &cleanup);
	/* Before 6.0 the two were one. */
	if (!ret && !cleanup)
		ret = sms_need_symbol("tcp_cleanup_rbuf", &cleanup);
	if (!ret && READER_MOVES_COPIED_SEQ)
		ret = sms_need_symbol("tcp_rcv_space_adjust", &adjust);
	if (ret)
		return ret;

	static_call_update(sms_cleanup_rbuf,
			   (typeof(&sms_tcp_cleanup_rbuf))cleanup);
	if (adjust)
		static_call_update(sms_rcv_space_adjust,
				   (typeof(&sms_tcp_rcv_space_adjust))adjust);
	return 0;
}

/**
 * sms_tcp_rcv_space_adjust - the kernel's tcp_rcv_space_adjust()
 * @sk: a TCP socket, locked
 *
 * Only where READER_MOVES_COPIED_SEQ.
 */
void sms_tcp_rcv_space_adjust(struct sock *sk)
{
	static_call(sms_rcv_space_adjust)(sk);
}

/**
 * sms_tcp_cleanup_rbuf - the kernel's __tcp_cleanup_rbuf()
 * @sk:     a TCP socket, locked
 * @copied: bytes that the reader took
 *
 * Sends the window update that the taken bytes call for.
 */
void sms_tcp_cleanup_rbuf(struct sock *sk, int copied)
{
	static_call(sms_cleanup_rbuf)(sk, copied);
}
