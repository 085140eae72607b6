// SPDX-License-Identifier: GPL-2.0
/*
 * What an attacker would try: to write into pages that others hold through a pipe that holds them
 * too, to have a page shared that must not be, to see bytes behind the end of a message, to do
 * without privileges what plain TCP doesn't allow, to pin more memory than plain TCP lets a pipe
 * pin, to feed the module's parameters with rubbish.
 *
 * data.c asks some of it of an innocent pipe; here the pipe was prepared.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ko.h"
#include "memory.h"
#include "net.h"
#include "pattern.h"
#include "pipe_io.h"
#include "served.h"
#include "take.h"

#define PAGE		4096
#define SLOTS		16	/* of a pipe, by default */
#define BYTES		20000

struct scene {
	struct link l;
	struct reader r;
	struct pipe p;
};

static void open_scene(struct scene *s, const struct test *t)
{
	link_open(&s->l, t);
	set_nonblock(s->l.rx);
	reader_open(&s->r, t);
	pipe_open(&s->p, 0);
}

/* Dirty Pipe's preparation: a page written into a slot, and taken out, leaves CAN_MERGE there. */
static void prime(struct pipe *p)
{
	int slots = fcntl(p->wr, F_GETPIPE_SZ) / PAGE;
	char page[PAGE] = { 0 };

	for (int i = 0; i < slots; i++)
		expect(write(p->wr, page, PAGE) == PAGE, "write: %s", strerror(errno));
	for (int i = 0; i < slots; i++)
		expect(read(p->rd, page, PAGE) == PAGE, "pipe: %s", strerror(errno));
}

#define ROUNDS	6
#define PIECE	100

static void expect_rounds(struct pipe *p)
{
	for (int i = 0; i < ROUNDS; i++) {
		pipe_expect(p, i * PIECE, PIECE, PIECE);
		pipe_expect_scribble(p);
	}
}

/* The bytes behind each piece are queued in the socket, or in the pipe already, on its page. */
static void dirty_pipe(const struct test *t)
{
	struct pipe copy;
	struct scene s;
	int both;

	open_scene(&s, t);
	pipe_open(&copy, 2 * SLOTS * PAGE);
	prime(&s.p);
	prime(&copy);
	send_pattern(s.l.tx, 0, 3000, 3000);
	for (int i = 0; i < ROUNDS; i++) {
		gather(s.l.rx, &s.p, PIECE);
		pipe_scribble(&s.p);
	}
	both = pipe_bytes(&s.p);
	expect(tee(s.p.rd, copy.wr, both, 0) == both, "tee: %s", strerror(errno));
	pipe_scribble(&copy);
	receive_all(&s.r, s.l.rx, ROUNDS * PIECE, 3000 - ROUNDS * PIECE, 700);
	expect_rounds(&s.p);
	pipe_expect_empty(&s.p);
	expect_rounds(&copy);
	pipe_expect_scribble(&copy);
	pipe_expect_empty(&copy);
}

/*
 * Memory of kmalloc() must not be shared: the skb takes it along when it is freed, and in a slab it
 * has neighbours that are no network data at all. bpf_skb_pull_data() makes such heads, from slabs
 * and beyond what slabs have.
 */
static void linearized(const struct test *t)
{
	const size_t *chunk = t->b->arg;
	struct sockmap *map = sockmap_open_pull();
	long long copied = ko_counter("CopiedHeadBytes"), gifted = ko_counter("GiftedBytes");
	struct scene s;

	expect(map, "sockmap_open_pull: %s", strerror(errno));
	link_open_in(&s.l, t, map);
	set_nonblock(s.l.rx);
	pipe_open(&s.p, 0);
	send_pattern(s.l.tx, 0, 2 * BYTES, *chunk);
	gather(s.l.rx, &s.p, 2 * BYTES);
	expect_result(ko_counter("CopiedHeadBytes") - copied, 2 * BYTES, "bytes copied");
	expect_result(ko_counter("GiftedBytes") - gifted, 0, "bytes gifted");

	link_close(&s.l);
	/* These get the memory that the heads had. */
	link_open_in(&s.l, t, map);
	send_pattern(s.l.tx, 1 << 20, 2 * BYTES, *chunk);
	pipe_expect(&s.p, 0, 2 * BYTES, PAGE);
	pipe_expect_empty(&s.p);
}

/* Has lo put all bytes of each skb into its head, as an XDP program without fragments needs it. */
static void linearize_on_lo(void)
{
	/* return XDP_PASS; */
	static const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int lo, fd, err;

	expect(!unshare(CLONE_NEWNET), "unshare: %s", strerror(errno));
	lo_up();
	lo = if_nametoindex("lo");
	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", pass,
			   sizeof(pass) / sizeof(pass[0]), NULL);
	expect(fd >= 0, "BPF_PROG_LOAD: %s", strerror(errno));
	err = bpf_xdp_attach(lo, fd, XDP_FLAGS_SKB_MODE, NULL);
	if (err)
		skip("no XDP on lo: %s", strerror(-err));
}

#define HEAD		12000	/* bytes: beyond what slabs have */
#define PARTS		3

/* The same for heads in the frag_list of a message that a parser has put together. */
static void linearized_parts(const struct test *t)
{
	long long copied, gifted;
	struct scene s;

	ko_need();
	linearize_on_lo();
	link_connect(&s.l, t);
	link_use_records(&s.l, PARTS * HEAD);
	link_insert(&s.l);
	set_nonblock(s.l.rx);
	set_nodelay(s.l.tx);
	pipe_open(&s.p, 0);
	copied = ko_counter("CopiedHeadBytes");
	gifted = ko_counter("GiftedBytes");
	send_apart(s.l.tx, 0, PARTS * HEAD, HEAD);
	gather(s.l.rx, &s.p, PARTS * HEAD);
	expect_result(ko_counter("CopiedHeadBytes") - copied, PARTS * HEAD, "bytes copied");
	expect_result(ko_counter("GiftedBytes") - gifted, 0, "bytes gifted");
}

static void overwrite(char *at, size_t size)
{
	memset(at, 'X', size);
}

/* Half of BYTES is in the pipe and once more in a copy of it, the other half in the socket. */
static void open_teed(struct scene *s, const struct test *t, struct pipe *copy)
{
	open_scene(s, t);
	pipe_open(copy, 0);
	send_pattern(s->l.tx, 0, BYTES, 4001);
	gather(s->l.rx, &s->p, BYTES / 2);
	expect(tee(s->p.rd, copy->wr, BYTES / 2, 0) == BYTES / 2, "tee: %s", strerror(errno));
}

static void expect_unharmed(struct scene *s, struct pipe *copy)
{
	pipe_expect(copy, 0, BYTES / 2, PAGE);
	pipe_expect_empty(copy);
	receive_all(&s->r, s->l.rx, BYTES / 2, BYTES / 2, PAGE);
}

/* A file that took the pages for its own would hand them to everybody who writes to it. */
static void moved_to_file(const struct test *t)
{
	int fd = memfd_create("cases", MFD_CLOEXEC);
	struct pipe copy;
	struct scene s;
	char *file;

	expect(fd >= 0 && !ftruncate(fd, BYTES), "memfd: %s", strerror(errno));
	file = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	expect(file != MAP_FAILED, "mmap: %s", strerror(errno));
	open_teed(&s, t, &copy);
	for (size_t left = BYTES / 2; left; ) {
		ssize_t n = splice_to(s.p.rd, fd, left, SPLICE_F_MOVE);

		expect(n > 0, "pipe to file: %s", result_name(n));
		left -= n;
	}
	pattern_check(file, 0, BYTES / 2, "in the file");
	overwrite(file, BYTES);
	expect_unharmed(&s, &copy);
}

static void vmsplice_all(int fd, char *buf, size_t len, unsigned int flags)
{
	while (len) {
		struct iovec iov = { buf, len };
		ssize_t n = vmsplice(fd, &iov, 1, flags);

		expect(n > 0, "vmsplice: %s", result_name(n < 0 ? -errno : n));
		buf += n;
		len -= n;
	}
}

/*
 * Memory of ours gifted to the pipe, behind the pages that are in it, and all of it mapped out of
 * the pipe again: writing to that memory changes no page of the socket's.
 */
static void vmspliced(const struct test *t)
{
	char *own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *out = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	struct pipe copy;
	struct scene s;

	expect(own != MAP_FAILED && out != MAP_FAILED, "mmap: %s", strerror(errno));
	memset(own, 'g', PAGE);
	open_teed(&s, t, &copy);
	vmsplice_all(s.p.wr, own, PAGE, SPLICE_F_GIFT);
	expect(pipe_bytes(&s.p) == BYTES / 2 + PAGE, "%zu bytes in the pipe", pipe_bytes(&s.p));
	vmsplice_all(s.p.rd, out, BYTES / 2 + PAGE, 0);
	pattern_check(out, 0, BYTES / 2, "vmspliced");
	expect(!memcmp(out + BYTES / 2, own, PAGE), "the gifted page has changed");
	overwrite(out, 4 * PAGE);
	overwrite(own, PAGE);
	expect_unharmed(&s, &copy);
}

/* Takes what there is; more may be asked of the pipe than splice said is in it. */
static void expect_exactly(struct pipe *p, uint64_t offset, size_t len)
{
	char buf[BYTES];
	size_t got = 0;
	ssize_t n;

	expect(pipe_bytes(p) == len, "FIONREAD: %zu, spliced: %zu", pipe_bytes(p), len);
	while ((n = read(p->rd, buf, sizeof(buf))) > 0) {
		pattern_check(buf, offset + got, n, "in the pipe");
		got += n;
	}
	expect(n == -1 && errno == EAGAIN, "pipe: %s", n ? strerror(errno) : "end of file");
	expect(got == len, "%zu bytes read, spliced: %zu", got, len);
}

/* Messages that end anywhere in pages, whose rest holds other messages; calls that end anywhere. */
static void length(const struct test *t)
{
	static const size_t sizes[] = { 1, 7, 4095, 2, 4097, 1001, 33, 8191 };
	static const size_t wants[] = { 3, 1000, 1, 4096, 5, 12000 };
	size_t sent = 0, taken = 0;
	struct scene s;

	open_scene(&s, t);
	set_nonblock(s.p.rd);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		send_pattern(s.l.tx, sent, sizes[i], sizes[i]);
		sent += sizes[i];
	}
	for (int i = 0; taken < sent; i++) {
		size_t want = wants[i % (sizeof(wants) / sizeof(wants[0]))];
		ssize_t n;

		await_readable(s.l.rx);
		n = splice_to(s.l.rx, s.p.wr, want, SPLICE_F_NONBLOCK);
		if (n == -EAGAIN)
			continue;
		expect(n > 0 && (size_t)n <= want, "%zu bytes wanted: %s", want, result_name(n));
		expect_exactly(&s.p, taken, n);
		taken += n;
	}
}

#define NOBODY		65534
#define PIPE_PAGES	"/proc/sys/fs/pipe-user-pages-soft"
#define PIPE_MAX	"/proc/sys/fs/pipe-max-size"

static long number_in(const char *path)
{
	FILE *f = fopen(path, "r");
	long number = -1;

	if (f && fscanf(f, "%ld", &number) != 1)
		number = -1;
	if (f)
		fclose(f);
	expect(number >= 0, "%s: no number", path);
	return number;
}

static void become_nobody(void)
{
	expect(!setgroups(0, NULL) && !setresgid(NOBODY, NOBODY, NOBODY) &&
	       !setresuid(NOBODY, NOBODY, NOBODY), "becoming nobody: %s", strerror(errno));
}

/* In a child that has lost its privileges; what else the case needs stays with the parent. */
static void as_nobody(void (*run)(struct scene *), struct scene *s)
{
	pid_t pid = fork();
	int status;

	expect(pid >= 0, "fork: %s", strerror(errno));
	if (!pid) {
		become_nobody();
		run(s);
		_exit(0);
	}
	expect(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "nobody didn't exit");
	if (WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
}

/* With the user's share of pipe pages used up, a new pipe has two slots and gets no more. */
static void splice_as_nobody(struct scene *s)
{
	long max = number_in(PIPE_MAX);
	struct pipe first, small;
	ssize_t n;

	pipe_open(&first, 0);
	expect(fcntl(first.wr, F_SETPIPE_SZ, 2 * max) == -1 && errno == EPERM,
	       "a pipe of twice pipe-max-size: %s", strerror(errno));
	pipe_open(&small, 0);
	expect_result(fcntl(small.wr, F_GETPIPE_SZ), 2 * PAGE, "size of the second pipe");

	expect_result(splice_to(s->l.rx, small.rd, 100, 0), -EBADF, "into the reading end");
	n = splice_to(s->l.rx, small.wr, BYTES, SPLICE_F_NONBLOCK);
	expect(n > 0, "splice: %s", result_name(n));
	while (splice_to(s->l.rx, small.wr, 1, SPLICE_F_NONBLOCK) == 1)
		n++;
	expect(pipe_bytes(&small) == (size_t)n, "%zu bytes in the pipe", pipe_bytes(&small));
	/* Copies lie next to each other, and fill more of a slot. */
	expect(n < BYTES || BIT(s->l.t->mode) & SKB_MODES, "two slots took everything");
	expect_result(splice_to(s->l.rx, small.wr, 1, SPLICE_F_NONBLOCK), -EAGAIN, "when full");
	expect(fcntl(small.wr, F_SETPIPE_SZ, SLOTS * PAGE) == -1 && errno == EPERM,
	       "a larger pipe than is allowed: %s", strerror(errno));
	expect_result(fcntl(small.wr, F_GETPIPE_SZ), 2 * PAGE, "size of the full pipe");
	pipe_expect(&small, 0, n, PAGE);

	s->r.pipe[0] = small.rd;
	s->r.pipe[1] = small.wr;
	receive_all(&s->r, s->l.rx, n, BYTES - n, PAGE);
	close(small.rd);
	signal(SIGPIPE, SIG_IGN);
	expect_result(splice_to(s->l.rx, small.wr, 1, 0), -EPIPE, "into a pipe without a reader");
}

static void unprivileged(const struct test *t)
{
	char before[32];
	struct scene s;

	open_scene(&s, t);
	snprintf(before, sizeof(before), "%ld", number_in(PIPE_PAGES));
	send_apart(s.l.tx, 0, BYTES, 500);
	await_readable(s.l.rx);
	expect_result(write_file(PIPE_PAGES, 0, "16"), 0, "%s", PIPE_PAGES);
	as_nobody(splice_as_nobody, &s);
	expect_result(write_file(PIPE_PAGES, 0, before), 0, "%s", PIPE_PAGES);
}

static void touch_module(struct scene *s)
{
	(void)s;
	expect_result(ko_set_parameter("copy", "1"), -EACCES, "setting copy");
	expect_result(write_file(KO_COUNTERS, 0, "1"), -EACCES, "writing counters");
	expect_result(ko_unload(), -EPERM, "unload");
	expect_result(ko_load(""), -EPERM, "load");
}

static void unprivileged_module(const struct test *t)
{
	(void)t;
	if (!ko_loaded())
		skip("the module isn't loaded");
	as_nobody(touch_module, NULL);
	expect(ko_loaded(), "unloaded by nobody");
	expect_result(ko_parameter("copy"), 0, "copy");
}

#define NR_PIPES	24
#define THIN_BYTES	40000	/* more than the largest piece of memory that a stream is kept in */
#define TOLERANCE_KB	(slowness > 1 ? 8192 : 1024)	/* measured: 70, of 12 MiB */

struct pipes {
	struct link l;
	struct reader r;
	struct pipe p[NR_PIPES];
	uint64_t begin[NR_PIPES];	/* of what is in it, in the stream */
	size_t len[NR_PIPES];
	uint64_t sent, taken;
};

static bool has_room(struct pipe *p)
{
	struct pollfd fd = { .fd = p->wr, .events = POLLOUT };

	return poll(&fd, 1, 0) == 1 && fd.revents & POLLOUT;
}

/* As many bytes as go in. */
static void fill_full(struct pipes *all, int i)
{
	all->begin[i] = all->taken;
	while (has_room(&all->p[i])) {
		ssize_t n = splice_to(all->l.rx, all->p[i].wr, 1 << 20, SPLICE_F_NONBLOCK);

		expect(n > 0 || n == -EAGAIN, "splice: %s", result_name(n));
		if (n > 0) {
			all->len[i] += n;
			all->taken += n;
		} else if (all->sent == all->taken) {
			send_pattern(all->l.tx, all->sent, THIN_BYTES, THIN_BYTES);
			all->sent += THIN_BYTES;
		}
	}
}

/* One byte in each slot, each of another piece of memory. */
static void fill_thin(struct pipes *all, int i)
{
	struct reader rest = { .use_read = true };

	while (has_room(&all->p[i])) {
		send_pattern(all->l.tx, all->sent, THIN_BYTES, THIN_BYTES);
		gather(all->l.rx, &all->p[i], 1);
		receive(&rest, all->l.rx, all->sent + 1, THIN_BYTES - 1, THIN_BYTES);
		all->sent += THIN_BYTES;
		all->len[i]++;
	}
	expect_result(all->len[i], SLOTS, "slots filled with a byte each");
}

/* What fill_thin() sends, and nothing of it into the pipe. */
static void fill_nothing(struct pipes *all, int i)
{
	struct reader r = { .use_read = true };

	(void)i;
	for (int slot = 0; slot < SLOTS; slot++) {
		send_pattern(all->l.tx, all->sent, THIN_BYTES, THIN_BYTES);
		receive(&r, all->l.rx, all->sent, THIN_BYTES, THIN_BYTES);
		all->sent += THIN_BYTES;
	}
}

static void expect_full(struct pipes *all, int i)
{
	pipe_expect(&all->p[i], all->begin[i], all->len[i], 1 << 20);
	pipe_expect_empty(&all->p[i]);
}

static void expect_nothing(struct pipes *all, int i)
{
	pipe_expect_empty(&all->p[i]);
}

static void expect_thin(struct pipes *all, int i)
{
	uint64_t first = all->sent - (uint64_t)(NR_PIPES - i) * SLOTS * THIN_BYTES;

	for (int j = 0; j < SLOTS; j++)
		pipe_expect(&all->p[i], first + j * THIN_BYTES, 1, 1);
	pipe_expect_empty(&all->p[i]);
}

struct filling {
	void (*fill)(struct pipes *all, int i);
	void (*check)(struct pipes *all, int i);
};

/* Kilobytes that full pipes hold when the socket that they were filled from is gone. */
static long pinned(const struct filling *f, const struct test *t, struct sockmap *map)
{
	struct socket_memory at_start = socket_memory();
	long before, cost;
	static struct pipes all;

	memset(&all, 0, sizeof(all));
	for (int i = 0; i < NR_PIPES; i++)
		pipe_open(&all.p[i], 0);
	before = free_kb();
	link_open_in(&all.l, t, map);
	set_nonblock(all.l.rx);
	for (int i = 0; i < NR_PIPES; i++)
		f->fill(&all, i);
	link_close(&all.l);
	await_sockets(&at_start);
	cost = before - free_kb();
	/* A slot too many would have overwritten the first. */
	for (int i = 0; i < NR_PIPES; i++) {
		f->check(&all, i);
		pipe_close(&all.p[i]);
	}
	return cost;
}

static const struct filling full = { fill_full, expect_full }, thin = { fill_thin, expect_thin },
			    nothing = { fill_nothing, expect_nothing };

/*
 * Plain TCP pins the most where each slot holds a byte of another piece of memory. Full slots must
 * stay below that, too: how full they get differs, as copies lie closer than what was received.
 * The same stream is read before: KASAN keeps what was freed, up to some 40 MiB in all, and with
 * apply_bytes that is an sk_msg for every kilobyte.
 */
static void bounded(const struct test *t)
{
	const struct test plain_test = { .mode = MODE_PLAIN, .family = t->family };
	struct sockmap *map = open_map(t);
	long plain, ours, kept;

	pinned(&thin, &plain_test, NULL);
	plain = pinned(&thin, &plain_test, NULL);
	kept = pinned(&nothing, t, map);
	ours = pinned(t->b->arg, t, map);
	note("%d pipes: plain TCP pins %ld KiB, sockmap %ld KiB, reading before it %ld KiB",
	     NR_PIPES, plain, ours, kept);
	expect(ours < plain + TOLERANCE_KB, "sockmap pins %ld KiB, plain TCP %ld KiB", ours, plain);
}

static int write_bytes(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, bytes, len) < 0)
		err = -errno;
	close(fd);
	return err;
}

#define PARAMETERS "/sys/module/" KO_NAME "/parameters/"

static void expect_refused(const void *bytes, size_t len, const char *what)
{
	expect_result(write_bytes(PARAMETERS "copy", bytes, len), -EINVAL, "copy: %s", what);
	expect_result(ko_parameter("copy"), 0, "copy, after %s", what);
}

/* What is written to `copy` is a bool or refused; the kernel looks at the first letters only. */
static void copy_parameter(const struct test *t)
{
	static char long_text[3 * PAGE];

	(void)t;
	ko_need();
	expect_result(ko_set_parameter("copy", "0"), 0, "copy=0");
	memset(long_text, 'x', sizeof(long_text));
	expect_refused("maybe", 5, "a word");
	expect_refused("\n", 1, "an empty line");
	expect_refused("-1", 2, "a negative number");
	expect_refused(" 1", 2, "a space");
	expect_refused("%s%n", 4, "a format");
	expect_refused("\0001", 2, "a null byte");
	expect_refused("\xff\xfe\x01\x7f", 4, "binary");
	expect_refused(long_text, sizeof(long_text), "three pages");
	expect_result(write_bytes(PARAMETERS "copy", "", 0), 0, "no bytes at all");
	expect_result(ko_parameter("copy"), 0, "copy, after no bytes at all");
	expect_result(ko_set_parameter("copy", "1"), 0, "copy=1");
	expect_result(ko_parameter("copy"), 1, "copy");
	expect_result(ko_set_parameter("copy", "0"), 0, "copy=0");
}

/* Nobody writes to them, root neither. */
static void counters(const struct test *t)
{
	long long before;

	(void)t;
	ko_need();
	expect_served();
	before = ko_counter("*");
	expect_result(write_file(KO_COUNTERS, 0, "0"), -EACCES, "0");
	expect_result(write_file(KO_COUNTERS, 0, "rubbish"), -EACCES, "rubbish");
	expect_result(ko_counter("*"), before, "counters");
	expect_served();
}

static void load_parameters(const struct test *t)
{
	static const char *const refused[] = { "copy=", "copy=rubbish", "copy=2" };

	(void)t;
	ko_need();
	ko_unload_in_time();
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		expect_result(ko_load(refused[i]), -EINVAL, "load with %s", refused[i]);
		expect(!ko_loaded(), "refused %s and yet there", refused[i]);
		expect_not_served();
	}
	/* The kernel warns of a parameter that no module has, and goes on. */
	expect_result(ko_load("no_such_thing=1"), 0, "load with a parameter there isn't");
	expect_result(ko_parameter("no_such_thing"), -ENOENT, "a parameter there isn't");
	expect_served();
}

#define SECURITY(fn, text, ...) { .group = "security", .name = text, .run = fn, __VA_ARGS__ }
#define ALTERS_MODULE(fn, text) { .group = "module", .name = "security-" text, .run = fn, \
	.limit = 20 }

static const struct behaviour behaviours[] = {
	SECURITY(dirty_pipe, "dirty-pipe", .modes = ALL_MODES),
	SECURITY(linearized, "linearized-slab", .modes = BIT(MODE_SKB_PASS),
		 .arg = &(const size_t){ 1000 }),
	SECURITY(linearized, "linearized-large", .modes = BIT(MODE_SKB_PASS),
		 .arg = &(const size_t){ BYTES }),
	SECURITY(linearized_parts, "linearized-parts", .modes = BIT(MODE_SKB_PARSER)),
	SECURITY(moved_to_file, "moved-to-file", .modes = ALL_MODES),
	SECURITY(vmspliced, "vmspliced", .modes = ALL_MODES),
	SECURITY(length, "length", .modes = ALL_MODES),
	SECURITY(unprivileged, "unprivileged", .modes = ALL_MODES),
	SECURITY(unprivileged_module, "unprivileged-module"),
	SECURITY(bounded, "bounded-full", .modes = SOCKMAP_MODES, .flags = V4_ONLY, .limit = 120,
		 .arg = &full),
	SECURITY(bounded, "bounded-thin", .modes = SOCKMAP_MODES, .flags = V4_ONLY, .limit = 120,
		 .arg = &thin),
	ALTERS_MODULE(copy_parameter, "copy"),
	ALTERS_MODULE(counters, "counters"),
	ALTERS_MODULE(load_parameters, "load"),
};

const struct suite security_suite = SUITE(behaviours);
