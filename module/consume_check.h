/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_CONSUME_CHECK_H
#define SOCKMAP_SPLICE_CONSUME_CHECK_H

struct sk_psock;
struct sock;

/* Takes bytes off ingress_msg as sk_msg_recvmsg() does; returns how many. */
typedef int sms_consumer_t(struct sock *sk, struct sk_psock *psock, int len);

int sms_consumers_agree(sms_consumer_t *one, sms_consumer_t *other);

#endif
