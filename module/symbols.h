/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_SYMBOLS_H
#define SOCKMAP_SPLICE_SYMBOLS_H

#include <linux/types.h>

struct sock;

int symbols_resolve(void);
bool symbols_have_unix(void);
bool symbols_is_tcp_splice_read(unsigned long ip);
bool symbols_is_unix_stream_splice_read(unsigned long ip);
bool symbols_unix_sk_in_sockmap(const struct sock *sk);
bool symbols_sk_in_sockmap(const struct sock *sk);
bool symbols_sk_has_verdict(const struct sock *sk);
void symbols_tcp_rcv_space_adjust(struct sock *sk);
void symbols_tcp_cleanup_rbuf(struct sock *sk, int copied);

#endif
