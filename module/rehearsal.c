// SPDX-License-Identifier: GPL-2.0
/*
 * Whether two ways of taking bytes off ingress_msg come to the same.
 *
 * Each plays the same scene: messages of every kind on a socket that nobody
 * else has, taken in steps that end within a fragment, with one, and with a
 * message.  After each step everything that it could have changed is recorded:
 * the whole socket, the whole psock, the message that is left, the references
 * on the page.  The ways are the same when the records are, byte by byte; so
 * what a kernel may account one day in a member that this file has never heard
 * of counts as well.  What a kernel does only in a state that the scene doesn't
 * have can't be told in this way.
 */
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <net/net_namespace.h>

#include "compat.h"
#include "rehearsal.h"

/* Whole pages in all: what a socket has in reserve is then the same again. */
#define PIECE	(PAGE_SIZE / 2)

/* The same once is the same; a difference may be somebody's look at the page. */
#define TRIES	3

/**
 * struct prop - a message of the scene
 * @in_skb: its bytes belong to an skb
 * @cut:    its scatterlist is marked as ended one entry before sg.end
 * @first:  the first entry of its scatterlist, which is a ring
 * @pieces: how many entries, each of PIECE bytes
 */
struct prop {
	bool in_skb;
	bool cut;
	u32 first;
	u32 pieces;
};

/* The last as some kernels never finish it. */
static const struct prop props[] __initconst = {
	{ .pieces = 2 },
	{ .in_skb = true, .pieces = 2 },
	{ .first = NR_MSG_FRAG_IDS - 1, .pieces = 1 },
	{ .in_skb = true, .pieces = 1 },
	{ .cut = true, .pieces = 1 },
};

static const int steps[] __initconst = {
	PIECE / 2, PIECE / 2, PIECE + PIECE / 2, PIECE, 2 * PIECE, PIECE / 2,
	PIECE,
};

/**
 * struct record - what there is after a step
 * @consumed:  what the consumer said
 * @page_refs: references on the page that all messages are made of
 * @queued:    whether a message is left
 * @msg:       the first that is, without its pointers
 * @bytes:     the psock and the socket
 */
struct record {
	int consumed;
	int page_refs;
	bool queued;
	struct sk_msg msg;
	u8 bytes[] __aligned(sizeof(long));
};

struct stage {
	struct socket *sock;
	struct sk_psock *psock;
	struct page *page;
	size_t record_size;
};

static struct sk_msg *__init make_msg(const struct stage *stage,
				      const struct prop *prop)
{
	struct sk_msg *msg = kzalloc(sizeof(*msg), GFP_KERNEL);
	u32 i;

	if (!msg)
		return NULL;
	sk_msg_init(msg);
	if (prop->in_skb) {
		msg->skb = alloc_skb(0, GFP_KERNEL);
		if (!msg->skb) {
			kfree(msg);
			return NULL;
		}
		sk_msg_mark_self(msg, stage->sock->sk);
	}
	msg->sg.start = prop->first;
	msg->sg.end = prop->first;
	for (i = 0; i < prop->pieces; i++) {
		sk_msg_page_add(msg, stage->page, PIECE, i * PIECE);
		/* The skb would have the reference. */
		if (prop->in_skb)
			put_page(stage->page);
	}
	if (prop->cut) {
		sg_mark_end(sk_msg_elem(msg, prop->first));
		sk_msg_iter_next(msg, end);
	}
	return msg;
}

/* As bpf_tcp_ingress() and sk_psock_skb_ingress_self() queue a message. */
static int __init queue_msg(const struct stage *stage, const struct prop *prop)
{
	struct sk_msg *msg = make_msg(stage, prop);
	struct sock *sk = stage->sock->sk;

	if (!msg)
		return -ENOMEM;
	if (!prop->in_skb) {
		if (!sk_wmem_schedule(sk, msg->sg.size)) {
			sk_msg_free_nocharge(sk, msg);
			kfree(msg);
			return -ENOMEM;
		}
		sk_mem_charge(sk, msg->sg.size);
		atomic_add(msg->sg.size, &sk->sk_rmem_alloc);
	}
	sk_psock_queue_msg(stage->psock, msg);
	return 0;
}

static void __init purge_queue(const struct stage *stage)
{
	struct sock *sk = stage->sock->sk;
	struct sk_msg *msg;

	while ((msg = sk_psock_dequeue_msg(stage->psock))) {
		sk_msg_free(sk, msg);
		kfree(msg);
	}
	atomic_set(&sk->sk_rmem_alloc, 0);
}

static void __init record_step(const struct stage *stage, int consumed,
			       struct record *rec)
{
	struct sk_msg *msg = sk_psock_peek_msg(stage->psock);
	struct sk_psock *psock = (struct sk_psock *)rec->bytes;
	const struct sock *sk = stage->sock->sk;

	rec->consumed = consumed;
	rec->page_refs = page_count(stage->page);
	rec->queued = msg != NULL;
	if (msg) {
		memcpy(&rec->msg, msg, sizeof(rec->msg));
		memset(&rec->msg.list, 0, sizeof(rec->msg.list));
		rec->msg.skb = NULL;
	}
	memcpy(rec->bytes, stage->psock, sizeof(*psock));
	memset(&psock->ingress_msg, 0, sizeof(psock->ingress_msg));
	memcpy(rec->bytes + sizeof(*psock), (const void *)sk,
	       sk->sk_prot->obj_size);
}

/* Not inlined: where locks have statistics, they tell addresses in it. */
static noinline int __init play(const struct stage *stage, sms_consumer_t *consumer,
				void *records)
{
	struct sock *sk = stage->sock->sk;
	int ret = 0, i;

	lock_sock(sk);
	for (i = 0; i < ARRAY_SIZE(props) && !ret; i++)
		ret = queue_msg(stage, &props[i]);
	for (i = 0; i < ARRAY_SIZE(steps) && !ret; i++) {
		int n = consumer(sk, stage->psock, steps[i]);

		record_step(stage, n, records + i * stage->record_size);
	}
	purge_queue(stage);
	release_sock(sk);
	return ret;
}

static int __init set_stage(struct stage *stage)
{
	int ret;

	stage->page = alloc_page(GFP_KERNEL);
	if (!stage->page)
		return -ENOMEM;
	ret = sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP,
			       &stage->sock);
	if (ret)
		goto no_sock;
	stage->psock = sk_psock_init(stage->sock->sk, NUMA_NO_NODE);
	ret = PTR_ERR_OR_ZERO(stage->psock);
	if (ret)
		goto no_psock;
	stage->record_size = ALIGN(sizeof(struct record) + sizeof(*stage->psock) +
				   stage->sock->sk->sk_prot->obj_size,
				   __alignof__(struct record));
	return 0;

no_psock:
	sock_release(stage->sock);
no_sock:
	put_page(stage->page);
	return ret;
}

static void __init clear_stage(struct stage *stage)
{
	sk_psock_put(stage->sock->sk, stage->psock);
	sock_release(stage->sock);
	put_page(stage->page);
}

/**
 * sms_rehearsal_same - whether two ways to consume come to the same
 * @one:   a way
 * @other: another
 *
 * Process context, sleeps.
 *
 * Return: 1 when they do, 0 when they don't, or an error of making a socket or
 * its messages.
 */
int __init sms_rehearsal_same(sms_consumer_t *one, sms_consumer_t *other)
{
	struct stage stage;
	size_t size;
	void *records;
	int ret, i;

	ret = set_stage(&stage);
	if (ret)
		return ret;
	size = ARRAY_SIZE(steps) * stage.record_size;
	records = kvzalloc(2 * size, GFP_KERNEL);
	if (!records) {
		ret = -ENOMEM;
		goto out;
	}

	for (i = 0; i < TRIES && !ret; i++) {
		ret = play(&stage, one, records);
		if (!ret)
			ret = play(&stage, other, records + size);
		if (!ret)
			ret = !memcmp(records, records + size, size);
	}
	kvfree(records);
out:
	clear_stage(&stage);
	return ret;
}
