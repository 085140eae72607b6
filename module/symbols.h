/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_SYMBOLS_H
#define SOCKMAP_SPLICE_SYMBOLS_H

#include <linux/types.h>

struct sock;

int sms_symbols_resolve(void);
bool sms_have_unix(void);
bool sms_is_tcp_splice_read(unsigned long ip);
bool sms_is_unix_stream_splice_read(unsigned long ip);
bool sms_unix_sk_in_sockmap(const struct sock *sk);
bool sms_sk_in_sockmap(const struct sock *sk);
bool sms_sk_has_verdict(const struct sock *sk);
void sms_tcp_rcv_space_adjust(struct sock *sk);
void sms_tcp_cleanup_rbuf(struct sock *sk, int copied);

#endif
