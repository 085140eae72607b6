// SPDX-License-Identifier: GPL-2.0
/*
 * What sockmap has made of a socket, and whether this kernel needs the module.
 *
 * sk_prot->recvmsg says whether a socket is in a sockmap: that is the very test
 * that the kernel's read path makes.  Data such as tcp_bpf_prots would do as
 * well, but isn't in every kernel's kallsyms.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/net.h>
#include <linux/printk.h>
#include <net/net_namespace.h>

#include "compat.h"
#include "ksyms.h"
#include "sockmap.h"

static unsigned long recvmsg_tcp __ro_after_init;
/* 0 on old kernels, which have one recvmsg for all tcp_bpf_prots. */
static unsigned long recvmsg_tcp_verdict __ro_after_init;
/* 0 if it can't be found. */
static unsigned long data_ready_parser __ro_after_init;
/* 0 on kernels that take no unix stream sockets into a sockmap. */
static unsigned long recvmsg_unix __ro_after_init;

/*
 * Whether the kernel splices from sockmap sockets by itself; negative when that
 * can't be found out.  A member in struct proto doesn't tell, other protocols
 * may have been the reason for it, and the function that tcp_bpf fills in may
 * have any name.  So do to a socket what sockmap does, and look.
 */
static int __init kernel_splices(void)
{
	struct sk_psock *psock;
	struct socket *sock;
	unsigned long addr;
	int ret;

	ret = sms_find_symbol("tcp_bpf_splice_read", &addr);
	if (ret != -ENOENT)
		return ret ?: true;
	if (!PROTO_HAS_SPLICE_READ)
		return false;

	ret = sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP,
			       &sock);
	if (ret)
		return ret;
	psock = sk_psock_init(sock->sk, NUMA_NO_NODE);
	ret = PTR_ERR_OR_ZERO(psock);
	if (!ret) {
		ret = sk_psock_changes_splice_read(sock->sk, psock);
		sk_psock_put(sock->sk, psock);
	}
	sock_release(sock);
	return ret;
}

/**
 * sms_sockmap_init - find out what this kernel's sockmap is like
 *
 * Says in the kernel log why the module can't be loaded.  Process context,
 * sleeps.
 *
 * Return: 0; -EOPNOTSUPP when the kernel splices from sockmap sockets by itself
 * (modprobe would take -EEXIST for a module that is loaded already, and hide
 * it); -ENOENT when a symbol is missing; an error of kprobes or of making a
 * socket.
 */
int __init sms_sockmap_init(void)
{
	int ret;

	ret = kernel_splices();
	if (ret > 0) {
		pr_err("not loaded: this kernel splices from sockmap sockets by itself\n");
		return -EOPNOTSUPP;
	}
	if (ret) {
		pr_err("not loaded: can't try this kernel's sockmap (error %d)\n",
		       ret);
		return ret;
	}

	ret = sms_need_symbol("tcp_bpf_recvmsg", &recvmsg_tcp);
	if (!ret)
		ret = sms_want_symbol("tcp_bpf_recvmsg_parser",
				      &recvmsg_tcp_verdict);
	if (!ret)
		ret = sms_want_symbol("sk_psock_strp_data_ready",
				      &data_ready_parser);
	/* Sockmap takes unix stream sockets since 5.15. */
	if (!ret)
		ret = sms_want_symbol("unix_bpf_recvmsg", &recvmsg_unix);
	return ret;
}

/**
 * sms_sockmap_takes_unix - whether unix stream sockets can be in a sockmap
 */
bool __init sms_sockmap_takes_unix(void)
{
	return recvmsg_unix;
}

static __always_inline unsigned long recvmsg_of(const struct sock *sk)
{
	return (unsigned long)READ_ONCE(sk->sk_prot)->recvmsg;
}

/**
 * sms_tcp_sk_in_sockmap - whether recvmsg() on @sk would look at a psock
 * @sk: a TCP socket
 *
 * Callable from an ftrace callback: lockless, doesn't sleep, isn't traced.
 */
bool notrace sms_tcp_sk_in_sockmap(const struct sock *sk)
{
	return recvmsg_of(sk) == recvmsg_tcp || sms_tcp_sk_has_verdict(sk);
}

/**
 * sms_tcp_sk_has_verdict - whether recvmsg() on @sk leaves its sk_receive_queue
 *			    to a verdict program
 * @sk: a TCP socket
 *
 * Such a socket (TCP_BPF_RX, TCP_BPF_TXRX) is read by
 * tcp_bpf_recvmsg_parser().  Lockless, and not stable: a socket can leave its
 * map whatever locks are held.
 */
bool notrace sms_tcp_sk_has_verdict(const struct sock *sk)
{
	return recvmsg_tcp_verdict && recvmsg_of(sk) == recvmsg_tcp_verdict;
}

/**
 * sms_tcp_sk_calls_parser - whether a parser is told of bytes for @sk
 * @sk: a TCP socket
 *
 * True as well where that can't be told, and sk_psock_parser() has to do.
 * Lockless.
 */
bool sms_tcp_sk_calls_parser(const struct sock *sk)
{
	return !data_ready_parser ||
	       (unsigned long)READ_ONCE(sk->sk_data_ready) == data_ready_parser;
}

/**
 * sms_unix_sk_in_sockmap - whether recvmsg() on @sk would look at a psock
 * @sk: a unix stream socket
 *
 * Callable from an ftrace callback: lockless, doesn't sleep, isn't traced.
 */
bool notrace sms_unix_sk_in_sockmap(const struct sock *sk)
{
	return recvmsg_of(sk) == recvmsg_unix;
}
