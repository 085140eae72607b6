/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_KSYMS_H
#define SOCKMAP_SPLICE_KSYMS_H

struct sock;

int sms_find_symbol(const char *name, unsigned long *addr);
int sms_need_symbol(const char *name, unsigned long *addr);
int sms_want_symbol(const char *name, unsigned long *addr);

int sms_ksyms_init(void);
void sms_tcp_rcv_space_adjust(struct sock *sk);
void sms_tcp_cleanup_rbuf(struct sock *sk, int copied);

#endif
