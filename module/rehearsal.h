/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_REHEARSAL_H
#define SOCKMAP_SPLICE_REHEARSAL_H

struct sk_psock;
struct sock;

/* Takes bytes off ingress_msg as sk_msg_recvmsg() does; returns how many. */
typedef int sms_consumer_t(struct sock *sk, struct sk_psock *psock, int len);

int sms_rehearsal_same(sms_consumer_t *one, sms_consumer_t *other);

#endif
