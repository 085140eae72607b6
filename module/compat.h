/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Everything that differs between kernels, and nothing else.  The rest of the
 * module reads as if there were one kernel: it uses the names below.
 *
 * Vendors backport, so the questions are put to the headers (the HAVE_* names
 * come from the probes in Kbuild), not to the version number.
 */
#ifndef SOCKMAP_SPLICE_COMPAT_H
#define SOCKMAP_SPLICE_COMPAT_H

#include <linux/ftrace.h>
#include <linux/ptrace.h>
#include <linux/skmsg.h>
#include <linux/static_call.h>
#include <net/sock.h>
#include <net/tcp.h>
#ifdef HAVE_NET_RPS_H
#include <net/rps.h>
#endif

/*
 * What an ftrace callback is handed: 5.10 gives the full pt_regs, 5.11 wrapped
 * them.  The full set has to be asked for, unless the kernel has the accessors
 * of 6.2 and saves arguments anyway (WITH_ARGS; arm64 then has no full set).
 */
#ifdef HAVE_FTRACE_REGS
#define hook_regs ftrace_regs
#else
#define hook_regs pt_regs
#endif

#if defined(CONFIG_DYNAMIC_FTRACE_WITH_ARGS) && defined(HAVE_FTRACE_ARGUMENT)
#define HOOK_OPS_FLAGS	FTRACE_OPS_FL_IPMODIFY

static __always_inline unsigned long hook_argument(struct hook_regs *regs, int n)
{
	return ftrace_regs_get_argument(regs, n);
}

static __always_inline void hook_jump(struct hook_regs *regs, void *target)
{
	ftrace_regs_set_instruction_pointer(regs, (unsigned long)target);
}
#elif defined(CONFIG_DYNAMIC_FTRACE_WITH_REGS)
#define HOOK_OPS_FLAGS	(FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_SAVE_REGS)

static __always_inline struct pt_regs *hook_pt_regs(struct hook_regs *regs)
{
#ifdef HAVE_FTRACE_REGS
	return ftrace_get_regs(regs);
#else
	return regs;
#endif
}

static __always_inline unsigned long hook_argument(struct hook_regs *regs, int n)
{
	return regs_get_kernel_argument(hook_pt_regs(regs), n);
}

static __always_inline void hook_jump(struct hook_regs *regs, void *target)
{
	instruction_pointer_set(hook_pt_regs(regs), (unsigned long)target);
}
#else
#error "sockmap_splice: ftrace can't redirect a function on this kernel"
#endif

/*
 * The kernel's consumer of ingress_msg: 5.13 moved __tcp_bpf_recvmsg() to
 * skmsg.c under a new name.
 */
#ifndef HAVE_SK_MSG_RECVMSG
#define sk_msg_recvmsg __tcp_bpf_recvmsg
#endif

/*
 * 5.13 gave ingress_msg a lock of its own, taken by these helpers.  Before it,
 * the socket lock, which our callers hold, was what guarded the queue.
 */
#ifndef HAVE_SK_PSOCK_PEEK_MSG
static inline struct sk_msg *sk_psock_peek_msg(struct sk_psock *psock)
{
	return list_first_entry_or_null(&psock->ingress_msg, struct sk_msg,
					list);
}

static inline struct sk_msg *sk_psock_next_msg(struct sk_psock *psock,
					       struct sk_msg *msg)
{
	if (list_is_last(&msg->list, &psock->ingress_msg))
		return NULL;
	return list_next_entry(msg, list);
}

static inline struct sk_msg *sk_psock_dequeue_msg(struct sk_psock *psock)
{
	struct sk_msg *msg = sk_psock_peek_msg(psock);

	if (msg)
		list_del(&msg->list);
	return msg;
}

static inline void kfree_sk_msg(struct sk_msg *msg)
{
	if (msg->skb)
		consume_skb(msg->skb);
	kfree(msg);
}
#endif

/* The bytes in ingress_msg, for FIONREAD: counted since 7.0, and stable. */
#ifndef HAVE_SK_PSOCK_MSG_LEN_ADD
static inline void sk_psock_msg_len_add(struct sk_psock *psock, int diff)
{
}
#endif

/*
 * Whether a verdict program or a parser is attached to @psock.  Kernels that
 * have no tcp_bpf_recvmsg_parser() don't show it in sk_prot.
 */
static inline bool sk_psock_has_verdict(const struct sk_psock *psock)
{
#ifdef HAVE_SK_PSOCK_PARSER
	return psock->parser.enabled;
#else
	return psock->saved_data_ready;
#endif
}

/*
 * The parser attached to @psock, or NULL: 5.13 took it out of a struct of its
 * own.
 */
static inline const struct strparser *
sk_psock_parser(const struct sk_psock *psock)
{
#ifdef HAVE_SK_PSOCK_PARSER
	return psock->progs.skb_parser && psock->parser.enabled ?
	       &psock->parser.strp : NULL;
#else
	return psock->progs.stream_parser && psock->saved_data_ready ?
	       &psock->strp : NULL;
#endif
}

/*
 * Who moves copied_seq for a socket with a verdict program: tcp_eat_skb() came
 * with the change (6.4, and stable before it) that left it to the reader;
 * until then tcp_read_sock() had already done it when the reader came.
 */
#ifdef HAVE_TCP_EAT_SKB
#define READER_MOVES_COPIED_SEQ true
#else
#define READER_MOVES_COPIED_SEQ false
void __tcp_cleanup_rbuf(struct sock *sk, int copied);
#endif

/*
 * Whether @msg holds bytes of @sk's own TCP stream, not redirected ones, which
 * are no part of its sequence space.  Kernels that can tell (since 7.0, and
 * stable) mark their own in msg->sk; on the others recvmsg counts them all.
 */
static inline bool sk_msg_from_self(const struct sk_msg *msg,
				    const struct sock *sk)
{
#ifdef HAVE_COPIED_FROM_SELF
	return msg->sk == sk;
#else
	return true;
#endif
}

/* To mark a message as such. */
static inline void sk_msg_mark_self(struct sk_msg *msg, struct sock *sk)
{
#ifdef HAVE_COPIED_FROM_SELF
	msg->sk = sk;
#endif
}

/*
 * Whether the consumer of ingress_msg may have to set off sk_psock_backlog()
 * again.  Some kernels (6.0 to 6.3, and stable before) leave that to the reader
 * when the receive buffer was full; they keep the skb in psock->work_state,
 * where later ones have offset and length alone.
 */
#ifdef HAVE_SK_PSOCK_WORK_STATE
#define READER_RESTARTS_BACKLOG \
	(sizeof_field(struct sk_psock, work_state) > 2 * sizeof(u32))
#else
#define READER_RESTARTS_BACKLOG false
#endif

/*
 * A splice_read in struct proto (in no release up to 7.3), and whether sockmap
 * gives @sk, which is @psock's and in no map, another one than it has.
 */
#ifdef HAVE_PROTO_SPLICE_READ
#define PROTO_HAS_SPLICE_READ true

static inline int sk_psock_changes_splice_read(struct sock *sk,
					       struct sk_psock *psock)
{
	const struct proto *plain = sk->sk_prot;
	int ret;

	psock->psock_update_sk_prot = plain->psock_update_sk_prot;
	ret = plain->psock_update_sk_prot(sk, psock, false);
	return ret ?: sk->sk_prot->splice_read != plain->splice_read;
}
#else
#define PROTO_HAS_SPLICE_READ false

static inline int sk_psock_changes_splice_read(struct sock *sk,
					       struct sk_psock *psock)
{
	return false;
}
#endif

#endif
