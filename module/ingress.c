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

/*
 * The bit of psock->state, far from the kernel's own, that says that a reader
 * has seen sk_receive_queue empty since the socket came into the map.
 */
#define PSOCK_CAUGHT_UP	(BITS_PER_LONG - 1)

/**
 * struct msg_walk - a walk over ingress_msg
 * @gift:  where the bytes go
 * @sk:    the socket, locked
 * @left:  bytes still wanted
 * @taken: bytes that went into the pipe
 * @own:   those of them that are part of @sk's own TCP stream
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
 * Walks like sk_msg_recvmsg(); returns whether to go on to the next message.
 * Kernels disagree on whether the last entry of a scatterlist ends a message
 * before sg.end does.  Where that would matter, stop: then what was taken is
 * what any of them consumes.
 */
static bool walk_msg(struct msg_walk *walk, struct sk_msg *msg)
{
	struct scatterlist *sge;
	u32 i = msg->sg.start;

	do {
		unsigned int want;
		int n;

		sge = sk_msg_elem(msg, i);
		want = min_t(size_t, sge->length, walk->left);
		if (!want)
			return false;

		n = sms_gift_bytes(&walk->gift, walk->sk, sg_page(sge), sge->offset,
			       want, sge_is_kmalloced(msg, sge));
		if (n <= 0) {
			walk->err = n ? n : -EAGAIN;
			return false;
		}
		walk->taken += n;
		walk->left -= n;
		if (sk_msg_from_self(msg, walk->sk))
			walk->own += n;
		if (n < want)
			return false;

		sk_msg_iter_var_next(i);
	} while (i != msg->sg.end && !sg_is_last(sge));

	return walk->left && i == msg->sg.end;
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

/**
 * sms_ingress_splice - take what is in ingress_msg
 * @sk:    the socket, locked as recvmsg() locks it: a TCP socket by lock_sock()
 * @psock: its psock, on which the caller has a reference
 * @pipe:  where the bytes go, locked
 * @len:   how many are wanted, at least 1
 * @own:   receives how many of those taken are part of @sk's own stream
 *
 * Sleeps.
 *
 * Return: bytes taken; 0 when nothing is queued or the first message has no
 * bytes; -EAGAIN when the pipe was full; -ENOMEM when a page to copy to was
 * wanting; -EFAULT when the kernel didn't let go of any.
 */
int sms_ingress_splice(struct sock *sk, struct sk_psock *psock,
		   struct pipe_inode_info *pipe, size_t len, size_t *own)
{
	struct msg_walk walk = {
		.gift.pipe = pipe,
		.sk = sk,
		.left = len,
	};
	struct sk_msg *msg = sk_psock_peek_msg(psock);
	size_t consumed;

	while (msg && walk_msg(&walk, msg))
		msg = sk_psock_next_msg(psock, msg);
	if (!walk.taken)
		return walk.err;

	consumed = consume_taken(&walk, psock);
	sms_gift_count(&walk.gift, sk);
	*own = walk.own;
	return consumed ? consumed : -EFAULT;
}

/**
 * sms_ingress_caught_up - whether what came before the map has been read
 * @sk:    the socket, locked as for sms_ingress_splice()
 * @psock: its psock, on which the caller has a reference
 *
 * Bytes that came before the socket was put into the map are in
 * sk_receive_queue, ahead of everything in ingress_msg, and recvmsg() would give
 * them out behind it.  Nothing tells how old bytes are; so until a reader has
 * seen that queue empty they are taken for such.
 */
bool sms_ingress_caught_up(struct sock *sk, struct sk_psock *psock)
{
	if (test_bit(PSOCK_CAUGHT_UP, &psock->state))
		return true;
	if (!skb_queue_empty(&sk->sk_receive_queue))
		return false;
	set_bit(PSOCK_CAUGHT_UP, &psock->state);
	return true;
}

/**
 * sms_ingress_fell_behind - takes back what sms_ingress_caught_up() said
 * @psock: a psock without a verdict program, on which the caller has a reference
 *
 * What comes to sk_receive_queue until it gets one, no program will be called
 * for.
 */
void sms_ingress_fell_behind(struct sk_psock *psock)
{
	clear_bit(PSOCK_CAUGHT_UP, &psock->state);
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
