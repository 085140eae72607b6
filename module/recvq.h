/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_RECVQ_H
#define SOCKMAP_SPLICE_RECVQ_H

#include <linux/types.h>

struct sk_msg;
struct sk_psock;
struct sock;

/**
 * enum sms_recvq_owner - who may take from sk_receive_queue now
 * @SMS_RECVQ_FIRST:   the reader, before ingress_msg
 * @SMS_RECVQ_AFTER:   the reader, after ingress_msg
 * @SMS_RECVQ_ONE_SKB: the reader, after ingress_msg, one skb: a parser gave it up
 * @SMS_RECVQ_PROGRAM: a program: offer it, don't touch it
 */
enum sms_recvq_owner {
	SMS_RECVQ_FIRST,
	SMS_RECVQ_AFTER,
	SMS_RECVQ_ONE_SKB,
	SMS_RECVQ_PROGRAM,
};

/**
 * struct sms_recvq - what a look at the two queues of a socket found
 * @owner:     who may take from sk_receive_queue
 * @bytes:     how many bytes of it the reader may take
 * @msg_bytes: how many bytes of ingress_msg go before those
 */
struct sms_recvq {
	enum sms_recvq_owner owner;
	u32 bytes;
	u32 msg_bytes;
};

void sms_recvq_init(void);

void sms_recvq_look(struct sock *sk, struct sk_psock *psock,
		    struct sms_recvq *q);
void sms_recvq_left_map(struct sock *sk);
void sms_recvq_offer(struct sock *sk);
bool sms_recvq_underway(struct sock *sk, struct sk_psock *psock);
bool sms_recvq_awaits_program(struct sock *sk, const struct sms_recvq *q);
bool sms_recvq_readable(struct sock *sk);
void sms_recvq_account(struct sock *sk, struct sk_psock *psock, u32 own,
		       u32 taken);
void sms_recvq_account_fin(struct sock *sk);

void sms_recvq_look_unix(struct sock *sk, struct sk_psock *psock, bool ended,
			 struct sms_recvq *q);
int sms_recvq_adopt_unix(struct sock *sk, struct sk_psock *psock,
			 size_t len, struct sms_recvq *q);

u32 sms_recvq_repeated(struct sock *sk, struct sk_psock *psock,
		       struct sk_msg *msg);
u32 sms_recvq_own_bytes(struct sock *sk, const struct sk_msg *msg, u32 bytes);
bool sms_recvq_may_repeat(struct sock *sk, const struct sk_msg *msg,
			  u32 own_before);

#endif
