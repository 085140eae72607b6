/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_STATS_H
#define SOCKMAP_SPLICE_STATS_H

#include <linux/percpu.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/sock.h>

/**
 * enum sms_stats_counter - what is counted in each network namespace
 * @SMS_STATS_SERVED:	calls of splice(2) that the reader gave bytes
 * @SMS_STATS_GIFTED:	bytes of ingress_msg that went into a pipe with their page
 * @SMS_STATS_COPIED_HEAD:	bytes copied because they are in a kmalloc()ed skb head
 * @SMS_STATS_COPIED_PAGE:	bytes copied because their page is a slab's or has no
 *			references
 * @SMS_STATS_COPIED_PARAM:	bytes copied because of the parameter copy
 * @SMS_STATS_RECEIVE_QUEUE: bytes spliced from sk_receive_queue
 * @SMS_STATS_PIPE_BUFFERS:	pipe buffers that the bytes of ingress_msg took
 * @SMS_STATS_WAITS:	sleeps of the reader
 * @SMS_STATS_RESTARTS:	system calls that an unload made start again
 * @SMS_STATS_PASSED_UNIX:	calls of the kernel's own function by the reader of unix
 *			sockets, as ingress_msg was empty
 * @SMS_STATS_NO_MEMORY:	times that there was no page to copy to
 */
enum sms_stats_counter {
	SMS_STATS_SERVED,
	SMS_STATS_GIFTED,
	SMS_STATS_COPIED_HEAD,
	SMS_STATS_COPIED_PAGE,
	SMS_STATS_COPIED_PARAM,
	SMS_STATS_RECEIVE_QUEUE,
	SMS_STATS_PIPE_BUFFERS,
	SMS_STATS_WAITS,
	SMS_STATS_RESTARTS,
	SMS_STATS_PASSED_UNIX,
	SMS_STATS_NO_MEMORY,
	SMS_STATS_COUNTERS
};

/* One CPU's counters of one namespace. */
struct sms_stats {
	unsigned long count[SMS_STATS_COUNTERS];
};

struct sms_stats_net {
	struct sms_stats __percpu *stats;
};

extern unsigned int sms_stats_net_id;

int sms_stats_init(void);
void sms_stats_exit(void);

/**
 * sms_stats_add - count something that happened to a socket
 * @sk:      the socket; its network namespace counts
 * @counter: what
 * @n:       how many
 *
 * Any context.
 */
static __always_inline void sms_stats_add(const struct sock *sk,
				      enum sms_stats_counter counter,
				      unsigned long n)
{
	struct sms_stats_net *sn = net_generic(sock_net(sk), sms_stats_net_id);

	this_cpu_add(sn->stats->count[counter], n);
}

#endif
