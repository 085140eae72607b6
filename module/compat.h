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
#include <net/af_unix.h>
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

static inline u32 sk_psock_get_msg_len_nolock(struct sk_psock *psock)
{
	struct sk_msg *msg;
	u32 len = 0;

	for (msg = sk_psock_peek_msg(psock); msg;
	     msg = sk_psock_next_msg(psock, msg))
		len += msg->sg.size;
	return len;
}
#endif

/* 6.12 knows fragments that the CPU can't read, in the memory of a device. */
#ifndef HAVE_SKB_FRAGS_READABLE
static inline bool skb_frags_readable(const struct sk_buff *skb)
{
	return true;
}
#endif

/* Whether a unix socket has out-of-band bytes to be received. */
static inline bool unix_has_oob(const struct unix_sock *u)
{
#if IS_ENABLED(CONFIG_AF_UNIX_OOB)
	return READ_ONCE(u->oob_skb);
#else
	return false;
#endif
}

/* The bytes in its sk_receive_queue: counted since 6.17. */
static inline void unix_inq_sub(struct unix_sock *u, u32 len)
{
#ifdef HAVE_UNIX_INQ_LEN
	WRITE_ONCE(u->inq_len, u->inq_len - len);
#endif
}

/*
 * Whether a verdict program or a parser is attached to @psock: gone from 7.3,
 * which doesn't ask any more.
 */
#ifndef HAVE_SK_PSOCK_STRP_ENABLED
static inline bool sk_psock_strp_enabled(struct sk_psock *psock)
{
	return psock->saved_data_ready;
}
#endif

/*
 * The parser at work for @psock, or NULL: 5.13 took it out of a struct of its
 * own.  A parser program without the verdict program that goes with it doesn't
 * start one.
 */
static inline const struct strparser *
sk_psock_parser(const struct sk_psock *psock)
{
#ifdef HAVE_SK_PSOCK_PARSER
	const struct strparser *strp = &psock->parser.strp;

	return psock->progs.skb_parser && psock->parser.enabled && strp->sk ?
	       strp : NULL;
#else
	const struct strparser *strp = &psock->strp;

	return psock->progs.stream_parser && psock->saved_data_ready &&
	       strp->sk ? strp : NULL;
#endif
}

/*
 * Whether the verdict program of @psock may change the length of an skb: known
 * since 6.13, and stable.  @unknown if it has left, or the kernel doesn't tell.
 */
static inline bool sk_psock_may_resize(struct sk_psock *psock, bool unknown)
{
#ifdef HAVE_CHANGES_PKT_DATA
	struct bpf_prog *prog;

	rcu_read_lock();
	prog = READ_ONCE(psock->progs.stream_verdict) ?:
	       READ_ONCE(psock->progs.skb_verdict);
	if (prog)
		unknown = prog->aux->changes_pkt_data;
	rcu_read_unlock();
#endif
	return unknown;
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
 * Whether @msg, of a socket whose bytes pass a verdict program, is marked as
 * holding bytes of @sk's own stream: since 7.0, and stable.
 */
static inline bool sk_msg_marked_self(const struct sk_msg *msg,
				      const struct sock *sk)
{
#ifdef HAVE_COPIED_FROM_SELF
	return msg->sk == sk;
#else
	return false;
#endif
}

static inline void sk_msg_mark_self(struct sk_msg *msg, struct sock *sk)
{
#ifdef HAVE_COPIED_FROM_SELF
	msg->sk = sk;
#endif
}

/*
 * Whether @msg is a parser's: it may then begin anywhere in its skb.  Kernels
 * that don't tell (before 5.16, and stable) queue the whole skb.
 */
static inline bool sk_msg_from_parser(const struct sk_msg *msg)
{
#ifdef HAVE_SKB_BPF_STRPARSER
	return msg->skb && skb_bpf_strparser(msg->skb);
#else
	return false;
#endif
}

/*
 * Whether an skb in ingress_skb goes out by the socket, not to ingress_msg.
 * While sk_psock_backlog() handles one it doesn't say.
 */
static inline bool skb_bpf_goes_out(const struct sk_buff *skb)
{
#ifdef HAVE_SKB_BPF_STRPARSER
	/* Once: sk_psock_backlog() may be clearing it, of an skb in its hand. */
	unsigned long redir = data_race(READ_ONCE(skb->_sk_redir));

	return redir && !(redir & BPF_F_INGRESS);
#else
	return !tcp_skb_bpf_ingress(skb);
#endif
}

/* Whether an skb came to another socket: the ports of its header, if it's there. */
static inline bool tcp_skb_is_others(const struct sock *sk,
				     const struct sk_buff *skb)
{
	if (!skb_transport_header_was_set(skb) ||
	    skb_transport_offset(skb) + (int)sizeof(struct tcphdr) > 0)
		return false;
	return tcp_hdr(skb)->source != inet_sk(sk)->inet_dport ||
	       tcp_hdr(skb)->dest != inet_sk(sk)->inet_sport;
}

/*
 * Whether the place of an skb in sequence space is one where bytes of @sk's own
 * stream are that haven't been read: these are charged to the socket, and no
 * more than that behind rcv_nxt.
 */
static inline bool tcp_skb_is_in_stream(const struct sock *sk,
					const struct sk_buff *skb)
{
	return tcp_sk(sk)->rcv_nxt - TCP_SKB_CB(skb)->end_seq <=
	       max(atomic_read(&sk->sk_rmem_alloc), READ_ONCE(sk->sk_rcvbuf));
}

/*
 * Whether an skb is of @sk's own stream, as far as can be told: another stream's
 * may be in the same place by chance, and its header tells.
 */
static inline bool tcp_skb_may_be_own(const struct sock *sk,
				      const struct sk_buff *skb)
{
	return tcp_skb_is_in_stream(sk, skb) && !tcp_skb_is_others(sk, skb);
}

/*
 * The same of an skb in ingress_skb.  Where sk_psock_backlog() doesn't take the
 * socket lock (since 5.13) it may just be freeing the header.
 */
static inline bool tcp_skb_underway_may_be_own(const struct sock *sk,
					       const struct sk_buff *skb)
{
#ifdef HAVE_SK_MSG_RECVMSG
	return tcp_skb_is_in_stream(sk, skb);
#else
	return tcp_skb_may_be_own(sk, skb);
#endif
}

/*
 * Whether @msg holds bytes of @sk's own stream, not redirected ones, which are
 * no part of its sequence space.
 */
static inline bool sk_msg_from_self(const struct sk_msg *msg,
				    const struct sock *sk)
{
#ifdef HAVE_COPIED_FROM_SELF
	return msg->sk == sk;
#else
	return msg->skb && sk->sk_family != AF_UNIX &&
	       tcp_skb_may_be_own(sk, msg->skb);
#endif
}

/* The same where a message came through ingress_skb and has lost its marks. */
static inline bool sk_msg_may_be_own(const struct sk_msg *msg,
				     const struct sock *sk,
				     const struct sk_psock *psock)
{
#ifdef HAVE_SK_PSOCK_PARSER
	const struct strparser *strp = &psock->parser.strp;
#else
	const struct strparser *strp = &psock->strp;
#endif

	return sk_msg_from_self(msg, sk) ||
	       (strp->sk && msg->skb && tcp_skb_may_be_own(sk, msg->skb));
}

/*
 * How far the parser of @sk has come.  Without tcp_bpf_strp_read_sock() (6.14,
 * and stable) it reads by tcp_read_sock(), which moves copied_seq itself.
 */
static inline u32 sk_psock_parser_seq(const struct sock *sk,
				      const struct sk_psock *psock)
{
#ifdef HAVE_STRP_READ_SOCK
	return psock->copied_seq;
#else
	return tcp_sk(sk)->copied_seq;
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
 * Kernels without sk_msg_recvmsg() (5.10) set an skb aside for which the receive
 * buffer had no room, and leave it to the next one to set off
 * sk_psock_backlog() again.  With the socket locked.
 */
#if defined(HAVE_SK_PSOCK_WORK_STATE) && !defined(HAVE_SK_MSG_RECVMSG)
static inline struct sk_buff *sk_psock_skb_aside(const struct sk_psock *psock)
{
	return psock->work_state.skb;
}

static inline void sk_psock_restart_backlog(struct sk_psock *psock)
{
	schedule_work(&psock->work);
}
#else
static inline struct sk_buff *sk_psock_skb_aside(const struct sk_psock *psock)
{
	return NULL;
}

static inline void sk_psock_restart_backlog(struct sk_psock *psock)
{
}
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
