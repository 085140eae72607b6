// SPDX-License-Identifier: GPL-2.0
/*
 * From psock->ingress_msg into a pipe: look, gift, consume.
 *
 * The queue is walked and its bytes are put into the pipe (gift.c), then
 * exactly as many are taken off the queue (consume.c).  Only readers, under the
 * lock that recvmsg() holds too, take messages off the queue; writers append.
 */
#include "compat.h"
#include "consume.h"
#include "gift.h"
#include "ingress.h"
#include "recvq.h"

/**
 * struct msg_walk - a walk over ingress_msg
 * @gift:  where the bytes go
 * @sk:    the socket, locked
 * @left:  bytes still wanted
 * @taken: bytes that went into the pipe
 * @own:   how far those move a reader in @sk's own TCP stream
 * @err:   why the walk ended early, where it did so with an error
 */
struct msg_walk {
	struct sms_gift gift;
	struct sock *sk;
	size_t left;
	size_t taken;
	size_t own;
	int err;
};

static bool in_kmalloced_head(const struct sk_buff *skb, const void *p)
{
	return !skb->head_frag && p >= (void *)skb->head &&
	       p < (void *)skb_end_pointer(skb);
}

/*
 * Memory of kmalloc() goes back to kfree() with the skb, whatever references
 * its pages have.  A slab page can be told, the pages of a large allocation
 * can't.  Plain TCP splice copies such heads as well.
 */
static bool sge_is_kmalloced(const struct sk_msg *msg, struct scatterlist *sge)
{
	struct sk_buff *skb = msg->skb;
	const void *p = sg_virt(sge);
	struct sk_buff *frag;

	if (!skb)
		return false;
	if (in_kmalloced_head(skb, p))
		return true;
	skb_walk_frags(skb, frag) {
		if (in_kmalloced_head(frag, p))
			return true;
	}
	return false;
}

/*
 * One entry of the scatterlist; returns whether all of it went into the pipe.
 * The memory of a device has no page that a pipe could refer to; tcp_recvmsg()
 * answers -EFAULT to it as well.
 */
static bool walk_sge(struct msg_walk *walk, const struct sk_msg *msg,
		     struct scatterlist *sge)
{
	unsigned int want = min_t(size_t, sge->length, walk->left);
	int n;

	if (!want)
		return false;
	if (unlikely(!sg_page(sge))) {
		walk->err = -EFAULT;
		return false;
	}
	n = sms_gift_bytes(&walk->gift, walk->sk, sg_page(sge), sge->offset,
			   want, sge_is_kmalloced(msg, sge));
	if (n <= 0) {
		walk->err = n ? n : -EAGAIN;
		return false;
	}
	walk->taken += n;
	walk->left -= n;
	return n == want;
}

/*
 * Walks like sk_msg_recvmsg(); returns whether to go on to the next message.
 * Kernels disagree on whether the last entry of a scatterlist ends a message
 * before sg.end does.  Where that would matter, stop: then what was taken is
 * what any of them consumes.
 */
static bool walk_sges(struct msg_walk *walk, struct sk_msg *msg)
{
	struct scatterlist *sge;
	u32 i = msg->sg.start;

	do {
		sge = sk_msg_elem(msg, i);
		if (!walk_sge(walk, msg, sge))
			return false;
		sk_msg_iter_var_next(i);
	} while (i != msg->sg.end && !sg_is_last(sge));

	return walk->left && i == msg->sg.end;
}

static bool walk_msg(struct msg_walk *walk, struct sk_msg *msg)
{
	size_t before = walk->taken;
	bool all = walk_sges(walk, msg);

	walk->own += sms_recvq_own_bytes(walk->sk, msg, walk->taken - before);
	return all;
}

/*
 * Consumes what was put into the pipe, all of it: nobody else could have taken
 * any.  Should a kernel see that differently, then what it left in the queue
 * must not be in the pipe too.
 */
static size_t consume_taken(struct msg_walk *walk, struct sk_psock *psock)
{
	size_t consumed = sms_consume(walk->sk, psock, walk->taken);

	if (WARN_ON_ONCE(consumed != walk->taken)) {
		sms_gift_take_back(&walk->gift, walk->taken - consumed);
		walk->own = min_t(size_t, walk->own, consumed);
	}
	return consumed;
}

/* Takes off the first message's bytes that a reader has had before. */
static void skip_repeated(struct sock *sk, struct sk_psock *psock)
{
	struct sk_msg *first = sk_psock_peek_msg(psock);
	u32 repeated = first ? sms_recvq_repeated(sk, psock, first) : 0;

	if (unlikely(repeated))
		WARN_ON_ONCE(sms_consume(sk, psock, repeated) != repeated);
}

/**
 * sms_ingress_splice - take what is in ingress_msg
 * @sk:    the socket, locked as recvmsg() locks it: a TCP socket by lock_sock()
 * @psock: its psock, on which the caller has a reference
 * @pipe:  where the bytes go, locked
 * @len:   how many are wanted, at least 1
 * @own:   receives how far they move a reader in @sk's own stream
 *
 * Skips bytes at the start that were read before, and stops before another
 * message that may begin with such.  Sleeps.
 *
 * Return: bytes taken; 0 when nothing is queued or the first message has no
 * bytes; -EAGAIN when the pipe was full; -ENOMEM when a page to copy to was
 * wanting; -EFAULT when the bytes are in memory that can't be read, or the
 * kernel didn't let go of any.
 */
int sms_ingress_splice(struct sock *sk, struct sk_psock *psock,
		       struct pipe_inode_info *pipe, size_t len, size_t *own)
{
	struct msg_walk walk = {
		.gift.pipe = pipe,
		.sk = sk,
		.left = len,
	};
	struct sk_msg *first, *msg;
	size_t consumed;

	skip_repeated(sk, psock);
	msg = first = sk_psock_peek_msg(psock);
	while (msg && walk_msg(&walk, msg)) {
		msg = sk_psock_next_msg(psock, msg);
		if (msg && sms_recvq_may_repeat(sk, msg, walk.own))
			break;
	}
	/* An entry without bytes that isn't the last: recvmsg() stops, too. */
	if (!walk.taken)
		return walk.err ?: first && first->sg.size ? -EFAULT : 0;

	consumed = consume_taken(&walk, psock);
	sms_gift_count(&walk.gift, sk);
	*own = walk.own;
	return consumed ? consumed : -EFAULT;
}

/**
 * sms_ingress_empty_msg - the first message, if it has no bytes
 * @psock: the psock, locked as for sms_ingress_splice()
 *
 * sk_msg_recvmsg() never gets past one.
 *
 * Return: the message, or NULL.
 */
struct sk_msg *sms_ingress_empty_msg(struct sk_psock *psock)
{
	struct sk_msg *msg = sk_psock_peek_msg(psock);

	return msg && !msg->sg.size ? msg : NULL;
}

/**
 * sms_ingress_drop_empty - take the first message off, which has no bytes
 * @psock: the psock, locked as for sms_ingress_splice()
 */
void sms_ingress_drop_empty(struct sk_psock *psock)
{
	kfree_sk_msg(sk_psock_dequeue_msg(psock));
}

/**
 * sms_ingress_msg_queued - whether there is anything in ingress_msg
 * @sk: a socket
 *
 * sk_msg_is_readable(), which 5.10 doesn't have.  Lockless.
 */
bool sms_ingress_msg_queued(struct sock *sk)
{
	struct sk_psock *psock;
	bool queued;

	rcu_read_lock();
	psock = sk_psock(sk);
	queued = psock && !list_empty(&psock->ingress_msg);
	rcu_read_unlock();
	return queued;
}
