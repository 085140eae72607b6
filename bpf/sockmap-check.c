// SPDX-License-Identifier: GPL-2.0
/*
 * Is splice(2) on sockmap sockets broken on this machine? Asks the kernel instead of looking at its
 * version: the same bytes are sent over two loopback connections that are in a sockmap, and one is
 * read with recv(2), the other with splice(2). Only when recv() delivers can splice() be blamed.
 *
 * A broken kernel may do anything, so a child does the probing and keeps its answer so far in
 * shared memory: whatever becomes of the child, the parent has an answer to print in time.
 */
#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "modes.h"

/* Together under 3 seconds. */
#define TIME_LIMIT_MS 2600
#define KILL_LIMIT_MS 200
/* The BPF programs run, and queue data, in work of the kernel's own. */
#define SETTLE_MS 150
#define RETRY_MS 10
#define MAX_RETRIES 20
/* A connect() over a lo that is down would go on for minutes. */
#define SEND_LIMIT_MS 500

#define NR_BYTES 4096

static const char doc[] =
	"Tells if splice(2) on TCP sockets in a BPF sockmap is broken on this machine. Needs root, "
	"changes nothing, takes under 3 seconds."
	"\v"
	"Prints one line and exits with\n"
	"  1  affected: ...\n"
	"  0  fixed: ...\n"
	"  2  cannot tell: why, and what to do\n"
	"With --json the line is an object: verdict (affected, fixed, unknown), text (as above), "
	"kernel, module (the version that is loaded, or null), and probes, each with mode, verdict "
	"and found.";

static const struct argp_option options[] = {
	{ "json", 'j', NULL, 0, "Print an object instead of a sentence", 0 },
	{ }
};

static bool as_json;

enum verdict { FIXED, AFFECTED, CANNOT_TELL };	/* these are the exit codes too */

static const enum sockmap_mode probed[] = { MODE_MSG_INGRESS, MODE_SKB_PASS };
#define NR_PROBED (sizeof(probed) / sizeof(probed[0]))

struct finding {
	enum verdict verdict;
	char text[200];
};

/* What is written to tx arrives at rx. */
struct conn {
	int tx, rx;
};

typedef ssize_t (*reader)(int fd, char *to, size_t len);

static void __attribute__((format(printf, 3, 4)))
find(struct finding *finding, enum verdict verdict, const char *format, ...)
{
	va_list args;

	finding->verdict = verdict;
	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
}

static void sleep_ms(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

static bool connect_loopback(struct conn *conn)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval limit = { .tv_usec = SEND_LIMIT_MS * 1000 };
	socklen_t len = sizeof(addr);
	int listener;

	listener = socket(AF_INET, SOCK_STREAM, 0);
	conn->tx = socket(AF_INET, SOCK_STREAM, 0);
	if (setsockopt(conn->tx, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
	    bind(listener, (void *)&addr, len) || listen(listener, 1) ||
	    getsockname(listener, (void *)&addr, &len) || connect(conn->tx, (void *)&addr, len))
		return false;
	conn->rx = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	close(listener);
	return conn->rx >= 0;
}

static ssize_t read_with_recv(int fd, char *to, size_t len)
{
	return recv(fd, to, len, MSG_DONTWAIT);
}

static ssize_t read_with_splice(int fd, char *to, size_t len)
{
	int pipe_fds[2], err;
	ssize_t n;

	if (pipe2(pipe_fds, O_NONBLOCK))
		return -1;
	n = splice(fd, NULL, pipe_fds[1], NULL, len, SPLICE_F_NONBLOCK);
	if (n > 0)
		n = read(pipe_fds[0], to, n);
	err = errno;
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	errno = err;
	return n;
}

/* Reads all of what was sent and says in words how that ended; true if it came through unharmed. */
static bool collect(int fd, reader read_some, const char *sent, char *ending, size_t size)
{
	char got[NR_BYTES];
	size_t len = 0;
	int retries = 0;
	ssize_t n;

	while (len < NR_BYTES) {
		n = read_some(fd, got + len, NR_BYTES - len);
		if (n > 0) {
			len += n;
		} else if (n < 0 && errno == EAGAIN && retries++ < MAX_RETRIES) {
			sleep_ms(RETRY_MS);
		} else {
			snprintf(ending, size, "%zu of %d bytes, then %s", len, NR_BYTES,
				 !n ? "end of file" :
				 errno == EAGAIN ? "EAGAIN" : strerror(errno));
			return false;
		}
	}
	if (memcmp(got, sent, NR_BYTES)) {
		snprintf(ending, size, "wrong bytes");
		return false;
	}
	snprintf(ending, size, "all %d bytes", NR_BYTES);
	return true;
}

static struct sockmap *open_sockmap(enum sockmap_mode mode, struct finding *finding)
{
	struct sockmap *map = sockmap_open(mode);

	if (map)
		return map;
	if (errno == EPERM && geteuid())
		find(finding, CANNOT_TELL,
		     "needs root (CAP_BPF and CAP_NET_ADMIN): run it with sudo");
	else if (errno == EPERM)
		find(finding, CANNOT_TELL,
		     "BPF isn't permitted here: run it outside of the container or sandbox");
	else
		find(finding, CANNOT_TELL,
		     "the BPF programs for %s don't load (%s): check that the kernel has "
		     "CONFIG_BPF_SYSCALL and CONFIG_BPF_STREAM_PARSER",
		     sockmap_mode_name(mode), strerror(errno));
	return NULL;
}

static bool fill(struct sockmap *map, struct conn *conn, const char *bytes, struct finding *finding)
{
	int err;

	if (!connect_loopback(conn)) {
		find(finding, CANNOT_TELL,
		     "no TCP connection over 127.0.0.1: check that lo is up (ip link set lo up)");
		return false;
	}
	err = sockmap_insert(map, conn->tx);
	if (!err)
		err = sockmap_insert(map, conn->rx);
	if (err) {
		find(finding, CANNOT_TELL,
		     "the kernel takes no TCP socket into a sockmap (%s): check what else uses BPF",
		     strerror(-err));
		return false;
	}
	if (send(conn->tx, bytes, NR_BYTES, 0) != NR_BYTES) {
		find(finding, CANNOT_TELL, "sending through a sockmap fails (%s): try again",
		     strerror(errno));
		return false;
	}
	return true;
}

static void probe(enum sockmap_mode mode, const char *bytes, struct finding *finding)
{
	const char *name = sockmap_mode_name(mode);
	struct conn control, spliced;
	struct sockmap *map;
	char ending[100];
	bool ok;

	map = open_sockmap(mode, finding);
	if (!map || !fill(map, &control, bytes, finding) || !fill(map, &spliced, bytes, finding))
		return;
	sleep_ms(SETTLE_MS);

	if (!collect(control.rx, read_with_recv, bytes, ending, sizeof(ending))) {
		find(finding, CANNOT_TELL, "recv() fails on this kernel's sockmap too (%s: %s): "
		     "try again, or another kernel", name, ending);
		return;
	}
	find(finding, AFFECTED, "hangs");
	ok = collect(spliced.rx, read_with_splice, bytes, ending, sizeof(ending));
	find(finding, ok ? FIXED : AFFECTED, "%s", ending);
}

/* Leaves all descriptors to the end of the process. */
static void probe_all(struct finding *findings)
{
	char bytes[NR_BYTES];

	libbpf_set_print(NULL);
	for (int i = 0; i < NR_BYTES; i++)
		bytes[i] = i * 7 + i / 256;
	for (size_t i = 0; i < NR_PROBED; i++)
		probe(probed[i], bytes, &findings[i]);
}

static bool child_ended(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	return sigtimedwait(&set, NULL, &time) == SIGCHLD;
}

static void probe_in_time(struct finding *findings)
{
	sigset_t set;
	pid_t child;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);

	child = fork();
	if (!child) {
		probe_all(findings);
		_exit(0);
	}
	if (child > 0 && !child_ended(TIME_LIMIT_MS)) {
		kill(child, SIGKILL);
		child_ended(KILL_LIMIT_MS);
	}
}

/* One broken way is enough to be affected; only when no way is broken does an unclear one count. */
static void conclude(const struct finding *findings, struct finding *conclusion)
{
	const struct finding *unclear = NULL;
	enum verdict verdict = FIXED;
	const char *separator = "";
	char found[sizeof(conclusion->text) / 2] = "";
	size_t len = 0;

	for (size_t i = 0; i < NR_PROBED; i++) {
		if (findings[i].verdict == AFFECTED)
			verdict = AFFECTED;
		else if (findings[i].verdict == CANNOT_TELL && !unclear)
			unclear = &findings[i];
	}
	if (verdict == FIXED && unclear) {
		find(conclusion, CANNOT_TELL, "%s", unclear->text);
		return;
	}

	for (size_t i = 0; i < NR_PROBED && len < sizeof(found); i++) {
		if (findings[i].verdict == CANNOT_TELL)
			continue;
		len += snprintf(found + len, sizeof(found) - len, "%s%s: %s", separator,
				sockmap_mode_name(probed[i]), findings[i].text);
		separator = "; ";
	}
	find(conclusion, verdict, "%s from a socket in a sockmap what recv() does (%s)",
	     verdict == AFFECTED ? "splice() doesn't deliver" : "splice() delivers", found);
}

/* The version of the module that is loaded, as JSON. */
static void print_module(void)
{
	FILE *f = fopen("/sys/module/sockmap_splice/version", "r");
	char version[50] = "";

	if (f && fgets(version, sizeof(version), f))
		printf("\"%.*s\"", (int)strcspn(version, "\n"), version);
	else
		fputs("null", stdout);
	if (f)
		fclose(f);
}

/* No text of ours, and no strerror(), has a character that JSON would have escaped. */
static void print_json(const struct finding *findings, const struct finding *conclusion)
{
	static const char *const words[] = { "fixed", "affected", "unknown" };
	struct utsname machine = {};

	uname(&machine);
	printf("{\"verdict\":\"%s\",\"text\":\"%s\",\"kernel\":\"%s\",\"module\":",
	       words[conclusion->verdict], conclusion->text, machine.release);
	print_module();
	fputs(",\"probes\":[", stdout);
	for (size_t i = 0; i < NR_PROBED; i++)
		printf("%s{\"mode\":\"%s\",\"verdict\":\"%s\",\"found\":\"%s\"}", i ? "," : "",
		       sockmap_mode_name(probed[i]), words[findings[i].verdict], findings[i].text);
	puts("]}");
}

static void print_sentence(const struct finding *conclusion)
{
	static const char *const words[] = { "fixed", "affected", "cannot tell" };

	printf("%s: %s\n", words[conclusion->verdict], conclusion->text);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	(void)state;
	if (key != 'j')
		return ARGP_ERR_UNKNOWN;
	as_json = true;
	return 0;
}

static struct finding *share_findings(void)
{
	struct finding *findings = mmap(NULL, NR_PROBED * sizeof(*findings), PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (findings == MAP_FAILED) {
		printf("cannot tell: no memory (%s): try again\n", strerror(errno));
		exit(CANNOT_TELL);
	}
	for (size_t i = 0; i < NR_PROBED; i++)
		find(&findings[i], CANNOT_TELL,
		     "the probe of %s didn't end in time: try again when the machine is less busy",
		     sockmap_mode_name(probed[i]));
	return findings;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options, parse_option, NULL, doc, NULL, NULL, NULL };
	struct finding *findings, conclusion;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);

	findings = share_findings();
	probe_in_time(findings);
	conclude(findings, &conclusion);
	if (as_json)
		print_json(findings, &conclusion);
	else
		print_sentence(&conclusion);
	return conclusion.verdict;
}
