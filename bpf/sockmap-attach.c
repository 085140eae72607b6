// SPDX-License-Identifier: GPL-2.0
/*
 * Puts the local TCP connections of unmodified programs through a sockmap: everything that tasks of
 * one cgroup connect or accept while this runs. All state hangs on descriptors of this process, so
 * there is nothing to clean up, whichever way it ends.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "modes.h"

#define NAME "sockmap-attach"
#define MODE_NAMES "msg-ingress, msg-apply, skb-pass, skb-parser, skb-redirect"

static const char doc[] =
	"Puts the local TCP connections (IPv4 and IPv6, both ends on this machine) that "
	"programs of a cgroup make from now on through a BPF sockmap, until interrupted."
	"\v"
	"Modes:\n"
	"  msg-ingress   An sk_msg program redirects what one end sends to the ingress\n"
	"                of the other end, past the TCP stack. Where only one end is in\n"
	"                the cgroup, data goes as usual.\n"
	"  msg-apply     The same, with a verdict for each --apply-bytes bytes instead\n"
	"                of one for each sendmsg().\n"
	"  skb-pass      An sk_skb stream_verdict program passes what arrives.\n"
	"  skb-parser    The same behind a stream_parser that takes each packet for a\n"
	"                message. Kernels from 6.1 on can stall such a connection,\n"
	"                whoever reads it and how.\n"
	"  skb-redirect  An sk_skb stream_verdict program redirects what arrives to the\n"
	"                ingress of the socket that it arrived at: a connection of an\n"
	"                unmodified program has no other socket to redirect to. Kernels\n"
	"                from 6.1 on treat that as SK_PASS.\n"
	"\n"
	"Prints one line that starts with 'ready' once new connections are taken. When it ends, "
	"by SIGINT, SIGTERM or any other way, nothing stays attached or pinned; a connection that "
	"went through the sockmap stays in it until it is closed, because removing it would lose "
	"the data that it has queued.";

enum { OPT_APPLY_BYTES = 256 };

static const struct argp_option options[] = {
	{ "cgroup", 'c', "PATH", 0, "folder of a cgroup v2, /sys/fs/cgroup for all programs", 0 },
	{ "mode", 'm', "MODE", 0, "one of " MODE_NAMES, 0 },
	{ "apply-bytes", OPT_APPLY_BYTES, "N", 0, "bytes for each verdict of msg-apply (1001)", 0 },
	{ "verbose", 'v', NULL, 0, "show the warnings of libbpf", 0 },
	{ 0 },
};

struct arguments {
	const char *cgroup;
	int mode;
	__u32 apply_bytes;
	bool verbose;
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list args;

	fputs(NAME ": ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static __u32 parse_apply_bytes(const char *text)
{
	char *end;
	unsigned long bytes;

	errno = 0;
	bytes = strtoul(text, &end, 10);
	if (errno || *end || end == text || *text == '-' || !bytes || bytes > 0x7fffffff)
		die("--apply-bytes takes a number from 1 on, not '%s'", text);
	return bytes;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'c':
		args->cgroup = value;
		return 0;
	case 'm':
		args->mode = sockmap_mode_parse(value);
		if (args->mode < 0)
			die("unknown mode '%s', the modes are " MODE_NAMES, value);
		return 0;
	case OPT_APPLY_BYTES:
		args->apply_bytes = parse_apply_bytes(value);
		return 0;
	case 'v':
		args->verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		die("don't know what to do with '%s' (see --help)", value);
	case ARGP_KEY_END:
		if (!args->cgroup || args->mode < 0)
			die("needs --cgroup PATH and --mode MODE (see --help)");
		if (args->apply_bytes && args->mode != MODE_MSG_APPLY)
			die("--apply-bytes is only for --mode msg-apply");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static int print_warnings(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

static int open_cgroup(const char *path)
{
	struct statfs fs;
	int fd;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	if (fstatfs(fd, &fs))
		die("%s: %s", path, strerror(errno));
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		die("%s is not a folder of a cgroup v2 (usually under /sys/fs/cgroup)", path);
	return fd;
}

static void __attribute__((noreturn)) die_of_bpf(const char *what, int err)
{
	if (err == EPERM && geteuid())
		die("needs root (CAP_BPF and CAP_NET_ADMIN): run it with sudo");
	die("can't %s: %s (--verbose tells more)", what, strerror(err));
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options, parse_option, NULL, doc, NULL, NULL, NULL };
	struct arguments args = { .mode = -1 };
	struct sockmap *map;
	sigset_t stop;
	int cgroup_fd, err, sig;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	libbpf_set_print(args.verbose ? print_warnings : NULL);

	/* Blocked from here on, so that a signal during the set-up isn't lost either. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);

	cgroup_fd = open_cgroup(args.cgroup);
	map = args.apply_bytes ? sockmap_open_apply(args.apply_bytes) : sockmap_open(args.mode);
	if (!map)
		die_of_bpf("load the BPF programs", errno);
	err = sockmap_attach_cgroup(map, cgroup_fd);
	if (err)
		die_of_bpf("attach to the cgroup", -err);

	printf("ready: new local TCP connections in %s go through a sockmap (%s)\n", args.cgroup,
	       sockmap_mode_name(args.mode));
	fflush(stdout);
	sigwait(&stop, &sig);

	sockmap_close(map);
	close(cgroup_fd);
	return 0;
}
