/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_STATS_H
#define SOCKMAP_SPLICE_STATS_H

#include <linux/percpu.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/sock.h>

/**
 * enum stats_counter - what is counted in each network namespace
 * @STATS_SERVED:	calls of splice(2) that the reader gave bytes
 * @STATS_GIFTED:	bytes of ingress_msg that went into a pipe with their page
 * @STATS_COPIED_HEAD:	bytes copied because they are in a kmalloc()ed skb head
 * @STATS_COPIED_PAGE:	bytes copied because their page is a slab's or has no
 *			references
 * @STATS_COPIED_PARAM:	bytes copied because of the parameter copy
 * @STATS_RECEIVE_QUEUE: bytes spliced from sk_receive_queue
 * @STATS_PIPE_BUFFERS:	pipe buffers that the bytes of ingress_msg took
 * @STATS_WAITS:	sleeps of the reader
 * @STATS_RESTARTS:	system calls that an unload made start again
 * @STATS_PASSED_UNIX:	calls of the kernel's own function by the reader of unix
 *			sockets, as ingress_msg was empty
 * @STATS_NO_MEMORY:	times that there was no page to copy to
 */
enum stats_counter {
	STATS_SERVED,
	STATS_GIFTED,
	STATS_COPIED_HEAD,
	STATS_COPIED_PAGE,
	STATS_COPIED_PARAM,
	STATS_RECEIVE_QUEUE,
	STATS_PIPE_BUFFERS,
	STATS_WAITS,
	STATS_RESTARTS,
	STATS_PASSED_UNIX,
	STATS_NO_MEMORY,
	STATS_COUNTERS
};

/* One CPU's counters of one namespace. */
struct stats {
	unsigned long count[STATS_COUNTERS];
};

struct stats_net {
	struct stats __percpu *stats;
};

extern unsigned int stats_net_id;

int stats_init(void);
void stats_exit(void);

/**
 * stats_add - count something that happened to a socket
 * @sk:      the socket; its network namespace counts
 * @counter: what
 * @n:       how many
 *
 * Any context.
 */
static __always_inline void stats_add(const struct sock *sk,
				      enum stats_counter counter,
				      unsigned long n)
{
	struct stats_net *sn = net_generic(sock_net(sk), stats_net_id);

	this_cpu_add(sn->stats->count[counter], n);
}

#endif
