/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A sockmap in one of the ways in which data gets into a socket's psock. One object holds the map
 * and the programs of one mode; the loader, the self-check and the tests all use it, so that what
 * is shown, checked and tested is the same thing.
 */
#ifndef SOCKMAP_MODES_H
#define SOCKMAP_MODES_H

#include <linux/bpf.h>
#include <linux/types.h>

enum sockmap_mode {
	MODE_MSG_INGRESS,	/* sk_msg verdict, redirect to the peer's ingress */
	MODE_MSG_APPLY,		/* the same, a fresh verdict every apply_bytes bytes */
	MODE_SKB_PASS,		/* sk_skb stream_verdict, SK_PASS */
	MODE_SKB_PARSER,	/* the same behind a stream_parser */
	MODE_SKB_REDIRECT,	/* sk_skb stream_verdict, redirect to a socket's ingress */
	NR_MODES
};

/* Odd and smaller than a page, so that message ends fall on no convenient boundary. */
#define SOCKMAP_APPLY_BYTES 1001

struct sockmap;

const char *sockmap_mode_name(enum sockmap_mode mode);
int sockmap_mode_parse(const char *name);	/* <0: unknown */

/* Loads the programs and attaches them to a new map. NULL and errno on failure. */
struct sockmap *sockmap_open(enum sockmap_mode mode);
/* MODE_MSG_APPLY with an apply_bytes of one's own. */
struct sockmap *sockmap_open_apply(__u32 apply_bytes);
/* MODE_MSG_APPLY, with what is left of apply_bytes given up at the end of each sendmsg(). */
struct sockmap *sockmap_open_apply_within_send(void);
/* MODE_SKB_PASS, with every skb's bytes pulled into its head first. */
struct sockmap *sockmap_open_pull(void);
/* MODE_SKB_PASS, but skbs that are so long are dropped; 0: all are. */
struct sockmap *sockmap_open_drop(__u32 dropped_bytes);
/* The same, and they get twice as long before. */
struct sockmap *sockmap_open_grow_drop(__u32 dropped_bytes);
/* MODE_SKB_PASS, but of every skb the second half is cut off. */
struct sockmap *sockmap_open_halve(void);
/* A TCP socket in it sends what arrives back by itself. */
struct sockmap *sockmap_open_echo(void);
/* MODE_SKB_PARSER, with a parser that says that every message is so long. */
struct sockmap *sockmap_open_records(__u32 record_bytes);
/*
 * Detaches everything. The kernel keeps the programs of a connection that is still in the map for
 * as long as the connection lives: data may be queued where only they can deliver it.
 */
void sockmap_close(struct sockmap *map);

/*
 * All of these return 0 or -errno. The descriptors are connected TCP sockets or,
 * but for MODE_MSG_* and MODE_SKB_PARSER, unix stream sockets.
 */
int sockmap_insert(struct sockmap *map, int fd);
int sockmap_remove(struct sockmap *map, int fd);
/* Puts another socket in the place of one, which leaves the map. */
int sockmap_replace(struct sockmap *map, int fd, int by_fd);
/*
 * What is in the map keeps its programs; what is put into it from then on gets none, or gets them.
 */
int sockmap_detach_programs(struct sockmap *map);
int sockmap_attach_programs(struct sockmap *map);
/* The same for the one of a type. */
int sockmap_detach_program(struct sockmap *map, enum bpf_attach_type type);
/*
 * MODE_SKB_REDIRECT: what arrives at from_fd goes to the ingress of to_fd. Default: to its own. A
 * program sees a unix socket's bytes as their sender's, so there from_fd is the one that sends.
 */
int sockmap_route(struct sockmap *map, int from_fd, int to_fd);

/* Puts the local connections that tasks of the cgroup (v2) make from now on into the map. */
int sockmap_attach_cgroup(struct sockmap *map, int cgroup_fd);

#endif
