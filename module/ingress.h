/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_INGRESS_H
#define SOCKMAP_SPLICE_INGRESS_H

#include <linux/types.h>

struct pipe_inode_info;
struct sk_msg;
struct sk_psock;
struct sock;

int sms_ingress_splice(struct sock *sk, struct sk_psock *psock,
		       struct pipe_inode_info *pipe, size_t len, size_t *own);
struct sk_msg *sms_ingress_empty_msg(struct sk_psock *psock);
void sms_ingress_drop_empty(struct sk_psock *psock);
bool sms_ingress_msg_queued(struct sock *sk);

#endif
