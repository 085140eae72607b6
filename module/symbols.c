// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel functions that the module needs and that are not exported.
 *
 * Some of them are only compared with: sk_prot->recvmsg says whether a socket
 * is in a sockmap, the very test that the kernel's read path makes.  Data such
 * as tcp_bpf_prots would do as well, but isn't in every kernel's kallsyms.
 *
 * Two are called, and must not be called through a pointer: where the kernel
 * is built with IBT, functions whose address nobody takes have lost their
 * ENDBR, and an indirect call to one is fatal.  A static call is patched into
 * a direct one.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/net.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <net/net_namespace.h>

#include "compat.h"
#include "symbols.h"

/* The ftrace site of a function is behind at most ENDBR, or BTI and a NOP. */
#define FTRACE_SITE_MAX 16

static unsigned long tcp_splice_read_address __ro_after_init;
/* 0 on kernels that take no unix stream sockets into a sockmap. */
static unsigned long unix_splice_read_address __ro_after_init;
static unsigned long recvmsg_unix __ro_after_init;
static unsigned long recvmsg_base __ro_after_init;
/* 0 on old kernels, which have one recvmsg for all tcp_bpf_prots. */
static unsigned long recvmsg_verdict __ro_after_init;

DEFINE_STATIC_CALL_NULL(sms_rcv_space_adjust, tcp_rcv_space_adjust);
DEFINE_STATIC_CALL_NULL(sms_cleanup_rbuf, __tcp_cleanup_rbuf);

/*
 * Where @name begins.  A kprobe that is registered disabled patches nothing and
 * tells the address; on IBT kernels that is the one behind ENDBR, so ask
 * kallsyms how far into the function it is.
 *
 * Returns 0; -ENOENT when the kernel has no such function, or none that kprobes
 * can tell of; another error when that can't be found out.
 */
static int __init find_symbol(const char *name, unsigned long *addr)
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

static int __init need_symbol(const char *name, unsigned long *addr)
{
	int ret = find_symbol(name, addr);

	if (ret)
		pr_err("not loaded: this kernel has no usable symbol %s (error %d)\n",
		       name, ret);
	return ret;
}

/* As need_symbol(), with @addr 0 when the kernel has no such function. */
static int __init want_symbol(const char *name, unsigned long *addr)
{
	int ret = find_symbol(name, addr);

	if (!ret)
		return 0;
	*addr = 0;
	if (ret == -ENOENT)
		return 0;
	pr_err("not loaded: can't look for %s (error %d)\n", name, ret);
	return ret;
}

/* Sockmap takes unix stream sockets since 5.15. */
static int __init resolve_unix(void)
{
	int ret = want_symbol("unix_bpf_recvmsg", &recvmsg_unix);

	if (ret || !recvmsg_unix)
		return ret;
	ret = want_symbol("unix_stream_splice_read", &unix_splice_read_address);
	if (ret)
		return ret;
	if (!unix_splice_read_address)
		pr_warn("unix sockets aren't served: this kernel has no usable symbol unix_stream_splice_read\n");
	return 0;
}

static int __init resolve_called(void)
{
	unsigned long adjust, cleanup;
	int ret;

	ret = need_symbol("tcp_rcv_space_adjust", &adjust);
	if (!ret)
		ret = need_symbol("__tcp_cleanup_rbuf", &cleanup);
	if (ret)
		return ret;

	static_call_update(sms_rcv_space_adjust, (void *)adjust);
	static_call_update(sms_cleanup_rbuf, (void *)cleanup);
	return 0;
}

/*
 * Whether the kernel splices from sockmap sockets by itself; negative when that
 * can't be found out.  A member in struct proto doesn't tell, other protocols
 * may have been the reason for it, and who fills it in for tcp_bpf may have any
 * name.  So let the kernel do to a socket what sockmap does, and look.
 */
static int __init kernel_splices(void)
{
	struct sk_psock *psock;
	struct socket *sock;
	unsigned long addr;
	int ret;

	ret = find_symbol("tcp_bpf_splice_read", &addr);
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
 * sms_symbols_resolve - find what is not exported
 *
 * Says in the kernel log what is missing.  Process context, sleeps.
 *
 * Return: 0; -EOPNOTSUPP when the kernel splices from sockmap sockets by itself
 * (modprobe would take -EEXIST for a module that is loaded already, and hide
 * it); -ENOENT when a symbol is missing; an error of kprobes or of making a
 * socket.
 */
int __init sms_symbols_resolve(void)
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

	ret = need_symbol("tcp_splice_read", &tcp_splice_read_address);
	if (!ret)
		ret = need_symbol("tcp_bpf_recvmsg", &recvmsg_base);
	if (!ret)
		ret = want_symbol("tcp_bpf_recvmsg_parser", &recvmsg_verdict);
	if (!ret)
		ret = resolve_unix();
	if (ret)
		return ret;

	return READER_MOVES_COPIED_SEQ ? resolve_called() : 0;
}

static __always_inline unsigned long recvmsg_of(const struct sock *sk)
{
	return (unsigned long)READ_ONCE(sk->sk_prot)->recvmsg;
}

/**
 * sms_is_tcp_splice_read - whether an ftrace site is the kernel's own
 * @ip: the site, as an ftrace callback is told
 *
 * ftrace finds functions by name, and any module may have one of that name.
 */
bool notrace sms_is_tcp_splice_read(unsigned long ip)
{
	return ip - tcp_splice_read_address < FTRACE_SITE_MAX;
}

/**
 * sms_have_unix - whether unix stream sockets can be in a sockmap
 */
bool sms_have_unix(void)
{
	return unix_splice_read_address;
}

/**
 * sms_is_unix_stream_splice_read - whether an ftrace site is the kernel's own
 * @ip: the site, as an ftrace callback is told
 */
bool notrace sms_is_unix_stream_splice_read(unsigned long ip)
{
	return ip - unix_splice_read_address < FTRACE_SITE_MAX;
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

/**
 * sms_sk_in_sockmap - whether recvmsg() on @sk would look at a psock
 * @sk: a TCP socket
 *
 * Callable from an ftrace callback: lockless, doesn't sleep, isn't traced.
 */
bool notrace sms_sk_in_sockmap(const struct sock *sk)
{
	return recvmsg_of(sk) == recvmsg_base || sms_sk_has_verdict(sk);
}

/**
 * sms_sk_has_verdict - whether a verdict program sees what @sk receives
 * @sk: a TCP socket
 *
 * Such a socket (TCP_BPF_RX, TCP_BPF_TXRX) is read by
 * tcp_bpf_recvmsg_parser(), which takes nothing from sk_receive_queue.
 * Lockless, and not stable: a socket can leave its map whatever locks are held.
 */
bool notrace sms_sk_has_verdict(const struct sock *sk)
{
	return recvmsg_verdict && recvmsg_of(sk) == recvmsg_verdict;
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
 * Sends the window update that the taken bytes call for.  Only where
 * READER_MOVES_COPIED_SEQ.
 */
void sms_tcp_cleanup_rbuf(struct sock *sk, int copied)
{
	static_call(sms_cleanup_rbuf)(sk, copied);
}
