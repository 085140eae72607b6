// SPDX-License-Identifier: GPL-2.0
/*
 * Whether two ways of taking bytes off ingress_msg have the same effect.
 *
 * Each way is run on the same test messages, on a socket that nobody else has,
 * in steps that end within a fragment, at the end of one, and at the end of a
 * message.  After each step a snapshot is taken of everything that the step
 * could have changed: the whole socket, the whole psock, the message that is
 * left, the references on the page.  The two ways agree if the snapshots are
 * the same, byte by byte; so whatever a kernel may one day account in a member
 * that this file doesn't know is compared as well.  What a kernel does only in
 * a state that the test messages don't have can't be found in this way.
 */
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <net/net_namespace.h>

#include "compat.h"
#include "consume_check.h"

/*
 * The test messages add up to whole pages: then what a socket has in reserve
 * is the same after each run.
 */
#define SGE_BYTES	(PAGE_SIZE / 2)

/* A difference may be due to somebody who looked at the page: run again. */
#define RUNS	3

/**
 * struct test_msg - one of the messages that are consumed
 * @in_skb: its bytes belong to an skb
 * @cut:    its scatterlist is marked as ended one entry before sg.end
 * @first:  the first entry of its scatterlist, which is a ring
 * @sges:   how many entries it has, each of SGE_BYTES
 */
struct test_msg {
	bool in_skb;
	bool cut;
	u32 first;
	u32 sges;
};

/* The one that is cut comes last: some kernels never finish it. */
static const struct test_msg test_msgs[] __initconst = {
	{ .sges = 2 },
	{ .in_skb = true, .sges = 2 },
	{ .first = NR_MSG_FRAG_IDS - 1, .sges = 1 },
	{ .in_skb = true, .sges = 1 },
	{ .cut = true, .sges = 1 },
};

static const int steps[] __initconst = {
	SGE_BYTES / 2, SGE_BYTES / 2, SGE_BYTES + SGE_BYTES / 2, SGE_BYTES,
	2 * SGE_BYTES, SGE_BYTES / 2, SGE_BYTES,
};

/**
 * struct snapshot - the state after a step
 * @consumed:  what the consumer returned
 * @page_refs: references on the page that all messages are made of
 * @queued:    whether a message is left
 * @msg:       the first one left, without its pointers
 * @bytes:     the psock and the socket
 */
struct snapshot {
	int consumed;
	int page_refs;
	bool queued;
	struct sk_msg msg;
	u8 bytes[] __aligned(sizeof(long));
};

struct fixture {
	struct socket *sock;
	struct sk_psock *psock;
	struct page *page;
	size_t snapshot_size;
};

static struct sk_msg *__init make_msg(const struct fixture *f,
				      const struct test_msg *test)
{
	struct sk_msg *msg = kzalloc(sizeof(*msg), GFP_KERNEL);
	u32 i;

	if (!msg)
		return NULL;
	sk_msg_init(msg);
	if (test->in_skb) {
		msg->skb = alloc_skb(0, GFP_KERNEL);
		if (!msg->skb) {
			kfree(msg);
			return NULL;
		}
		sk_msg_mark_self(msg, f->sock->sk);
	}
	msg->sg.start = test->first;
	msg->sg.end = test->first;
	for (i = 0; i < test->sges; i++) {
		sk_msg_page_add(msg, f->page, SGE_BYTES, i * SGE_BYTES);
		/* The skb would have the reference. */
		if (test->in_skb)
			put_page(f->page);
	}
	if (test->cut) {
		sg_mark_end(sk_msg_elem(msg, test->first));
		sk_msg_iter_next(msg, end);
	}
	return msg;
}

/* Queues a message as bpf_tcp_ingress() and sk_psock_skb_ingress_self() do. */
static int __init queue_msg(const struct fixture *f,
			    const struct test_msg *test)
{
	struct sk_msg *msg = make_msg(f, test);
	struct sock *sk = f->sock->sk;

	if (!msg)
		return -ENOMEM;
	if (!test->in_skb) {
		if (!sk_wmem_schedule(sk, msg->sg.size)) {
			sk_msg_free_nocharge(sk, msg);
			kfree(msg);
			return -ENOMEM;
		}
		sk_mem_charge(sk, msg->sg.size);
		atomic_add(msg->sg.size, &sk->sk_rmem_alloc);
	}
	sk_psock_queue_msg(f->psock, msg);
	return 0;
}

static void __init purge_queue(const struct fixture *f)
{
	struct sock *sk = f->sock->sk;
	struct sk_msg *msg;

	while ((msg = sk_psock_dequeue_msg(f->psock))) {
		sk_msg_free(sk, msg);
		kfree(msg);
	}
	atomic_set(&sk->sk_rmem_alloc, 0);
}

static void __init take_snapshot(const struct fixture *f, int consumed,
				 struct snapshot *snap)
{
	struct sk_msg *msg = sk_psock_peek_msg(f->psock);
	struct sk_psock *psock = (struct sk_psock *)snap->bytes;
	const struct sock *sk = f->sock->sk;

	snap->consumed = consumed;
	snap->page_refs = page_count(f->page);
	snap->queued = msg != NULL;
	if (msg) {
		memcpy(&snap->msg, msg, sizeof(snap->msg));
		memset(&snap->msg.list, 0, sizeof(snap->msg.list));
		snap->msg.skb = NULL;
	}
	memcpy(snap->bytes, f->psock, sizeof(*psock));
	memset(&psock->ingress_msg, 0, sizeof(psock->ingress_msg));
	memcpy(snap->bytes + sizeof(*psock), (const void *)sk,
	       sk->sk_prot->obj_size);
}

/* Not inlined: lock statistics record the address that a lock is taken at. */
static noinline int __init run(const struct fixture *f,
			       sms_consumer_t *consumer, void *snapshots)
{
	struct sock *sk = f->sock->sk;
	int ret = 0, i;

	lock_sock(sk);
	for (i = 0; i < ARRAY_SIZE(test_msgs) && !ret; i++)
		ret = queue_msg(f, &test_msgs[i]);
	for (i = 0; i < ARRAY_SIZE(steps) && !ret; i++) {
		int n = consumer(sk, f->psock, steps[i]);

		take_snapshot(f, n, snapshots + i * f->snapshot_size);
	}
	purge_queue(f);
	release_sock(sk);
	return ret;
}

static int __init fixture_setup(struct fixture *f)
{
	int ret;

	f->page = alloc_page(GFP_KERNEL);
	if (!f->page)
		return -ENOMEM;
	ret = sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP,
			       &f->sock);
	if (ret)
		goto err_page;
	f->psock = sk_psock_init(f->sock->sk, NUMA_NO_NODE);
	ret = PTR_ERR_OR_ZERO(f->psock);
	if (ret)
		goto err_sock;
	f->snapshot_size = ALIGN(sizeof(struct snapshot) + sizeof(*f->psock) +
				 f->sock->sk->sk_prot->obj_size,
				 __alignof__(struct snapshot));
	return 0;

err_sock:
	sock_release(f->sock);
err_page:
	put_page(f->page);
	return ret;
}

static void __init fixture_teardown(struct fixture *f)
{
	sk_psock_put(f->sock->sk, f->psock);
	sock_release(f->sock);
	put_page(f->page);
}

/**
 * sms_consumers_agree - whether two ways to consume have the same effect
 * @one:   a way
 * @other: another
 *
 * Process context, sleeps.
 *
 * Return: 1 if they do, 0 if they don't, or an error of making a socket or its
 * messages.
 */
int __init sms_consumers_agree(sms_consumer_t *one, sms_consumer_t *other)
{
	struct fixture f;
	size_t size;
	void *snapshots;
	int ret, i;

	ret = fixture_setup(&f);
	if (ret)
		return ret;
	size = ARRAY_SIZE(steps) * f.snapshot_size;
	snapshots = kvzalloc(2 * size, GFP_KERNEL);
	if (!snapshots) {
		ret = -ENOMEM;
		goto out;
	}

	for (i = 0; i < RUNS && !ret; i++) {
		ret = run(&f, one, snapshots);
		if (!ret)
			ret = run(&f, other, snapshots + size);
		if (!ret)
			ret = !memcmp(snapshots, snapshots + size, size);
	}
	kvfree(snapshots);
out:
	fixture_teardown(&f);
	return ret;
}
