/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_CONSUME_H
#define SOCKMAP_SPLICE_CONSUME_H

#include <linux/types.h>

struct sk_psock;
struct sock;

void sms_consume_init(void);
size_t sms_consume(struct sock *sk, struct sk_psock *psock, size_t len);

#endif
