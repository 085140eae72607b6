// SPDX-License-Identifier: GPL-2.0
/*
 * The reader of unix stream sockets: unix_stream_splice_read() for those that
 * are in a sockmap.
 *
 * What unix_bpf_recvmsg() takes from ingress_msg, under u->iolock, this takes
 * too.  What is in sk_receive_queue, the end of file and errors are for the
 * kernel's own function to answer, which is called for it and told not to
 * sleep: the sleeping is done here, where an unload can end it.
 *
 * Whether that queue may be read at all is what recvq.c says.
 *
 * No reference on a psock survives the unlocking, and none is needed: a socket
 * that has left its map is left to the kernel's function.
 */
#include <linux/net.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/signal.h>
#include <linux/splice.h>
#include <linux/wait.h>
#include <net/af_unix.h>
#include <net/sock.h>

#include "compat.h"
#include "gift.h"
#include "inflight.h"
#include "ingress.h"
#include "recvq.h"
#include "stats.h"
#include "trace.h"
#include "unix.h"

/* How long to wait before bytes underway to ingress_msg are looked at again. */
#define UNDERWAY_RETRY	(HZ / 20)

/* What a look at a unix socket's queues found, for when the lock is released. */
struct unix_look {
	bool ended;	/* in: nothing is sent to it any more */
	bool to_kernel;	/* the kernel's function may be called for the rest */
	bool awaits;	/* bytes are there that aren't the reader's yet */
};

/* Returns bytes spliced, 0 for none there, or an error. */
static int unix_splice_msgs(struct sock *sk, struct pipe_inode_info *pipe,
			    size_t len, struct unix_look *look)
{
	struct sk_psock *psock = sk_psock_get(sk);
	struct unix_sock *u = unix_sk(sk);
	struct sms_recvq q;
	size_t own;
	int ret = 0;

	look->to_kernel = true;
	look->awaits = false;
	if (unlikely(!psock))
		return 0;
	mutex_lock(&u->iolock);
	/* recvmsg() doesn't get past a message without bytes. */
	while (sms_ingress_empty_msg(psock))
		sms_ingress_drop_empty(psock);
	sms_recvq_look_unix(sk, psock, look->ended, &q);
	if (q.owner == SMS_RECVQ_FIRST)
		ret = sms_recvq_adopt_unix(sk, psock, len, &q);
	if (!ret)
		ret = sms_ingress_splice(sk, psock, pipe, len, &own);
	look->to_kernel = q.owner == SMS_RECVQ_AFTER;
	look->awaits = !ret && !look->to_kernel &&
		       (look->ended ||
			!skb_queue_empty_lockless(&sk->sk_receive_queue));
	mutex_unlock(&u->iolock);
	sk_psock_put(sk, psock);
	return ret;
}

/* Nothing is sent any more to a socket of which this is true. */
static bool unix_stream_ended(struct sock *sk)
{
	bool ended;

	unix_state_lock(sk);
	ended = sk->sk_err || sk->sk_shutdown & RCV_SHUTDOWN;
	unix_state_unlock(sk);
	return ended;
}

static ssize_t unix_splice_recvq(struct socket *sock, loff_t *ppos,
				 struct pipe_inode_info *pipe, size_t len,
				 unsigned int flags)
{
	ssize_t ret;

	flags |= SPLICE_F_NONBLOCK | SMS_UNIX_SPLICE_PASSED;
	ret = READ_ONCE(sock->ops)->splice_read(sock, ppos, pipe, len, flags);
	sms_stats_add(sock->sk, SMS_STATS_PASSED_UNIX, 1);
	trace_sockmap_splice_passed(sock->sk, ret);
	return ret;
}

/*
 * Returns bytes spliced, 0 for the end of file, or an error; doesn't sleep.
 * @awaits is whether bytes are there that aren't the reader's yet.
 */
static ssize_t __unix_splice(struct socket *sock, loff_t *ppos,
			     struct pipe_inode_info *pipe, size_t len,
			     unsigned int flags, bool *awaits)
{
	struct sock *sk = sock->sk;
	struct unix_look look;
	ssize_t ret;

	do {
		/* First: more may have come before what ended the stream. */
		look.ended = unix_stream_ended(sk);
		ret = unix_splice_msgs(sk, pipe, len, &look);
		*awaits = look.awaits;
		if (ret)
			return ret;
		if (!look.to_kernel)
			return -EAGAIN;
		ret = unix_splice_recvq(sock, ppos, pipe, len, flags);
	} while (!ret && sms_ingress_msg_queued(sk));
	return ret;
}

/*
 * As unix_msg_wait_data(); 0 or what an interrupted system call returns.
 * Nothing promises a wakeup for bytes that aren't the reader's yet: look at them
 * again soon.
 */
static int unix_wait_data(struct sock *sk, struct sms_inflight_wait *wait,
			  bool awaits, long *timeo)
{
	long nap = awaits ? min_t(long, *timeo, UNDERWAY_RETRY) : *timeo;
	long left;

	if (sms_inflight_draining()) {
		sms_stats_add(sk, SMS_STATS_RESTARTS, 1);
		return sms_inflight_restart();
	}

	sms_stats_add(sk, SMS_STATS_WAITS, 1);
	left = wait_woken(&wait->sock, TASK_INTERRUPTIBLE, nap);
	if (*timeo != MAX_SCHEDULE_TIMEOUT)
		*timeo -= nap - left;
	return signal_pending(current) ? sock_intr_errno(*timeo) : 0;
}

/*
 * Tries again after it has been queued, and after each wakeup: a wakeup between
 * a try and the sleep ends the sleep at once.
 */
static ssize_t unix_splice_waiting(struct socket *sock, loff_t *ppos,
				   struct pipe_inode_info *pipe, size_t len,
				   unsigned int flags, long timeo)
{
	struct sms_inflight_wait wait;
	struct sock *sk = sock->sk;
	bool awaits;
	ssize_t ret;
	int err = 0;

	sms_inflight_add_wait(sk, &wait);
	sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	for (;;) {
		ret = __unix_splice(sock, ppos, pipe, len, flags, &awaits);
		if (ret != -EAGAIN || !timeo)
			break;
		err = unix_wait_data(sk, &wait, awaits, &timeo);
		if (err)
			break;
	}
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	sms_inflight_remove_wait(sk, &wait);
	return err ?: ret;
}

/*
 * Who doesn't wait is told of bytes once, and may not ask again for those that
 * aren't the reader's yet.
 */
static void unix_tell_again(struct sock *sk)
{
	struct sk_psock *psock = sk_psock_get(sk);

	if (!psock)
		return;
	sk_psock_data_ready(sk, psock);
	sk_psock_put(sk, psock);
}

static ssize_t unix_splice_some(struct socket *sock, loff_t *ppos,
				struct pipe_inode_info *pipe, size_t len,
				unsigned int flags, long timeo)
{
	bool awaits;
	ssize_t ret;

	ret = __unix_splice(sock, ppos, pipe, len, flags, &awaits);
	if (ret == -EAGAIN && !timeo && awaits)
		unix_tell_again(sock->sk);
	if (ret != -EAGAIN || !timeo || sms_gift_pipe_full(pipe))
		return ret;
	return unix_splice_waiting(sock, ppos, pipe, len, flags, timeo);
}

/**
 * sms_unix_splice_read - splice from a unix stream socket in a sockmap to a pipe
 * @sock:  the socket
 * @ppos:  position, which a socket doesn't have
 * @pipe:  the pipe, locked by the caller
 * @len:   bytes wanted
 * @flags: SPLICE_F_*; unlike with TCP, SPLICE_F_NONBLOCK speaks of the socket,
 *	   too
 *
 * Stands in for unix_stream_splice_read(), whose contract it keeps.  Entered
 * through the hook, which has counted the task; sleeps.
 *
 * Return: bytes spliced; 0 at the end of file; -EAGAIN, -ESPIPE, -ENOMEM, the
 * socket's error, or what an interrupted system call returns.
 */
ssize_t sms_unix_splice_read(struct socket *sock, loff_t *ppos,
			 struct pipe_inode_info *pipe, size_t len,
			 unsigned int flags)
{
	bool block = !(flags & SPLICE_F_NONBLOCK ||
		       sock->file->f_flags & O_NONBLOCK);
	struct sock *sk = sock->sk;
	ssize_t ret = -ESPIPE;

	len = min_t(size_t, len, INT_MAX);
	if (likely(!*ppos))
		ret = unix_splice_some(sock, ppos, pipe, len, flags,
				       sock_rcvtimeo(sk, !block));
	if (ret > 0)
		sms_stats_add(sk, SMS_STATS_SERVED, 1);
	trace_sockmap_splice_served(sk, len, ret);

	sms_inflight_leave();
	return ret;
}
