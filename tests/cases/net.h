/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CASES_NET_H
#define CASES_NET_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#include "test.h"

/*
 * One way for bytes through a sockmap: what is sent on tx is read from rx.
 *
 *	plain, msg-*, skb-pass, skb-parser:	tx ---- rx		peer == tx, via == -1
 *	skb-redirect:				tx ---- via
 *							 | verdict program
 *						peer --- rx
 *
 * peer is the other end of rx's own connection: FIN and RST reach rx from there.
 */
struct link {
	const struct test *t;
	struct sockmap *map;		/* NULL in plain mode */
	bool map_is_shared;		/* link_close() leaves it open */
	int tx, via, rx, peer;
};

/* A map of the case's mode, with traffic in mind that keeps clear of the kernel's faults. */
struct sockmap *open_map(const struct test *t);

/* Kernels before 5.15 take no unix stream sockets into a sockmap. */
bool sockmap_takes_unix(void);
/* Older kernels count bytes of TCP as read when a verdict program gets them. */
bool sockmap_traces_reading(void);
/* Older kernels give a psock no second verdict program when it has lost the first. */
bool sockmap_gives_second_verdict(void);

/*
 * Inserts a socket that may have just left a map: the kernel says EBUSY while the last one to hold
 * the psock of that time, a reader or sk_psock_backlog(), lets go of it.
 */
int insert_again(struct sockmap *map, int fd);

/* The connections and an empty map / all of them put into the map / both. */
void link_connect(struct link *l, const struct test *t);
void link_insert(struct link *l);
/* All of them but rx, which is there. */
void link_insert_others(struct link *l);
void link_open(struct link *l, const struct test *t);
/* Before anything is in the map: one whose parser says that every message is so long. */
void link_use_records(struct link *l, size_t bytes);
/* The same with another map in the place of its own; NULL and errno fail the case. */
void link_use_map(struct link *l, struct sockmap *map);
/* The same with a map that is there already (NULL in plain mode). */
void link_open_in(struct link *l, const struct test *t, struct sockmap *map);
/* Takes the sockets out of the map: they are plain TCP from then on. */
void link_remove(struct link *l);
/* Shuts down rx's connection from the peer's end, behind everything (`sent` bytes) that tx sent. */
void link_finish(struct link *l, size_t sent);
void link_close(struct link *l);

/* A connected pair of TCP or unix sockets; returns the accepting end. */
int stream_pair(int family, int *connecting);
/* The same with MPTCP sockets; skips the case when the kernel has none. */
int mptcp_pair(int family, int *connecting);
int tcp_listen(int family);
int tcp_connect(int listener);		/* by the listener's protocol */
struct tcp_info tcp_info(int fd);	/* linux/tcp.h has the type */

/* EBUSY: for a moment something still holds the psock of the time before. */
int sockmap_insert_patiently(struct sockmap *map, int fd);
/* Puts it into a SOCKMAP of its own that has no programs, as patiently. */
void bare_sockmap_insert(int fd);

void set_nonblock(int fd);
void set_blocking(int fd, bool blocking);
void set_nodelay(int fd);	/* unix sockets don't delay */
void set_rcvtimeo(int fd, int ms);
void set_buffer(int fd, int option, int size);	/* SO_RCVBUF or SO_SNDBUF */
void reset(int fd);			/* closes with RST */

/* Does poll() say POLLIN within that time? / The same, failing the case when it doesn't come. */
bool readable_within(int fd, int ms);
void await_readable(int fd);
/* Would read(2) find bytes? */
bool has_bytes(int fd);

/* What a TCP socket has received and nobody has read, says the kernel: rcv_nxt - copied_seq. */
size_t tcp_unread(int fd);

/* Sends the stream bytes [offset, offset + size), `chunk` at a time, or fails the case. */
void send_pattern(int fd, uint64_t offset, size_t size, size_t chunk);
/* The same, with no two chunks next to each other in memory: something else is sent in between. */
void send_apart(int fd, uint64_t offset, size_t size, size_t chunk);

/* In a new network namespace: the loopback device. */
void lo_up(void);

struct sender {
	pthread_t thread;
	int fd;
	uint64_t offset;
	size_t size, chunk;
};

/* send_pattern() in a thread. */
void sender_start(struct sender *s, int fd, uint64_t offset, size_t size, size_t chunk);
void sender_join(struct sender *s);

void thread_start(pthread_t *thread, void *(*run)(void *), void *arg);
/* A thread, 0 for this one, on the CPUs from `first` to `last`. */
void run_on(pid_t tid, int first, int last);

#endif
