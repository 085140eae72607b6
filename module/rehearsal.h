/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_REHEARSAL_H
#define SOCKMAP_SPLICE_REHEARSAL_H

struct sk_psock;
struct sock;

/* Takes bytes off ingress_msg as sk_msg_recvmsg() does; returns how many. */
typedef int consumer_t(struct sock *sk, struct sk_psock *psock, int len);

int rehearsal_same(consumer_t *one, consumer_t *other);

#endif
