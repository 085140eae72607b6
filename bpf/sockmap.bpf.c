// SPDX-License-Identifier: GPL-2.0
/*
 * The BPF programs of all modes, around one map of sockets. Written to load on any kernel from 5.10
 * on: UAPI headers and contexts only, no BTF of the running kernel. A mode loads just the programs
 * it needs (modes.c), so a kernel that lacks one kind can still run the other modes.
 *
 * The redirect helpers set the target aside and return SK_PASS, or return SK_DROP when the target
 * isn't in the map. Every verdict here but skb_*drop's is SK_PASS all the same: with a target set
 * aside that means "redirect", without one "deliver as usual", and a connection with only one end
 * in the map works on.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "conn.h"

#define MAX_SOCKETS 65536
#define MAX_ROUTES 1024

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, MAX_SOCKETS);
	__type(key, struct conn_key);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ROUTES);
	__type(key, struct conn_key);
	__type(value, struct conn_key);
} routes SEC(".maps");

/* 0: one verdict for each sendmsg(), however long. */
const volatile __u32 apply_bytes;
/* No verdict reaches from one sendmsg() into the next. */
const volatile __u32 apply_within_send;
/* How long the parser says that every message is; 0: as long as what is there. */
const volatile __u32 record_bytes;
/* How long an skb is that is dropped; 0: all are. */
const volatile __u32 dropped_bytes;

/*
 * The verifier takes only plain 32-bit loads at fixed offsets from these contexts; volatile keeps
 * the compiler from merging them. All three contexts have the port of the remote end in network
 * order in the upper half of the word, and that of the local end in host order.
 */
#define LOAD(ctx, field) (*(const volatile __u32 *)&(ctx)->field)

#define LOAD_IP6(to, ctx, field)				\
	do {							\
		(to)[0] = LOAD(ctx, field[0]);			\
		(to)[1] = LOAD(ctx, field[1]);			\
		(to)[2] = LOAD(ctx, field[2]);			\
		(to)[3] = LOAD(ctx, field[3]);			\
	} while (0)

#define CONN_KEY(key, ctx)					\
	do {							\
		(key)->family = LOAD(ctx, family);		\
		(key)->local_port = LOAD(ctx, local_port);	\
		(key)->remote_port = bpf_ntohl(LOAD(ctx, remote_port));	\
		if ((key)->family == AF_INET6) {		\
			LOAD_IP6((key)->local_ip, ctx, local_ip6);	\
			LOAD_IP6((key)->remote_ip, ctx, remote_ip6);	\
		} else {					\
			(key)->local_ip[0] = LOAD(ctx, local_ip4);	\
			(key)->remote_ip[0] = LOAD(ctx, remote_ip4);	\
		}						\
		conn_key_normalise(key);			\
	} while (0)

SEC("sockops")
int track(struct bpf_sock_ops *ops)
{
	struct conn_key key = {};

	if (ops->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB &&
	    ops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return 1;

	CONN_KEY(&key, ops);
	if (conn_is_local(&key))
		bpf_sock_hash_update(ops, &sockets, &key, BPF_ANY);
	return 1;
}

SEC("sk_msg")
int msg_redirect(struct sk_msg_md *msg)
{
	struct conn_key key = {}, peer = {};

	if (apply_bytes) {
		__u32 bytes = apply_bytes;

		if (apply_within_send && bytes > LOAD(msg, size))
			bytes = LOAD(msg, size);
		bpf_msg_apply_bytes(msg, bytes);
	}

	CONN_KEY(&key, msg);
	conn_key_swap(&key, &peer);
	bpf_msg_redirect_hash(msg, &sockets, &peer, BPF_F_INGRESS);
	return SK_PASS;
}

SEC("sk_skb/stream_parser")
int skb_parse(struct __sk_buff *skb)
{
	return record_bytes ?: skb->len;
}

SEC("sk_skb/stream_verdict")
int skb_pass(struct __sk_buff *skb)
{
	return SK_PASS;
}

/* All bytes end up in the head of the skb, which is memory of kmalloc(). */
SEC("sk_skb/stream_verdict")
int skb_pull(struct __sk_buff *skb)
{
	bpf_skb_pull_data(skb, skb->len);
	return SK_PASS;
}

SEC("sk_skb/stream_verdict")
int skb_drop(struct __sk_buff *skb)
{
	return !dropped_bytes || skb->len == dropped_bytes ? SK_DROP : SK_PASS;
}

/* tcp_eat_skb() counts what is dropped as read, with the bytes that were never sent. */
SEC("sk_skb/stream_verdict")
int skb_grow_drop(struct __sk_buff *skb)
{
	if (skb->len != dropped_bytes)
		return SK_PASS;
	bpf_skb_change_tail(skb, 2 * dropped_bytes, 0);
	return SK_DROP;
}

/* Out by the socket that it came in by. */
SEC("sk_skb/stream_verdict")
int skb_echo(struct __sk_buff *skb)
{
	struct conn_key key = {};

	CONN_KEY(&key, skb);
	bpf_sk_redirect_hash(skb, &sockets, &key, 0);
	return SK_PASS;
}

SEC("sk_skb/stream_verdict")
int skb_halve(struct __sk_buff *skb)
{
	bpf_skb_change_tail(skb, skb->len / 2, 0);
	return SK_PASS;
}

SEC("sk_skb/stream_verdict")
int skb_redirect(struct __sk_buff *skb)
{
	struct conn_key key = {}, *target;

	if (LOAD(skb, family) == AF_UNIX)
		conn_key_of_cookie(&key, bpf_get_socket_cookie(skb));
	else
		CONN_KEY(&key, skb);
	target = bpf_map_lookup_elem(&routes, &key);
	bpf_sk_redirect_hash(skb, &sockets, target ?: &key, BPF_F_INGRESS);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "GPL";
