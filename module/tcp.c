// SPDX-License-Identifier: GPL-2.0
/*
 * The reader: tcp_splice_read() for sockets in a sockmap.
 *
 * Under the socket lock it takes what is in psock->ingress_msg (ingress.c).
 * What isn't in ingress_msg is in sk_receive_queue, and is spliced from there
 * as tcp_splice_read() does it: tcp_read_sock() and skb_splice_bits().  Calling
 * tcp_splice_read() itself would mean to let go of the lock; it might then find
 * its queue emptied by another reader and sleep where no message wakes it.
 *
 * How it blocks, times out, is interrupted and reports is tcp_splice_read().
 * What is in which queue is tcp_bpf_recvmsg() and tcp_bpf_recvmsg_parser().
 *
 * No pointer into a queue, and no reference on a psock, survives a
 * release_sock(): a socket may leave its map while the reader sleeps, and is
 * then a plain TCP socket when it wakes.
 */
#include <linux/net.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/signal.h>
#include <linux/splice.h>

#include "compat.h"
#include "gift.h"
#include "inflight.h"
#include "ingress.h"
#include "ksyms.h"
#include "stats.h"
#include "sockmap.h"
#include "tcp.h"
#include "trace.h"

/* How long to wait before bytes are offered to a verdict program again. */
#define VERDICT_RETRY	(HZ / 20)

/**
 * struct splice_state - one call of the reader
 * @pipe:  where the bytes go, locked by the caller
 * @len:   how many are still wanted
 * @flags: SPLICE_F_*
 * @verdict: what sms_tcp_sk_has_verdict() said before the queues were looked at
 * @eof:   a FIN was found in ingress_msg
 */
struct splice_state {
	struct pipe_inode_info *pipe;
	size_t len;
	unsigned int flags;
	bool verdict;
	bool eof;
};

/*
 * As the end of tcp_bpf_recvmsg_parser(): make room in the window.  Behind a
 * parser, tcp_bpf_strp_read_sock() counts bytes that are still queued as read,
 * and recvmsg() counts them again.  Don't follow it beyond rcv_nxt: there
 * tcp_data_ready() sees nothing to read any more, and the stream stalls.
 *
 * For a socket that left its map after its bytes were looked at it is done as
 * well, or plain TCP would find a hole in front of what it receives.
 */
static void account_stream(struct sock *sk, const struct splice_state *ss,
			   u32 own, size_t taken)
{
	struct tcp_sock *tp = tcp_sk(sk);
	u32 seq = tp->copied_seq + own;

	if (!READER_MOVES_COPIED_SEQ || !ss->verdict)
		return;

	if (after(seq, tp->rcv_nxt))
		seq = tp->rcv_nxt;
	WRITE_ONCE(tp->copied_seq, seq);
	sms_tcp_rcv_space_adjust(sk);
	if (taken)
		sms_tcp_cleanup_rbuf(sk, taken);
}

/* is_next_msg_fin(), for a message that starts with no bytes. */
static int splice_empty_msg(struct sock *sk, const struct sk_msg *msg,
			    struct splice_state *ss)
{
	if (!msg->skb || !(TCP_SKB_CB(msg->skb)->tcp_flags & TCPHDR_FIN))
		return -EFAULT;

	/* The FIN stays queued; its sequence number is the last there is. */
	if (sk_msg_from_self(msg, sk))
		account_stream(sk, ss, 1, 0);
	ss->eof = true;
	return 0;
}

static int splice_ingress_msg(struct sock *sk, struct sk_psock *psock,
			      struct splice_state *ss)
{
	struct sk_msg *first = sk_psock_peek_msg(psock);
	size_t own = 0;
	int ret;

	ret = sms_ingress_splice(sk, psock, ss->pipe, ss->len, &own);
	if (ret > 0)
		account_stream(sk, ss, own, ret);
	else if (!ret && first)
		return splice_empty_msg(sk, first, ss);
	return ret;
}

static int splice_skb(read_descriptor_t *desc, struct sk_buff *skb,
		      unsigned int offset, size_t len)
{
	struct splice_state *ss = desc->arg.data;
	int ret;

	ret = skb_splice_bits(skb, skb->sk, offset, ss->pipe,
			      min(desc->count, len), ss->flags);
	if (ret > 0)
		desc->count -= ret;
	/* No bytes: no page to copy them to.  Nobody may take it for the end. */
	return ret ?: -ENOMEM;
}

static int splice_receive_queue(struct sock *sk, struct splice_state *ss,
				size_t limit)
{
	read_descriptor_t desc = {
		.arg.data = ss,
		.count = min(ss->len, limit),
	};
	int ret;

	ret = tcp_read_sock(sk, &desc, splice_skb);
	if (ret > 0)
		sms_stats_add(sk, SMS_STATS_RECEIVE_QUEUE, ret);
	else if (ret == -ENOMEM)
		sms_stats_add(sk, SMS_STATS_NO_MEMORY, 1);
	return ret;
}

/*
 * Which queue is read first: what came before the socket was put into the map,
 * and then, in recvmsg()'s order, ingress_msg.  Behind a verdict program that
 * order is always the right one.
 */
static bool receive_queue_first(struct sock *sk, struct sk_psock *psock)
{
	bool caught_up = sms_ingress_caught_up(sk, psock);

	if (skb_queue_empty(&sk->sk_receive_queue))
		return false;
	return sk_psock_queue_empty(psock) ||
	       !(caught_up || sk_psock_has_verdict(psock));
}

/*
 * Whether what is in sk_receive_queue is a program's to take, not ours.
 *
 * Kernels without tcp_bpf_recvmsg_parser() let recvmsg() take it.  Behind a
 * mere verdict program that does no harm: it has seen what it is to see.  But a
 * parser gets to bytes that came while the socket was locked only when it isn't
 * any more.  If a reader takes them before, the parser loses its place, and
 * what is left of an skb that was read in part comes again from its beginning.
 * So what is a parser's is left to it on these kernels, too.
 */
static bool left_to_program(struct sock *sk)
{
	struct sk_psock *psock;
	bool left;

	if (sms_tcp_sk_has_verdict(sk))
		return true;
	/* A parser never gets beyond the urgent mark. */
	if (tcp_sk(sk)->urg_data)
		return false;
	rcu_read_lock();
	psock = sk_psock(sk);
	left = psock && sk_psock_parser(psock);
	rcu_read_unlock();
	return left;
}

/*
 * Not one of which the parser has the beginning: with part of a message at hand
 * it goes on where it was, without one it would start at the skb's first byte.
 */
static bool partly_read(struct sock *sk, const struct strparser *strp)
{
	const struct sk_buff *skb = skb_peek(&sk->sk_receive_queue);

	return skb && !strp->skb_head &&
	       after(tcp_sk(sk)->copied_seq, TCP_SKB_CB(skb)->seq);
}

/* Whether a parser that was left bytes will never read them. */
static bool parser_gave_up(struct sock *sk, const struct strparser *strp)
{
	return strp->stopped || (sk->sk_shutdown & RCV_SHUTDOWN &&
				 strp->need_bytes > tcp_inq(sk));
}

/*
 * Whether the reader has to take the next skb after all, as recvmsg() does on
 * kernels without tcp_bpf_recvmsg_parser(): one that was read in part before
 * the parser came, or that the parser gave up.
 */
static bool next_skb_is_ours(struct sock *sk, struct sk_psock *psock)
{
	const struct strparser *strp = sk_psock_parser(psock);

	return strp && !sms_tcp_sk_has_verdict(sk) &&
	       !skb_queue_empty(&sk->sk_receive_queue) &&
	       (partly_read(sk, strp) || parser_gave_up(sk, strp));
}

static int splice_next_skb(struct sock *sk, struct splice_state *ss)
{
	const struct sk_buff *skb = skb_peek(&sk->sk_receive_queue);
	u32 len = TCP_SKB_CB(skb)->end_seq - tcp_sk(sk)->copied_seq;

	return splice_receive_queue(sk, ss, len);
}

/*
 * Bytes that wait in sk_receive_queue although a verdict program is attached
 * came before accept() or the program did, or when memory was short, or while
 * the socket was locked.  They are the program's to judge: offer them to it, as
 * recvmsg() does.  A parser gets to them later, when the socket isn't locked.
 */
static void offer_to_program(struct sock *sk)
{
	void (*data_ready)(struct sock *sk) = READ_ONCE(sk->sk_data_ready);

	if (unlikely(!skb_queue_empty(&sk->sk_receive_queue)))
		data_ready(sk);
}

/* Returns bytes spliced, 0 for none there, or an error; the socket is locked. */
static int splice_once(struct sock *sk, struct splice_state *ss)
{
	struct sk_psock *psock;
	int ret = 0;
	bool ours;

	/* As tcp_read_sock() has it; a listener can be in a map, too. */
	if (unlikely(sk->sk_state == TCP_LISTEN))
		return -ENOTCONN;

	psock = sk_psock_get(sk);
	if (unlikely(!psock))
		return splice_receive_queue(sk, ss, SIZE_MAX);

	ss->verdict = sms_tcp_sk_has_verdict(sk);
	ours = next_skb_is_ours(sk, psock);
	if (!left_to_program(sk)) {
		ours = false;
		if (receive_queue_first(sk, psock))
			ret = splice_receive_queue(sk, ss, SIZE_MAX);
	} else if (!ours) {
		offer_to_program(sk);
	}
	/* A FIN alone is something in that queue too, with no bytes. */
	if (!ret)
		ret = splice_ingress_msg(sk, psock, ss);
	if (!ret && ours)
		ret = splice_next_skb(sk, ss);
	sk_psock_put(sk, psock);
	return ret;
}

static bool readable(struct sock *sk)
{
	if (sms_inflight_draining() || sms_ingress_msg_queued(sk))
		return true;
	return !left_to_program(sk) &&
	       !skb_queue_empty_lockless(&sk->sk_receive_queue);
}

/* As sk_wait_data(), for both queues and the end of the module. */
static int wait_for_data(struct sock *sk, long *timeo)
{
	struct sms_inflight_wait wait;
	int ret;

	sms_stats_add(sk, SMS_STATS_WAITS, 1);
	sms_inflight_add_wait(sk, &wait);
	sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	ret = sk_wait_event(sk, timeo, readable(sk), &wait.sock);
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	sms_inflight_remove_wait(sk, &wait);
	return ret;
}

/* Nothing promises that a verdict program that was offered bytes is called again. */
static int wait_for_verdict(struct sock *sk, long *timeo)
{
	long nap = min_t(long, *timeo, VERDICT_RETRY);
	long left = nap;
	int ret;

	ret = wait_for_data(sk, &left);
	if (*timeo != MAX_SCHEDULE_TIMEOUT)
		*timeo -= nap - left;
	return ret;
}

/* Bytes that a program has judged and that aren't in ingress_msg yet. */
static bool ingress_underway(struct sock *sk)
{
	struct sk_psock *psock;
	bool underway;

	rcu_read_lock();
	psock = sk_psock(sk);
	underway = psock && !skb_queue_empty_lockless(&psock->ingress_skb);
	rcu_read_unlock();
	return underway;
}

/*
 * Bytes that a program hasn't judged yet; to be offered to it again.  A FIN
 * alone is none: where a parser doesn't pass it on, recvmsg() reports it before
 * the parser has come to it, and nobody wakes a reader afterwards.
 */
static bool verdict_due(struct sock *sk)
{
	const struct sk_buff *skb = skb_peek(&sk->sk_receive_queue);

	if (likely(!skb) || !left_to_program(sk))
		return false;
	return sms_tcp_sk_has_verdict(sk) || skb->len ||
	       !skb_queue_is_last(&sk->sk_receive_queue, skb) ||
	       ingress_underway(sk);
}

/* Whether no more bytes will arrive; if so, @ret is what that means. */
static bool stream_ended(struct sock *sk, int *ret)
{
	*ret = 0;
	if (sock_flag(sk, SOCK_DONE))
		return true;
	if (sk->sk_err) {
		*ret = sock_error(sk);
		return true;
	}
	if (sk->sk_shutdown & RCV_SHUTDOWN)
		return true;
	if (sk->sk_state == TCP_CLOSE) {
		*ret = -ENOTCONN;
		return true;
	}
	return false;
}

/*
 * Nothing was there: what tcp_splice_read() does then.  Returns 1 when there
 * may be something now, 0 for the end of file, or an error.
 */
static int nothing_there(struct sock *sk, long *timeo)
{
	bool due = verdict_due(sk);
	bool ended;
	int ret;

	ended = stream_ended(sk, &ret);
	if (ended && (ret || !due))
		return ret;
	if (!*timeo)
		return -EAGAIN;
	if (sms_inflight_draining()) {
		sms_stats_add(sk, SMS_STATS_RESTARTS, 1);
		return sms_inflight_restart();
	}

	/* Urgent data: don't loop. */
	if (!due && !skb_queue_empty(&sk->sk_receive_queue))
		return 0;
	ret = due ? wait_for_verdict(sk, timeo) : wait_for_data(sk, timeo);

	if (ret < 0)
		return ret;
	if (signal_pending(current))
		return sock_intr_errno(*timeo);
	/*
	 * A parser that waits for bytes that won't come: the answer of
	 * tcp_bpf_recvmsg_parser().
	 */
	if (ended && sms_tcp_sk_has_verdict(sk) && verdict_due(sk) &&
	    !sms_ingress_msg_queued(sk))
		return -EAGAIN;
	return 1;
}

static bool stop_after_some(const struct sock *sk,
			    const struct splice_state *ss)
{
	return sk->sk_err || sk->sk_state == TCP_CLOSE ||
	       (sk->sk_shutdown & RCV_SHUTDOWN) || signal_pending(current) ||
	       sms_gift_pipe_full(ss->pipe);
}

static ssize_t splice_locked(struct sock *sk, struct splice_state *ss,
			     long timeo)
{
	ssize_t spliced = 0;
	int ret = 0;

	while (ss->len) {
		ret = splice_once(sk, ss);
		if (ret < 0)
			break;
		if (!ret) {
			if (spliced || ss->eof)
				break;
			ret = nothing_there(sk, &timeo);
			if (ret <= 0)
				break;
			continue;
		}
		ss->len -= ret;
		spliced += ret;

		if (!ss->len || !timeo)
			break;
		/* Let the backlog in: it may bring more. */
		release_sock(sk);
		lock_sock(sk);
		if (stop_after_some(sk, ss))
			break;
	}
	return spliced ? spliced : ret;
}

/**
 * sms_tcp_splice_read - splice from a socket in a sockmap to a pipe
 * @sock:  the socket
 * @ppos:  position, which a socket doesn't have
 * @pipe:  the pipe, locked by the caller
 * @len:   bytes wanted
 * @flags: SPLICE_F_*; they speak of the pipe.  Whether to block is the socket
 *	   file's O_NONBLOCK and SO_RCVTIMEO.
 *
 * Stands in for tcp_splice_read(), whose contract it keeps.  Entered through
 * the hook, which has counted the task; sleeps.
 *
 * Return: bytes spliced; 0 at the end of file; -EAGAIN, -ESPIPE, -ENOTCONN,
 * -ENOMEM, the socket's error, or what an interrupted system call returns.
 */
ssize_t sms_tcp_splice_read(struct socket *sock, loff_t *ppos,
			    struct pipe_inode_info *pipe, size_t len,
			    unsigned int flags)
{
	struct splice_state ss = {
		.pipe = pipe,
		.len = min_t(size_t, len, INT_MAX),
		.flags = flags,
	};
	bool nonblock = sock->file->f_flags & O_NONBLOCK;
	struct sock *sk = sock->sk;
	ssize_t ret;

	sock_rps_record_flow(sk);

	if (unlikely(*ppos)) {
		ret = -ESPIPE;
	} else {
		lock_sock(sk);
		ret = splice_locked(sk, &ss, sock_rcvtimeo(sk, nonblock));
		release_sock(sk);
	}
	if (ret > 0)
		sms_stats_add(sk, SMS_STATS_SERVED, 1);
	trace_sockmap_splice_served(sk, len, ret);

	sms_inflight_leave();
	return ret;
}
