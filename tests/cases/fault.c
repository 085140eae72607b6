// SPDX-License-Identifier: GPL-2.0
/*
 * Faults of stock kernels that spoil a stream before any reader sees it.
 *
 * Where read(2) fails, a case says nothing about splice(2), and such a fault fails it in most cases
 * of its mode. So where some traffic doesn't meet the fault, net.c chooses that traffic. Whether
 * the running kernel has the fault isn't looked up by its version but tried: the runner asks
 * read(2) the cases below before the first case of the mode. A kernel that passes them gets the
 * traffic that the fault would have spoiled, in every case.
 *
 * The cases themselves never go round the fault.
 */
#include <unistd.h>

#include "fault.h"
#include "net.h"
#include "take.h"

#define STREAM 600000

unsigned int faults;

struct scene {
	struct link l;
	struct reader r;
};

static void open_scene(struct scene *s, const struct test *t)
{
	faults = 0;
	link_open(&s->l, t);
	set_nonblock(s->l.rx);
	reader_open(&s->r, t);
}

/*
 * apply_bytes left over when a sendmsg() ends are for the next. A psock without redir_ingress keeps
 * their target, while BPF_F_INGRESS was in the sk_msg that is gone (tcp_bpf_send_verdict()): they
 * are sent by the socket that should have received them.
 */
static void verdict_across_sends(const struct test *t)
{
	struct scene s;

	open_scene(&s, t);
	send_pattern(s.l.tx, 0, 6000, SOCKMAP_APPLY_BYTES + 499);
	receive_all(&s.r, s.l.rx, 0, 6000, 4096);
}

/*
 * When sk_psock_backlog() finds the receive buffer of the target full, it stops. Where it isn't a
 * delayed work, nobody starts it again but the next skb, and after the last skb nobody at all.
 */
static void full_receive_buffer(const struct test *t)
{
	struct scene s;

	open_scene(&s, t);
	send_pattern(s.l.tx, 0, STREAM, 10000);
	sleep_ms(50);
	receive_all(&s.r, s.l.rx, 0, STREAM, 4096);
}

#define FAULT(fn, text, ...) { .group = "fault", .name = text, .run = fn, \
	.flags = ASK_READ | V4_ONLY, __VA_ARGS__ }

static const struct behaviour behaviours[NR_FAULTS] = {
	FAULT(verdict_across_sends, "verdict-across-sends", .modes = BIT(MODE_MSG_APPLY)),
	FAULT(full_receive_buffer, "full-receive-buffer", .modes = BIT(MODE_SKB_REDIRECT)),
};

const struct fault known_faults[NR_FAULTS] = {
	{ VERDICT_GOES_ASTRAY, MODE_MSG_APPLY, &behaviours[0] },
	{ REDIRECT_STALLS, MODE_SKB_REDIRECT, &behaviours[1] },
};

const struct suite fault_suite = SUITE(behaviours);
