// SPDX-License-Identifier: GPL-2.0
/*
 * The reader of unix stream sockets: unix_stream_splice_read() for those that
 * are in a sockmap.
 *
 * What unix_bpf_recvmsg() takes from ingress_msg, under u->iolock, this takes
 * too.  What is in sk_receive_queue, the end of file and errors are the kernel's
 * own function's to answer, which is called for it and told not to sleep: the
 * sleeping is done here, where an unload can end it.
 *
 * With a verdict program, bytes pass through sk_receive_queue on their way to
 * ingress_msg.  Who takes them there, as recvmsg() does now and then, overtakes
 * those that are further on their way.  So this leaves them alone, but for what
 * came before the program, and for what is left when the stream has ended.
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
#include "stats.h"
#include "trace.h"
#include "unix.h"

/*
 * Returns bytes spliced, 0 for none there, or an error.  @judged is whether
 * what is in sk_receive_queue is on its way to a verdict program.
 */
static int splice_psock(struct sock *sk, struct pipe_inode_info *pipe,
			size_t len, bool *judged)
{
	struct sk_psock *psock = sk_psock_get(sk);
	struct unix_sock *u = unix_sk(sk);
	struct sk_msg *first;
	size_t own;
	int ret;

	*judged = false;
	if (unlikely(!psock))
		return 0;
	mutex_lock(&u->iolock);
	first = sk_psock_peek_msg(psock);
	ret = sms_ingress_splice(sk, psock, pipe, len, &own);
	/* A message without bytes: recvmsg() doesn't get past it either. */
	if (!ret && first)
		ret = -EFAULT;
	if (sk_psock_has_verdict(psock))
		*judged = sms_ingress_caught_up(sk, psock);
	else
		sms_ingress_fell_behind(psock);
	mutex_unlock(&u->iolock);
	sk_psock_put(sk, psock);
	return ret;
}

/* Nothing is sent any more to a socket of which this is true. */
static bool stream_ended(struct sock *sk)
{
	bool ended;

	unix_state_lock(sk);
	ended = sk->sk_err || sk->sk_shutdown & RCV_SHUTDOWN;
	unix_state_unlock(sk);
	return ended;
}

static ssize_t splice_receive_queue(struct socket *sock, loff_t *ppos,
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

/* Returns bytes spliced, 0 for the end of file, or an error; doesn't sleep. */
static ssize_t splice_once(struct socket *sock, loff_t *ppos,
			   struct pipe_inode_info *pipe, size_t len,
			   unsigned int flags)
{
	struct sock *sk = sock->sk;
	ssize_t ret;

	do {
		/* First: more may have come before what ended the stream. */
		bool ended = stream_ended(sk);
		bool judged;

		ret = splice_psock(sk, pipe, len, &judged);
		if (ret)
			return ret;
		if (judged && !ended)
			return -EAGAIN;
		ret = splice_receive_queue(sock, ppos, pipe, len, flags);
	} while (!ret && sms_ingress_msg_queued(sk));
	return ret;
}

/* As unix_msg_wait_data(); 0 or what an interrupted system call returns. */
static int wait_for_data(struct sock *sk, struct sms_inflight_wait *wait,
			 long *timeo)
{
	if (sms_inflight_draining()) {
		sms_stats_add(sk, SMS_STATS_RESTARTS, 1);
		return sms_inflight_restart();
	}

	sms_stats_add(sk, SMS_STATS_WAITS, 1);
	*timeo = wait_woken(&wait->sock, TASK_INTERRUPTIBLE, *timeo);
	return signal_pending(current) ? sock_intr_errno(*timeo) : 0;
}

/*
 * Tries again after it has been queued, and after each wakeup: a wakeup between
 * a try and the sleep ends the sleep at once.
 */
static ssize_t splice_waiting(struct socket *sock, loff_t *ppos,
			      struct pipe_inode_info *pipe, size_t len,
			      unsigned int flags, long timeo)
{
	struct sock *sk = sock->sk;
	struct sms_inflight_wait wait;
	ssize_t ret;
	int err = 0;

	sms_inflight_add_wait(sk, &wait);
	sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	for (;;) {
		ret = splice_once(sock, ppos, pipe, len, flags);
		if (ret != -EAGAIN || !timeo)
			break;
		err = wait_for_data(sk, &wait, &timeo);
		if (err)
			break;
	}
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	sms_inflight_remove_wait(sk, &wait);
	return err ?: ret;
}

static ssize_t splice_some(struct socket *sock, loff_t *ppos,
			   struct pipe_inode_info *pipe, size_t len,
			   unsigned int flags, long timeo)
{
	ssize_t ret;

	ret = splice_once(sock, ppos, pipe, len, flags);
	if (ret != -EAGAIN || !timeo || sms_gift_pipe_full(pipe))
		return ret;
	return splice_waiting(sock, ppos, pipe, len, flags, timeo);
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
		ret = splice_some(sock, ppos, pipe, len, flags,
				  sock_rcvtimeo(sk, !block));
	if (ret > 0)
		sms_stats_add(sk, SMS_STATS_SERVED, 1);
	trace_sockmap_splice_served(sk, len, ret);

	sms_inflight_leave();
	return ret;
}
