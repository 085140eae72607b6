/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a connection is named in the sockmap. The BPF programs build the name from their context, the
 * user side from getsockname() and getpeername(), and both must come to the same bytes, so the
 * rules are here once: ports in host order, addresses in network order with IPv4 in element 0, and
 * an IPv4 connection of an AF_INET6 socket (::ffff:a.b.c.d) named as what it is on the wire. The
 * last one matters because the two ends of one connection may be of different families.
 */
#ifndef SOCKMAP_CONN_H
#define SOCKMAP_CONN_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>

#ifdef __bpf__
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#else
#include <sys/socket.h>
#endif

#define conn_inline static inline __attribute__((always_inline))

/* A hash key: no padding, every word set. */
struct conn_key {
	__u32 family;
	__u32 local_port;
	__u32 remote_port;
	__u32 local_ip[4];
	__u32 remote_ip[4];
};

conn_inline int conn_ip_is_mapped(const __u32 ip[4])
{
	return ip[0] == 0 && ip[1] == 0 && ip[2] == bpf_htonl(0xffff);
}

conn_inline void conn_ip_unmap(__u32 ip[4])
{
	ip[0] = ip[3];
	ip[2] = 0;
	ip[3] = 0;
}

conn_inline void conn_key_normalise(struct conn_key *key)
{
	if (key->family != AF_INET6 || !conn_ip_is_mapped(key->local_ip) ||
	    !conn_ip_is_mapped(key->remote_ip))
		return;
	key->family = AF_INET;
	conn_ip_unmap(key->local_ip);
	conn_ip_unmap(key->remote_ip);
}

conn_inline void conn_key_of_cookie(struct conn_key *key, __u64 cookie)
{
	*key = (struct conn_key){
		.family = AF_UNIX,
		.local_ip = { cookie >> 32, (__u32)cookie },
	};
}

/* The name that the same connection has at its other end. */
conn_inline void conn_key_swap(const struct conn_key *key, struct conn_key *peer)
{
	peer->family = key->family;
	peer->local_port = key->remote_port;
	peer->remote_port = key->local_port;
	for (int i = 0; i < 4; i++) {
		peer->local_ip[i] = key->remote_ip[i];
		peer->remote_ip[i] = key->local_ip[i];
	}
}

/* Are both ends on this machine? */
conn_inline int conn_is_local(const struct conn_key *key)
{
	const __u32 *local = key->local_ip, *remote = key->remote_ip;

	if (local[0] == remote[0] && local[1] == remote[1] && local[2] == remote[2] &&
	    local[3] == remote[3])
		return 1;
	return key->family == AF_INET && (bpf_ntohl(remote[0]) >> 24) == 127;
}

#endif
