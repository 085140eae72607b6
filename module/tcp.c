// SPDX-License-Identifier: GPL-2.0
/*
 * The reader of TCP sockets: tcp_splice_read() for those that are in a sockmap.
 *
 * Under the socket lock it takes what is in psock->ingress_msg (ingress.c), and
 * from sk_receive_queue what recvq.c says, as tcp_splice_read() does it: by
 * tcp_read_sock() and skb_splice_bits().  Calling tcp_splice_read() itself would
 * mean letting go of the lock; it might then find its queue emptied by another
 * reader and sleep where no message wakes it.
 *
 * How it blocks, times out, is interrupted and reports is tcp_splice_read().
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
#include "recvq.h"
#include "sockmap.h"
#include "stats.h"
#include "tcp.h"
#include "trace.h"

/* How long to wait before bytes are offered to a verdict program again. */
#define VERDICT_RETRY	(HZ / 20)

/**
 * struct tcp_splice - one call of the reader
 * @pipe:   where the bytes go, locked by the caller
 * @len:    how many are still wanted
 * @flags:  SPLICE_F_*
 * @fin:    a FIN is the only thing in ingress_msg
 * @awaits: bytes are there that are a program's yet
 * @underway: bytes are on their way to ingress_msg
 * @more:   there is more for the reader: look at both queues again
 * @waited: the reader has waited for a program since the stream has ended
 */
struct tcp_splice {
	struct pipe_inode_info *pipe;
	size_t len;
	unsigned int flags;
	bool fin;
	bool awaits;
	bool underway;
	bool more;
	bool waited;
};

/* tcp_splice_data_recv() */
static int tcp_splice_skb(read_descriptor_t *desc, struct sk_buff *skb,
			  unsigned int offset, size_t len)
{
	struct tcp_splice *ts = desc->arg.data;
	int ret;

	ret = skb_splice_bits(skb, skb->sk, offset, ts->pipe,
			      min(desc->count, len), ts->flags);
	if (ret > 0)
		desc->count -= ret;
	if (ret)
		return ret;
	/*
	 * skb_splice_bits() returns 0 only when it can't allocate a page or
	 * can't read one; don't let that look like end of file.
	 */
	return skb_frags_readable(skb) ? -ENOMEM : -EFAULT;
}

static int tcp_splice_recvq(struct sock *sk, struct tcp_splice *ts, u32 limit)
{
	read_descriptor_t desc = {
		.arg.data = ts,
		.count = min_t(size_t, ts->len, limit),
	};
	int ret;

	if (!desc.count)
		return 0;
	ret = tcp_read_sock(sk, &desc, tcp_splice_skb);
	if (ret > 0)
		sms_stats_add(sk, SMS_STATS_RECEIVE_QUEUE, ret);
	else if (ret == -ENOMEM)
		sms_stats_add(sk, SMS_STATS_NO_MEMORY, 1);
	return ret;
}

/*
 * Messages without bytes only stand in the way, but for a FIN with nothing
 * behind it: that is the end for tcp_bpf_recvmsg_parser(), see
 * is_next_msg_fin(), also if it was redirected.
 */
static bool tcp_empty_msg_is_fin(struct sock *sk, struct sk_psock *psock)
{
	struct sk_msg *msg;

	while ((msg = sms_ingress_empty_msg(psock))) {
		bool fin = msg->skb &&
			   TCP_SKB_CB(msg->skb)->tcp_flags & TCPHDR_FIN;

		if (fin && sk_msg_from_self(msg, sk))
			sms_recvq_account_fin(sk);
		if (fin && sms_tcp_sk_has_verdict(sk) &&
		    !sk_psock_next_msg(psock, msg))
			return true;
		sms_ingress_drop_empty(psock);
	}
	return false;
}

static int tcp_splice_msgs(struct sock *sk, struct sk_psock *psock,
			   struct tcp_splice *ts, const struct sms_recvq *q)
{
	size_t len = min_t(size_t, ts->len, q->msg_bytes), own = 0;
	int ret;

	ret = sms_ingress_splice(sk, psock, ts->pipe, len, &own);
	if (ret > 0)
		sms_recvq_account(sk, psock, own, ret);
	return ret;
}

/* In the order that the look at both queues said. */
static int tcp_splice_queues(struct sock *sk, struct sk_psock *psock,
			     struct tcp_splice *ts)
{
	struct sms_recvq q;
	int ret = 0;

	ts->fin = tcp_empty_msg_is_fin(sk, psock);
	sms_recvq_look(sk, psock, &q);
	if (q.owner == SMS_RECVQ_PROGRAM)
		sms_recvq_offer(sk);
	if (q.owner == SMS_RECVQ_FIRST)
		ret = tcp_splice_recvq(sk, ts, q.bytes);
	/* A FIN alone is something in that queue too, with no bytes. */
	if (!ret)
		ret = tcp_splice_msgs(sk, psock, ts, &q);
	if (!ret && (q.owner == SMS_RECVQ_AFTER ||
		     q.owner == SMS_RECVQ_ONE_SKB))
		ret = tcp_splice_recvq(sk, ts, q.bytes);
	if (!ret) {
		ts->awaits = sms_recvq_awaits_program(sk, &q);
		ts->underway = sms_recvq_underway(sk, psock);
	}
	ts->more = !(ts->fin || sk_psock_queue_empty(psock)) ||
		   (q.owner != SMS_RECVQ_PROGRAM && (ret || !q.bytes) &&
		    !ts->underway && !skb_queue_empty(&sk->sk_receive_queue));
	return ret;
}

/* Returns bytes spliced, 0 for none there, or an error; the socket is locked. */
static int __tcp_splice(struct sock *sk, struct tcp_splice *ts)
{
	struct sk_psock *psock;
	int ret;

	/* As tcp_read_sock() has it; a listener can be in a map, too. */
	if (unlikely(sk->sk_state == TCP_LISTEN))
		return -ENOTCONN;

	ts->fin = ts->awaits = ts->underway = ts->more = false;
	psock = sk_psock_get(sk);
	if (unlikely(!psock)) {
		sms_recvq_left_map(sk);
		return tcp_splice_recvq(sk, ts, INT_MAX);
	}
	ret = tcp_splice_queues(sk, psock, ts);
	sk_psock_put(sk, psock);
	return ret;
}

/*
 * As sk_wait_data(), for both queues and the end of the module.  Nothing
 * promises that a program that was offered bytes is called again: look at them
 * again soon.
 */
static int tcp_wait_data(struct sock *sk, struct tcp_splice *ts, long *timeo)
{
	bool soon = ts->awaits || ts->underway;
	long nap = soon ? min_t(long, *timeo, VERDICT_RETRY) : *timeo;
	struct sms_inflight_wait wait;
	long left = nap;
	int ret;

	sms_stats_add(sk, SMS_STATS_WAITS, 1);
	sms_inflight_add_wait(sk, &wait);
	sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	ret = sk_wait_event(sk, &left, sms_inflight_draining() ||
			    (!ts->fin && sms_ingress_msg_queued(sk)) ||
			    (!soon && sms_recvq_readable(sk)),
			    &wait.sock);
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	sms_inflight_remove_wait(sk, &wait);
	if (*timeo != MAX_SCHEDULE_TIMEOUT)
		*timeo -= nap - left;
	return ret;
}

/* Whether no more bytes will arrive; if so, @ret is what that means. */
static bool tcp_stream_ended(struct sock *sk, int *ret)
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
static int tcp_splice_wait(struct sock *sk, struct tcp_splice *ts, long *timeo)
{
	int ret;

	if (tcp_stream_ended(sk, &ret)) {
		if (ret || !(ts->awaits || ts->underway))
			return ret;
		/*
		 * A parser that waits for bytes that won't come: the answer of
		 * tcp_bpf_recvmsg_parser().
		 */
		if (ts->waited && !ts->underway && sms_tcp_sk_has_verdict(sk))
			return -EAGAIN;
		ts->waited = true;
	}
	if (!*timeo)
		return -EAGAIN;
	if (sms_inflight_draining()) {
		sms_stats_add(sk, SMS_STATS_RESTARTS, 1);
		return sms_inflight_restart();
	}

	/* Urgent data: don't loop. */
	if (!ts->awaits && !ts->underway &&
	    !skb_queue_empty(&sk->sk_receive_queue))
		return 0;
	ret = tcp_wait_data(sk, ts, timeo);
	if (ret < 0)
		return ret;
	if (signal_pending(current))
		return sock_intr_errno(*timeo);
	return 1;
}

/* As tcp_recv_should_stop(). */
static bool tcp_splice_should_stop(const struct sock *sk,
				   const struct tcp_splice *ts)
{
	return sk->sk_err || sk->sk_state == TCP_CLOSE ||
	       (sk->sk_shutdown & RCV_SHUTDOWN) || signal_pending(current) ||
	       sms_gift_pipe_full(ts->pipe);
}

static ssize_t tcp_splice_locked(struct sock *sk, struct tcp_splice *ts,
				 long timeo)
{
	ssize_t spliced = 0;
	int ret = 0;

	while (ts->len) {
		ret = __tcp_splice(sk, ts);
		if (ret < 0)
			break;
		/* What was on its way may have come since the look. */
		if (!ret && ts->more)
			continue;
		if (!ret) {
			if (spliced ||
			    (ts->fin && !ts->awaits && !ts->underway))
				break;
			ret = tcp_splice_wait(sk, ts, &timeo);
			if (ret <= 0)
				break;
			continue;
		}
		ts->len -= ret;
		spliced += ret;

		if (!ts->len || !(timeo || ts->more))
			break;
		if (timeo) {
			/* Let the backlog in: it may bring more. */
			release_sock(sk);
			lock_sock(sk);
		}
		if (tcp_splice_should_stop(sk, ts))
			break;
	}
	return spliced ? spliced : ret;
}

/**
 * sms_tcp_splice_read - splice from a TCP socket in a sockmap to a pipe
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
 * -ENOMEM, -EFAULT for bytes in memory that can't be read, the socket's error,
 * or what an interrupted system call returns.
 */
ssize_t sms_tcp_splice_read(struct socket *sock, loff_t *ppos,
			    struct pipe_inode_info *pipe, size_t len,
			    unsigned int flags)
{
	struct tcp_splice ts = {
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
		ret = tcp_splice_locked(sk, &ts, sock_rcvtimeo(sk, nonblock));
		release_sock(sk);
	}
	if (ret > 0)
		sms_stats_add(sk, SMS_STATS_SERVED, 1);
	trace_sockmap_splice_served(sk, len, ret);

	sms_inflight_leave();
	return ret;
}
