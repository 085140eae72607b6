// SPDX-License-Identifier: GPL-2.0
/*
 * Taking bytes off ingress_msg after they have been put into a pipe.
 *
 * How bytes that leave a message are accounted has changed many times, in .c
 * files that no header tells of, and stable kernels got the changes too.  The
 * kernel's own sk_msg_recvmsg(), told to discard what it receives, is always
 * right for its own kernel; but it visits every page and accounts each fragment
 * separately.  So there are two ways:
 *
 *  - by the kernel: sk_msg_recvmsg();
 *  - directly: what the newest kernels do, for all fragments at once.  It is
 *    used only if a check at load time found that it leaves everything as the
 *    kernel's way does (consume_check.c), and only where the kernel's way is
 *    known to do nothing that the check can't see.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/net.h>
#include <linux/printk.h>
#include <linux/uio.h>

#include "compat.h"
#include "consume.h"
#include "consume_check.h"

static bool kernel_consumes;
module_param(kernel_consumes, bool, 0444);
MODULE_PARM_DESC(kernel_consumes, "Leave the accounting of what was spliced to the kernel's slower function (default: only if it can't be done as well)");

/* Whether bytes that no skb owns count as received while they are queued. */
static bool counted_as_received __ro_after_init;

static int consume_by_kernel(struct sock *sk, struct sk_psock *psock, int len)
{
	struct msghdr msg = {};

	iov_iter_discard(&msg.msg_iter, READ, len);
	return sk_msg_recvmsg(sk, psock, &msg, len, 0);
}

/*
 * Takes up to *@left bytes of @msg and counts in *@owned those that no skb owns.
 * Returns whether the message is empty now.
 */
static bool consume_msg(struct sk_msg *msg, int *left, int *owned)
{
	struct scatterlist *sge;
	u32 i = msg->sg.start;

	do {
		u32 n;

		sge = sk_msg_elem(msg, i);
		n = min_t(u32, sge->length, *left);
		sge->offset += n;
		sge->length -= n;
		msg->sg.size -= n;
		*left -= n;
		if (!msg->skb)
			*owned += n;
		if (sge->length)
			break;

		sk_msg_iter_var_next(i);
		if (!msg->skb)
			put_page(sg_page(sge));
	} while (*left && i != msg->sg.end && !sg_is_last(sge));

	msg->sg.start = i;
	return !sge->length && (i == msg->sg.end || sg_is_last(sge));
}

static int consume_directly(struct sock *sk, struct sk_psock *psock, int len)
{
	int left = len, owned = 0;
	struct sk_msg *msg;

	while (left) {
		msg = sk_psock_peek_msg(psock);
		if (!msg || !consume_msg(msg, &left, &owned))
			break;
		/* Its size is 0 by now; msg_tot_len is corrected below. */
		kfree_sk_msg(sk_psock_dequeue_msg(psock));
	}

	sk_psock_msg_len_add(psock, left - len);
	if (owned) {
		/* Before uncharging, as in sock_rfree(): SO_RESERVE_MEM reads it. */
		if (counted_as_received)
			atomic_sub(owned, &sk->sk_rmem_alloc);
		sk_mem_uncharge(sk, owned);
	}
	return len - left;
}

static int __init try_directly(bool received)
{
	counted_as_received = received;
	return sms_consumers_agree(consume_by_kernel, consume_directly);
}

static int __init can_consume_directly(void)
{
	int same;

	if (READER_RESTARTS_BACKLOG)
		return false;
	same = try_directly(true);
	return same ?: try_directly(false);
}

/**
 * sms_consume_init - find out how this kernel accounts bytes that are consumed
 *
 * Says in the kernel log if that is left to the kernel.  Process context,
 * sleeps.
 */
void __init sms_consume_init(void)
{
	int ret;

	if (kernel_consumes)
		return;

	ret = can_consume_directly();
	if (ret < 0)
		pr_warn("can't try how this kernel accounts spliced bytes (error %d): left to it, which is slower\n",
			ret);
	else if (!ret)
		pr_info("this kernel accounts spliced bytes in a way of its own: left to it, which is slower\n");
	kernel_consumes = ret <= 0;
}

/**
 * sms_consume - take bytes off ingress_msg
 * @sk:    the socket, locked as recvmsg() locks it
 * @psock: its psock, on which the caller has a reference
 * @len:   how many; they must be there, and end where sk_msg_recvmsg() of any
 *	   kernel would stop
 *
 * Return: bytes taken, @len unless the queue isn't what was said.
 */
size_t sms_consume(struct sock *sk, struct sk_psock *psock, size_t len)
{
	if (unlikely(kernel_consumes))
		return max(consume_by_kernel(sk, psock, len), 0);
	return consume_directly(sk, psock, len);
}
