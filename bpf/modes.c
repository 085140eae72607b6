// SPDX-License-Identifier: GPL-2.0
/*
 * The five modes differ only in which programs hang on the map, so that is a table, and the rest is
 * one path. Nothing is pinned and the cgroup attachment is a bpf link: closing the descriptors,
 * which the kernel does for a killed process too, detaches everything.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "conn.h"
#include "modes.h"
#include "sockmap.skel.h"

#define MAX_ATTACHED 2

struct attachment {
	const char *prog;
	enum bpf_attach_type type;
};

static const struct mode {
	const char *name;
	struct attachment attached[MAX_ATTACHED];
} modes[NR_MODES] = {
	[MODE_MSG_INGRESS] = {
		"msg-ingress", { { "msg_redirect", BPF_SK_MSG_VERDICT } },
	},
	[MODE_MSG_APPLY] = {
		"msg-apply", { { "msg_redirect", BPF_SK_MSG_VERDICT } },
	},
	[MODE_SKB_PASS] = {
		"skb-pass", { { "skb_pass", BPF_SK_SKB_STREAM_VERDICT } },
	},
	[MODE_SKB_PARSER] = {
		"skb-parser", { { "skb_parse", BPF_SK_SKB_STREAM_PARSER },
				{ "skb_pass", BPF_SK_SKB_STREAM_VERDICT } },
	},
	[MODE_SKB_REDIRECT] = {
		"skb-redirect", { { "skb_redirect", BPF_SK_SKB_STREAM_VERDICT } },
	},
};

static const struct mode pulled = {
	"skb-pull", { { "skb_pull", BPF_SK_SKB_STREAM_VERDICT } },
};

static const struct mode dropping = {
	"skb-drop", { { "skb_drop", BPF_SK_SKB_STREAM_VERDICT } },
};

static const struct mode growing = {
	"skb-grow-drop", { { "skb_grow_drop", BPF_SK_SKB_STREAM_VERDICT } },
};

static const struct mode halving = {
	"skb-halve", { { "skb_halve", BPF_SK_SKB_STREAM_VERDICT } },
};

static const struct mode echoing = {
	"skb-echo", { { "skb_echo", BPF_SK_SKB_STREAM_VERDICT } },
};

/* What the programs are told; 0 is what they do by themselves. */
struct settings {
	__u32 apply_bytes, record_bytes, dropped_bytes;
	bool within_send;
};

struct sockmap {
	struct sockmap_bpf *skel;
	const struct mode *mode;
	struct bpf_link *link;
};

const char *sockmap_mode_name(enum sockmap_mode mode)
{
	return modes[mode].name;
}

int sockmap_mode_parse(const char *name)
{
	for (int i = 0; i < NR_MODES; i++)
		if (!strcmp(name, modes[i].name))
			return i;
	return -EINVAL;
}

static bool mode_needs(const struct mode *mode, const char *prog)
{
	if (!strcmp(prog, "track"))
		return true;
	for (int i = 0; i < MAX_ATTACHED; i++)
		if (mode->attached[i].prog && !strcmp(prog, mode->attached[i].prog))
			return true;
	return false;
}

static int load(struct sockmap *map, const struct settings *settings)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, map->skel->obj)
		bpf_program__set_autoload(prog, mode_needs(map->mode, bpf_program__name(prog)));
	map->skel->rodata->apply_bytes = settings->apply_bytes;
	map->skel->rodata->apply_within_send = settings->within_send;
	map->skel->rodata->record_bytes = settings->record_bytes;
	map->skel->rodata->dropped_bytes = settings->dropped_bytes;
	return sockmap_bpf__load(map->skel);
}

static int change_program(struct sockmap *map, const struct attachment *at, bool attach)
{
	int map_fd = bpf_map__fd(map->skel->maps.sockets);
	int prog_fd = bpf_program__fd(bpf_object__find_program_by_name(map->skel->obj, at->prog));

	return attach ? bpf_prog_attach(prog_fd, map_fd, at->type, 0) :
			bpf_prog_detach2(prog_fd, map_fd, at->type);
}

static int change_programs(struct sockmap *map, bool attach)
{
	int err = 0;

	for (int i = 0; i < MAX_ATTACHED && map->mode->attached[i].prog && !err; i++)
		err = change_program(map, &map->mode->attached[i], attach);
	return err;
}

int sockmap_attach_programs(struct sockmap *map)
{
	return change_programs(map, true);
}

int sockmap_detach_programs(struct sockmap *map)
{
	return change_programs(map, false);
}

int sockmap_detach_program(struct sockmap *map, enum bpf_attach_type type)
{
	for (int i = 0; i < MAX_ATTACHED && map->mode->attached[i].prog; i++)
		if (map->mode->attached[i].type == type)
			return change_program(map, &map->mode->attached[i], false);
	return -ENOENT;
}

static struct sockmap *open_map(const struct mode *mode, struct settings settings)
{
	struct sockmap *map;
	int err;

	map = calloc(1, sizeof(*map));
	if (!map)
		return NULL;
	map->mode = mode;

	map->skel = sockmap_bpf__open();
	if (!map->skel) {
		err = -errno;
		goto fail;
	}
	err = load(map, &settings);
	if (err)
		goto fail;
	err = sockmap_attach_programs(map);
	if (err)
		goto fail;
	return map;

fail:
	sockmap_close(map);
	errno = -err;
	return NULL;
}

struct sockmap *sockmap_open(enum sockmap_mode mode)
{
	struct settings settings = {
		.apply_bytes = mode == MODE_MSG_APPLY ? SOCKMAP_APPLY_BYTES : 0,
	};

	return open_map(&modes[mode], settings);
}

struct sockmap *sockmap_open_apply(__u32 apply_bytes)
{
	return open_map(&modes[MODE_MSG_APPLY], (struct settings){ .apply_bytes = apply_bytes });
}

struct sockmap *sockmap_open_apply_within_send(void)
{
	struct settings settings = { .apply_bytes = SOCKMAP_APPLY_BYTES, .within_send = true };

	return open_map(&modes[MODE_MSG_APPLY], settings);
}

struct sockmap *sockmap_open_pull(void)
{
	return open_map(&pulled, (struct settings){});
}

struct sockmap *sockmap_open_drop(__u32 dropped_bytes)
{
	return open_map(&dropping, (struct settings){ .dropped_bytes = dropped_bytes });
}

struct sockmap *sockmap_open_grow_drop(__u32 dropped_bytes)
{
	return open_map(&growing, (struct settings){ .dropped_bytes = dropped_bytes });
}

struct sockmap *sockmap_open_halve(void)
{
	return open_map(&halving, (struct settings){});
}

struct sockmap *sockmap_open_echo(void)
{
	return open_map(&echoing, (struct settings){});
}

struct sockmap *sockmap_open_records(__u32 record_bytes)
{
	return open_map(&modes[MODE_SKB_PARSER], (struct settings){ .record_bytes = record_bytes });
}

void sockmap_close(struct sockmap *map)
{
	bpf_link__destroy(map->link);
	sockmap_bpf__destroy(map->skel);
	free(map);
}

int sockmap_attach_cgroup(struct sockmap *map, int cgroup_fd)
{
	map->link = bpf_program__attach_cgroup(map->skel->progs.track, cgroup_fd);
	return map->link ? 0 : -errno;
}

static int read_end(const struct sockaddr_storage *addr, __u32 *port, __u32 ip[4])
{
	const struct sockaddr_in6 *in6 = (const void *)addr;
	const struct sockaddr_in *in = (const void *)addr;

	switch (addr->ss_family) {
	case AF_INET:
		*port = ntohs(in->sin_port);
		ip[0] = in->sin_addr.s_addr;
		return 0;
	case AF_INET6:
		*port = ntohs(in6->sin6_port);
		memcpy(ip, &in6->sin6_addr, sizeof(in6->sin6_addr));
		return 0;
	}
	return -EAFNOSUPPORT;
}

static int read_cookie(int fd, struct conn_key *key)
{
	__u64 cookie;
	socklen_t len = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len))
		return -errno;
	conn_key_of_cookie(key, cookie);
	return 0;
}

static int read_key(int fd, struct conn_key *key)
{
	struct sockaddr_storage local, remote;
	socklen_t local_len = sizeof(local), remote_len = sizeof(remote);
	int err;

	if (getsockname(fd, (void *)&local, &local_len) ||
	    getpeername(fd, (void *)&remote, &remote_len))
		return -errno;

	if (local.ss_family == AF_UNIX)
		return read_cookie(fd, key);
	memset(key, 0, sizeof(*key));
	key->family = local.ss_family;
	err = read_end(&local, &key->local_port, key->local_ip);
	if (!err)
		err = read_end(&remote, &key->remote_port, key->remote_ip);
	conn_key_normalise(key);
	return err;
}

int sockmap_replace(struct sockmap *map, int fd, int by_fd)
{
	int map_fd = bpf_map__fd(map->skel->maps.sockets);
	struct conn_key key;
	__u64 value = by_fd;
	int err;

	err = read_key(fd, &key);
	if (err)
		return err;
	return bpf_map_update_elem(map_fd, &key, &value, BPF_ANY);
}

int sockmap_insert(struct sockmap *map, int fd)
{
	return sockmap_replace(map, fd, fd);
}

int sockmap_remove(struct sockmap *map, int fd)
{
	int map_fd = bpf_map__fd(map->skel->maps.sockets);
	struct conn_key key;
	int err;

	err = read_key(fd, &key);
	if (err)
		return err;
	return bpf_map_delete_elem(map_fd, &key);
}

int sockmap_route(struct sockmap *map, int from_fd, int to_fd)
{
	int map_fd = bpf_map__fd(map->skel->maps.routes);
	struct conn_key from, to;
	int err;

	err = read_key(from_fd, &from);
	if (!err)
		err = read_key(to_fd, &to);
	if (err)
		return err;
	return bpf_map_update_elem(map_fd, &from, &to, BPF_ANY);
}
