/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_SOCKMAP_H
#define SOCKMAP_SPLICE_SOCKMAP_H

#include <linux/types.h>

struct sock;

int sms_sockmap_init(void);
bool sms_sockmap_takes_unix(void);
bool sms_tcp_sk_in_sockmap(const struct sock *sk);
bool sms_tcp_sk_has_verdict(const struct sock *sk);
bool sms_tcp_sk_calls_parser(const struct sock *sk);
bool sms_unix_sk_in_sockmap(const struct sock *sk);

#endif
