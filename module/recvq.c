// SPDX-License-Identifier: GPL-2.0
/*
 * Who takes from sk_receive_queue, and in which order the two queues are read.
 *
 * A look at both queues, under the lock that recvmsg() takes, answers with one
 * of four owners:
 *
 *  FIRST    The reader takes a number of bytes before it reads ingress_msg:
 *           those known to be older than what is queued there, or the rest of
 *           an skb of which a reader has had the beginning.  tcp_bpf_recvmsg()
 *           reads the newer queue first, and tcp_read_skb() passes the whole
 *           skb to the program.
 *  AFTER    The reader takes it when ingress_msg has been read:
 *           tcp_bpf_recvmsg(), unix_bpf_recvmsg().
 *  ONE_SKB  The same, but one skb at a time, which a parser gave up: kernels
 *           without tcp_bpf_recvmsg_parser() let recvmsg() take it.
 *  PROGRAM  A program takes it: the reader offers it, as
 *           tcp_bpf_recvmsg_parser() does, and touches nothing.
 *
 * Which of the queues is older:
 *
 *  - What a program took off sk_receive_queue is older than what is still in
 *    it.  A program may have left since; its messages tell (sk_msg_from_self()),
 *    and so does a first skb that begins beyond copied_seq: the bytes in between
 *    are in ingress_msg, or in ingress_skb on their way there.
 *  - Bytes that other sockets put into ingress_msg (sk_msg programs, redirects)
 *    have no place in the stream.  Those that were in sk_receive_queue when
 *    ingress_msg was seen empty are older, and so are those that were there when
 *    a reader first looked.  Otherwise recvmsg()'s order holds, ingress_msg
 *    first, for the bytes that were in ingress_msg at that look; what comes to
 *    it later waits in its turn, so neither queue starves the other.
 *
 * What this has to remember from look to look is in psock->state, in bits far
 * from the kernel's own: there is one for each psock and it dies with it.
 *
 * Everything that the module knows of strparser, and of what 5.10 does
 * differently with the two queues, is here and in compat.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitfield.h>
#include <linux/net.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <net/af_unix.h>
#include <net/net_namespace.h>

#include "compat.h"
#include "ksyms.h"
#include "recvq.h"
#include "sockmap.h"

/*
 * Of psock->state.
 *
 * LOOKED: a reader has looked; for a unix socket, it has seen sk_receive_queue
 * empty since there is a verdict program.
 * OWN_READ: a reader has had bytes that the program passed.
 * MARK and AHEAD: what is in sk_receive_queue and begins before MARK goes before
 * ingress_msg, after the next AHEAD bytes of that.  For a unix socket: which skb
 * was seen first in sk_receive_queue, and when.
 */
#define STATE_LOOKED	BIT(31)
#define STATE_OWN_READ	BIT(30)
#define STATE_AHEAD	GENMASK(29, 4)
#define STATE_MARK	GENMASK(63, 32)
#define STATE_ORDER	(STATE_LOOKED | STATE_AHEAD | STATE_MARK)

/* Long enough for a sender to call the program for what it has queued. */
#define FORGOTTEN_AFTER	(HZ / 10)
/* Then whatever is underway goes to another socket, which nobody reads. */
#define GIVEN_UP_AFTER	HZ
/* Jiffies that a sender needs to get an skb to the program and on. */
#define SETTLES_WITHIN	DIV_ROUND_UP(HZ, 50)

/* Where in skb->cb af_unix.c counts what a reader has had of an skb. */
static int unix_consumed_at __ro_after_init = -1;

static u32 unix_skb_consumed(const struct sk_buff *skb)
{
	if (unix_consumed_at < 0)
		return 0;
	return *(const u32 *)(skb->cb + unix_consumed_at);
}

static void state_set(struct sk_psock *psock, unsigned long mask,
		      unsigned long bits)
{
	unsigned long old, new;

	/* The kernel sets and clears its bits without the socket lock. */
	do {
		old = READ_ONCE(psock->state);
		new = (old & ~mask) | bits;
	} while (new != old && cmpxchg(&psock->state, old, new) != old);
}

static bool state_test(const struct sk_psock *psock, unsigned long bit)
{
	return READ_ONCE(psock->state) & bit;
}

static u32 state_mark(const struct sk_psock *psock)
{
	return FIELD_GET(STATE_MARK, READ_ONCE(psock->state));
}

static u32 state_ahead(const struct sk_psock *psock)
{
	return FIELD_GET(STATE_AHEAD, READ_ONCE(psock->state));
}

static void state_set_order(struct sk_psock *psock, u32 mark, u32 ahead)
{
	ahead = min_t(u32, ahead, FIELD_MAX(STATE_AHEAD));
	state_set(psock, STATE_ORDER,
		  STATE_LOOKED | FIELD_PREP(STATE_AHEAD, ahead) |
		  FIELD_PREP(STATE_MARK, mark));
}

/* The sequence number of the first byte that nobody took off the queue. */
static u32 seq_taken(struct sock *sk)
{
	const struct sk_buff *head = skb_peek(&sk->sk_receive_queue);

	if (head)
		return TCP_SKB_CB(head)->seq;
	/* tcp_fin() sets it. */
	return tcp_sk(sk)->rcv_nxt - !!sock_flag(sk, SOCK_DONE);
}

/* Bytes that were taken off the queue and that no reader has had. */
static u32 bytes_pending(struct sock *sk)
{
	return max((s32)(seq_taken(sk) - tcp_sk(sk)->copied_seq), 0);
}

/* One that its map has lost stays behind in psock->progs, and isn't called. */
static const struct strparser *parser_at_work(const struct sock *sk,
					      const struct sk_psock *psock)
{
	return sms_tcp_sk_calls_parser(sk) ? sk_psock_parser(psock) : NULL;
}

/* Of an skb that no parser has cut up; a program may have changed its length. */
static u32 skb_span(const struct sk_buff *skb)
{
	const struct tcp_skb_cb *cb = TCP_SKB_CB(skb);

	return cb->end_seq - cb->seq - !!(cb->tcp_flags & TCPHDR_FIN);
}

static bool has_room(const struct sock *sk)
{
	return atomic_read(&sk->sk_rmem_alloc) <= READ_ONCE(sk->sk_rcvbuf);
}

/*
 * Whether an skb in ingress_skb is of @sk's own stream.  Those that af_unix.c
 * takes off the queue are still the sender's, and those of parsers, and of all
 * programs on 5.10, have no socket.
 */
static bool skb_is_own(struct sock *sk, const struct sk_buff *skb)
{
	/* sk_psock_backlog() may just be making it the socket's. */
	const struct sock *owner = data_race(READ_ONCE(skb->sk));

	if (skb_bpf_goes_out(skb))
		return false;
	if (owner == sk)
		return true;
	if (sk->sk_family == AF_UNIX)
		return owner == READ_ONCE(unix_sk(sk)->peer);
	return !owner && tcp_skb_underway_may_be_own(sk, skb);
}

/*
 * Whether an skb stays where it is, and all behind it: it needs room in the
 * receive buffer, and of what fills that nothing is in ingress_msg.
 */
static bool skb_is_stuck(struct sock *sk, struct sk_psock *psock,
			 const struct sk_buff *skb)
{
	return !skb_bpf_goes_out(skb) && data_race(READ_ONCE(skb->sk)) != sk &&
	       !has_room(sk) && sk_psock_queue_empty(psock);
}

/*
 * Whether bytes of @sk's own stream are in ingress_skb, on their way to
 * ingress_msg.  Where the psock has been stopped they stay there.
 */
static bool own_skb_underway(struct sock *sk, struct sk_psock *psock)
{
	struct sk_buff *skb = sk_psock_skb_aside(psock);
	bool found = false;

	if (likely(!skb && skb_queue_empty_lockless(&psock->ingress_skb)) ||
	    !sk_psock_test_state(psock, SK_PSOCK_TX_ENABLED)) {
		/* As below. */
		smp_rmb();
		return false;
	}
	if (unlikely(skb)) {
		if (skb_is_stuck(sk, psock, skb))
			return false;
		if (skb_is_own(sk, skb))
			return true;
	}

	spin_lock_bh(&psock->ingress_skb.lock);
	skb_queue_walk(&psock->ingress_skb, skb) {
		if (skb_is_stuck(sk, psock, skb))
			break;
		found = skb_is_own(sk, skb);
		if (found)
			break;
	}
	spin_unlock_bh(&psock->ingress_skb.lock);
	/* Pairs with the order in sk_psock_backlog(): look at ingress_msg later. */
	smp_rmb();
	return found;
}

static bool has_own_msg(struct sock *sk, struct sk_psock *psock)
{
	struct sk_msg *msg;

	for (msg = sk_psock_peek_msg(psock); msg;
	     msg = sk_psock_next_msg(psock, msg))
		if (msg->sg.size && sk_msg_may_be_own(msg, sk, psock))
			return true;
	return false;
}

/* A FIN that is all there is stays in ingress_msg, see tcp_empty_msg_is_fin(). */
static bool has_bytes(struct sk_psock *psock)
{
	struct sk_msg *first = sk_psock_peek_msg(psock);

	return first && first->sg.size;
}

/**
 * sms_recvq_may_repeat - whether a message may begin with bytes already read
 * @sk:         the socket, locked as recvmsg() locks it
 * @msg:        a message of its ingress_msg
 * @own_before: bytes of @sk's own stream in the messages before it
 *
 * A message of its own skb begins where the one before it ended, unless a
 * reader has had part of the skb before a program came: tcp_read_skb() and
 * unix_stream_read_skb() pass it whole.  Only a look tells for certain, when
 * the message is the first one.
 */
bool sms_recvq_may_repeat(struct sock *sk, const struct sk_msg *msg,
			  u32 own_before)
{
	if (!msg->skb || msg->sg.size != msg->skb->len)
		return false;
	if (sk->sk_family == AF_UNIX)
		return sk_msg_marked_self(msg, sk) && unix_skb_consumed(msg->skb);
	return READER_MOVES_COPIED_SEQ && sk_msg_from_self(msg, sk) &&
	       !sk_msg_from_parser(msg) &&
	       before(TCP_SKB_CB(msg->skb)->seq,
		      tcp_sk(sk)->copied_seq + own_before);
}

/**
 * struct own_run - skbs of a socket's own stream that are queued in a row
 * @start: sequence number of the first byte
 * @end:   and behind the last
 * @gaps:  bytes in between that aren't queued
 * @resized: a program has changed the length of one
 */
struct own_run {
	u32 start;
	u32 end;
	u32 gaps;
	bool resized;
};

static void run_add(struct own_run *run, const struct sk_buff *skb)
{
	u32 seq = TCP_SKB_CB(skb)->seq;

	if (run->start == run->end)
		run->start = run->end = seq;
	if (after(seq, run->end))
		run->gaps += seq - run->end;
	run->end = seq + skb_span(skb);
	if (skb->len != skb_span(skb))
		run->resized = true;
}

/*
 * How many bytes at the start of @msg, the first message, have been read before:
 * as many as copied_seq is ahead of it, but for those that were taken off
 * sk_receive_queue behind it and aren't queued any more.  A program dropped or
 * redirected these, and tcp_eat_skb() counts them at once.
 */
static u32 tcp_bytes_repeated(struct sock *sk, struct sk_psock *psock,
			      struct sk_msg *msg)
{
	const u32 start = TCP_SKB_CB(msg->skb)->seq;
	u32 ahead = tcp_sk(sk)->copied_seq - start;
	struct own_run msgs = {}, backlog = {};
	struct sk_buff *skb;
	u32 gone;

	/*
	 * An skb is in ingress_msg before it leaves ingress_skb.  Another stream's
	 * is the socket's as well while sk_psock_backlog() handles it.
	 */
	spin_lock_bh(&psock->ingress_skb.lock);
	skb_queue_walk(&psock->ingress_skb, skb)
		if (skb->sk == sk && !skb_bpf_goes_out(skb) &&
		    !before(TCP_SKB_CB(skb)->seq, start) &&
		    !after(TCP_SKB_CB(skb)->end_seq, tcp_sk(sk)->rcv_nxt))
			run_add(&backlog, skb);
	spin_unlock_bh(&psock->ingress_skb.lock);
	for (; msg; msg = sk_psock_next_msg(psock, msg))
		if (sk_msg_from_self(msg, sk))
			run_add(&msgs, msg->skb);

	if (backlog.start != backlog.end && after(backlog.end, msgs.end)) {
		if (after(backlog.start, msgs.end))
			msgs.gaps += backlog.start - msgs.end;
		msgs.gaps += backlog.gaps;
		msgs.end = backlog.end;
	}
	gone = msgs.gaps + max((s32)(seq_taken(sk) - msgs.end), 0);
	/* Then copied_seq may be ahead for that. */
	if (msgs.resized || backlog.resized || sk_psock_may_resize(psock, gone))
		return 0;
	return ahead - gone;
}

/**
 * sms_recvq_repeated - how many bytes of a message have been read before
 * @sk:    the socket, locked as recvmsg() locks it
 * @psock: its psock, on which the caller has a reference
 * @msg:   the first message in its ingress_msg
 *
 * Only the first skb that a program gets can have been read in part, or that of
 * an out-of-band byte whole.
 */
u32 sms_recvq_repeated(struct sock *sk, struct sk_psock *psock,
		       struct sk_msg *msg)
{
	u32 repeated;

	if (likely(!sms_recvq_may_repeat(sk, msg, 0)) ||
	    state_test(psock, STATE_OWN_READ))
		return 0;
	if (sk->sk_family == AF_UNIX)
		return min(unix_skb_consumed(msg->skb), msg->sg.size);
	repeated = tcp_bytes_repeated(sk, psock, msg);
	return repeated < msg->sg.size ? repeated : 0;
}

/* How far into its place in the stream the first @bytes of an skb reach. */
static u32 skb_progress(const struct sk_buff *skb, u32 bytes)
{
	u32 span = skb_span(skb);

	return bytes >= skb->len ? span : min(bytes, span);
}

/**
 * sms_recvq_own_bytes - how far bytes of a message move a reader in the stream
 * @sk:    the socket, locked as recvmsg() locks it
 * @msg:   a message of its ingress_msg, as it is before they are taken
 * @bytes: how many are taken
 *
 * None if the message was redirected to @sk.  More or fewer than @bytes if a
 * program has changed the skb's length.
 */
u32 sms_recvq_own_bytes(struct sock *sk, const struct sk_msg *msg, u32 bytes)
{
	u32 had;

	if (!sk_msg_from_self(msg, sk))
		return 0;
	if (!READER_MOVES_COPIED_SEQ || sk->sk_family == AF_UNIX ||
	    sk_msg_from_parser(msg))
		return bytes;
	had = msg->skb->len - msg->sg.size;
	return skb_progress(msg->skb, had + bytes) -
	       skb_progress(msg->skb, had);
}

/*
 * Kernels without tcp_bpf_recvmsg_parser() let recvmsg() take what is a
 * program's.  But the program is called for all of it when the next segment
 * comes, or, if it is a parser, when the socket isn't locked any more.  Of an
 * skb that a reader has had in part by then it gets all bytes again, and a
 * parser loses its place.  So on these kernels, too, the queue is left to a
 * program.
 *
 * Not to a verdict program whose psock was stopped, by an error or by a FIN that
 * was redirected to it: the kernel drops what that one passes, and what is here
 * came before it.  Nor to one that isn't called: it stays in psock->progs, and
 * recvmsg() goes by it, when its map has lost it before the socket left the map.
 */
static bool is_programs(struct sock *sk, struct sk_psock *psock)
{
	if (!sk_psock_strp_enabled(psock))
		return false;
	if (!sk_psock_test_state(psock, SK_PSOCK_TX_ENABLED) &&
	    !parser_at_work(sk, psock))
		return false;
	if (sms_tcp_sk_has_verdict(sk))
		return true;
	/* tcp_read_sock() never gets beyond the urgent mark. */
	return !tcp_sk(sk)->urg_data;
}

/* Whether a parser that was left bytes will never read them. */
static bool parser_gave_up(struct sock *sk, const struct strparser *strp)
{
	return strp->stopped || (sk->sk_shutdown & RCV_SHUTDOWN &&
				 strp->need_bytes > tcp_inq(sk));
}

/*
 * The queue is a program's, but for an skb that was partly read before it came.
 *
 * A parser has a place of its own in the stream and goes on from there.  Where
 * recvmsg() takes from the queue all the same, a parser that holds the start of
 * a message resumes where it was; otherwise it would start again at the skb's
 * first byte.
 */
static void look_at_programs_queue(struct sock *sk, struct sk_psock *psock,
				   struct sms_recvq *q)
{
	const struct strparser *strp = parser_at_work(sk, psock);
	const struct sk_buff *head = skb_peek(&sk->sk_receive_queue);
	u32 seq = tcp_sk(sk)->copied_seq;
	bool partly_read = after(seq, TCP_SKB_CB(head)->seq) &&
			   before(seq, TCP_SKB_CB(head)->end_seq);

	q->owner = SMS_RECVQ_PROGRAM;
	q->bytes = max_t(s32, TCP_SKB_CB(head)->end_seq - seq, 1);
	if (!strp && partly_read)
		q->owner = SMS_RECVQ_FIRST;
	else if (strp && !sms_tcp_sk_has_verdict(sk) &&
		 ((partly_read && !strp->skb_head) || parser_gave_up(sk, strp)))
		q->owner = SMS_RECVQ_ONE_SKB;
}

/*
 * The first skb begins beyond copied_seq, and what is missing isn't on its way
 * any more: the kernel has dropped it.  Go on behind it, or tcp_recv_skb() would
 * take all that follows for bytes read long ago.
 */
static void skip_hole(struct sock *sk)
{
	if (before(tcp_sk(sk)->copied_seq, seq_taken(sk)))
		WRITE_ONCE(tcp_sk(sk)->copied_seq, seq_taken(sk));
}

/* What was set aside for want of room doesn't come by itself. */
static void restart_backlog(struct sock *sk, struct sk_psock *psock)
{
	if (unlikely(sk_psock_skb_aside(psock)) && has_room(sk))
		sk_psock_restart_backlog(psock);
}

/* Both queues are the reader's. */
static void look_at_order(struct sock *sk, struct sk_psock *psock,
			  struct sms_recvq *q)
{
	u32 seq = tcp_sk(sk)->copied_seq;

	if (!has_bytes(psock) || !state_test(psock, STATE_LOOKED)) {
		state_set_order(psock, tcp_sk(sk)->rcv_nxt, 0);
	} else if (!before(seq, state_mark(psock)) ||
		   after(state_mark(psock), tcp_sk(sk)->rcv_nxt)) {
		state_set_order(psock, tcp_sk(sk)->rcv_nxt,
				sk_psock_get_msg_len_nolock(psock));
	}
	if (state_ahead(psock)) {
		q->msg_bytes = state_ahead(psock);
		q->bytes = 0;
	} else if (own_skb_underway(sk, psock) || has_own_msg(sk, psock)) {
		q->bytes = 0;
	} else {
		skip_hole(sk);
		seq = tcp_sk(sk)->copied_seq;
		state_set(psock, STATE_OWN_READ, 0);
		q->owner = SMS_RECVQ_FIRST;
		if (before(seq, state_mark(psock)))
			q->bytes = state_mark(psock) - seq;
	}
}

/**
 * sms_recvq_look - who may take from the sk_receive_queue of a TCP socket
 * @sk:    the socket, locked by lock_sock()
 * @psock: its psock, on which the caller has a reference
 * @q:     receives the answer, good until the lock is released
 */
void sms_recvq_look(struct sock *sk, struct sk_psock *psock,
		    struct sms_recvq *q)
{
	*q = (struct sms_recvq) {
		.owner = SMS_RECVQ_AFTER,
		.bytes = INT_MAX,
		.msg_bytes = INT_MAX,
	};
	restart_backlog(sk, psock);
	if (sk_psock_queue_empty(psock) && !sk_psock_strp_enabled(psock))
		state_set(psock, STATE_OWN_READ, 0);
	/* tcp_eat_skb() counts what a program has added to what it drops, too. */
	if (READER_MOVES_COPIED_SEQ && skb_queue_empty(&sk->sk_receive_queue) &&
	    unlikely(after(tcp_sk(sk)->copied_seq, tcp_sk(sk)->rcv_nxt)))
		WRITE_ONCE(tcp_sk(sk)->copied_seq, tcp_sk(sk)->rcv_nxt);

	if (!skb_queue_empty(&sk->sk_receive_queue)) {
		if (is_programs(sk, psock))
			look_at_programs_queue(sk, psock, q);
		else
			look_at_order(sk, psock, q);
	} else if (!state_test(psock, STATE_LOOKED)) {
		state_set_order(psock, tcp_sk(sk)->rcv_nxt, 0);
	}
}

/**
 * sms_recvq_left_map - a socket has left its map while a reader was at it
 * @sk: a TCP socket, locked by lock_sock()
 *
 * What was in ingress_msg is gone.
 */
void sms_recvq_left_map(struct sock *sk)
{
	if (READER_MOVES_COPIED_SEQ)
		skip_hole(sk);
}

/**
 * sms_recvq_offer - have a program take what is its
 * @sk: a TCP socket, locked by lock_sock()
 *
 * Bytes that wait in sk_receive_queue although a verdict program is attached
 * came before accept() or the program did, or when memory was short, or while
 * the socket was locked.  As tcp_bpf_recvmsg_parser().  A parser gets to them
 * later, when the socket isn't locked.
 */
void sms_recvq_offer(struct sock *sk)
{
	void (*data_ready)(struct sock *sk) = READ_ONCE(sk->sk_data_ready);

	if (unlikely(!skb_queue_empty(&sk->sk_receive_queue)))
		data_ready(sk);
}

/**
 * sms_recvq_underway - whether bytes are on their way to ingress_msg
 * @sk:    a TCP socket, locked by lock_sock()
 * @psock: its psock, on which the caller has a reference
 *
 * If not, they are there: look at ingress_msg afterwards.
 */
bool sms_recvq_underway(struct sock *sk, struct sk_psock *psock)
{
	return own_skb_underway(sk, psock);
}

/**
 * sms_recvq_awaits_program - whether bytes wait for a program
 * @sk: a TCP socket, locked by lock_sock()
 * @q:  what the last look said, since when the lock wasn't released
 *
 * Nothing promises that the reader is woken for them: look again after a while.
 *
 * A FIN alone is none: where a parser doesn't pass it on, recvmsg() reports it
 * before the parser has come to it, and nobody wakes a reader afterwards.
 */
bool sms_recvq_awaits_program(struct sock *sk, const struct sms_recvq *q)
{
	const struct sk_buff *skb = skb_peek(&sk->sk_receive_queue);

	if (likely(!skb) || q->owner != SMS_RECVQ_PROGRAM)
		return false;
	return sms_tcp_sk_has_verdict(sk) || skb->len ||
	       !skb_queue_is_last(&sk->sk_receive_queue, skb);
}

/**
 * sms_recvq_readable - whether a look would find bytes for the reader
 * @sk: a TCP socket
 *
 * tcp_bpf's part of tcp_stream_is_readable().  Lockless, a hint.
 */
bool sms_recvq_readable(struct sock *sk)
{
	struct sk_psock *psock;
	bool readable;

	rcu_read_lock();
	psock = sk_psock(sk);
	readable = (psock && !list_empty(&psock->ingress_msg)) ||
		   (!skb_queue_empty_lockless(&sk->sk_receive_queue) &&
		    !(psock && is_programs(sk, psock)));
	rcu_read_unlock();
	return readable;
}

/*
 * How far the reader of ingress_msg may move copied_seq: to what it hasn't got
 * yet.  A parser's place is that; tcp_bpf_strp_read_sock() counts bytes as read
 * that it queued in an earlier call, and recvmsg() counts them again and goes
 * beyond it.  It may have left, and its place be within an skb that it stopped
 * at; one that is far behind has been for long.
 */
static u32 copied_seq_limit(struct sock *sk, struct sk_psock *psock)
{
	u32 parser = sk_psock_parser_seq(sk, psock), limit;

	if (parser_at_work(sk, psock))
		return parser;
	limit = tcp_sk(sk)->copied_seq + bytes_pending(sk);
	return after(parser, limit) && !after(parser, tcp_sk(sk)->rcv_nxt) ?
	       parser : limit;
}

/**
 * sms_recvq_account - count bytes that were read from ingress_msg
 * @sk:    a TCP socket, locked by lock_sock()
 * @psock: its psock, on which the caller has a reference
 * @own:   how far they move it in its own stream, see sms_recvq_own_bytes()
 * @taken: how many there were
 *
 * As the end of tcp_bpf_recvmsg_parser(): make room in the window.  For own
 * bytes it is done when the program has left, too, or plain TCP would find a
 * hole in front of what it receives.  Where tcp_read_sock() has moved copied_seq
 * for the program, it has told the sender of no room: there was none yet.
 */
void sms_recvq_account(struct sock *sk, struct sk_psock *psock, u32 own,
		       u32 taken)
{
	u32 ahead = state_ahead(psock);
	struct tcp_sock *tp = tcp_sk(sk);
	u32 seq, limit;

	restart_backlog(sk, psock);
	if (unlikely(ahead == FIELD_MAX(STATE_AHEAD)))
		/* It may have been more: all that is there now. */
		state_set_order(psock, state_mark(psock),
				sk_psock_get_msg_len_nolock(psock));
	else if (unlikely(ahead))
		state_set_order(psock, state_mark(psock),
				ahead - min(ahead, taken));
	if (own && !state_test(psock, STATE_OWN_READ))
		state_set(psock, STATE_OWN_READ, STATE_OWN_READ);

	if (!(own || sms_tcp_sk_has_verdict(sk)))
		return;
	if (READER_MOVES_COPIED_SEQ) {
		seq = tp->copied_seq + own;
		limit = copied_seq_limit(sk, psock);
		WRITE_ONCE(tp->copied_seq, after(seq, limit) ? limit : seq);
		sms_tcp_rcv_space_adjust(sk);
	}
	if (taken)
		sms_tcp_cleanup_rbuf(sk, taken);
}

/**
 * sms_recvq_account_fin - count the FIN at the end of @sk's own stream
 * @sk: a TCP socket, locked by lock_sock()
 */
void sms_recvq_account_fin(struct sock *sk)
{
	struct tcp_sock *tp = tcp_sk(sk);

	if (READER_MOVES_COPIED_SEQ && tp->copied_seq + 1 == tp->rcv_nxt)
		WRITE_ONCE(tp->copied_seq, tp->rcv_nxt);
}

/*
 * Whether unix_stream_read_skb() has taken an skb off sk_receive_queue and no
 * program has it yet, or one isn't queued yet: its memory is the sender's.  So
 * is that of an skb that was redirected to a socket which has no room for it.
 */
static bool unix_skb_underway(struct sock *sk)
{
	/* Stays for as long as @sk is connected. */
	const struct sock *from = READ_ONCE(unix_sk(sk)->peer);
	struct sk_buff_head *queue = &sk->sk_receive_queue;
	struct sk_buff *skb;
	int queued = 0;
	bool underway;

	spin_lock(&queue->lock);
	skb_queue_walk(queue, skb)
		queued += skb->truesize;
	underway = from && sk_wmem_alloc_get(from) != queued;
	spin_unlock(&queue->lock);
	return underway;
}

/*
 * Waits, but not for long, until that isn't so any more: nobody might wake a
 * reader that is told to come back.  Returns whether it isn't.
 */
static bool unix_settles(struct sock *sk)
{
	int left = SETTLES_WITHIN;

	while (unix_skb_underway(sk)) {
		if (!left--)
			return false;
		schedule_timeout_uninterruptible(1);
	}
	return true;
}

/* For how many jiffies looks have found the same first skb. */
static u32 unix_head_age(struct sock *sk, struct sk_psock *psock)
{
	unsigned long head = (unsigned long)READ_ONCE(sk->sk_receive_queue.next);
	u32 now = jiffies;

	head = (head >> L1_CACHE_SHIFT) & FIELD_MAX(STATE_AHEAD);
	/* The mark is never 0, so it may be a jiffy ahead. */
	if (state_mark(psock) && state_ahead(psock) == head)
		return max((s32)(now - state_mark(psock)), 0);
	state_set(psock, STATE_AHEAD | STATE_MARK,
		  FIELD_PREP(STATE_AHEAD, head) |
		  FIELD_PREP(STATE_MARK, now | 1));
	return 0;
}

/* The queue is a program's, which isn't called for what came before it. */
static void look_at_older_unix(struct sock *sk, struct sk_psock *psock,
			       struct sms_recvq *q)
{
	u32 age = unix_head_age(sk, psock);

	if (age > GIVEN_UP_AFTER && unix_skb_underway(sk) &&
	    !own_skb_underway(sk, psock)) {
		q->owner = SMS_RECVQ_AFTER;
		/* The next skb may be where the first one was in memory. */
		state_set(psock, STATE_AHEAD | STATE_MARK, 0);
	} else if (!state_test(psock, STATE_LOOKED) ||
		   (age > FORGOTTEN_AFTER && !unix_skb_underway(sk))) {
		q->owner = SMS_RECVQ_FIRST;
	}
}

/**
 * sms_recvq_look_unix - who may take from the sk_receive_queue of a unix socket
 * @sk:    the socket, locked by u->iolock
 * @psock: its psock, on which the caller has a reference
 * @ended: whether nothing is sent to it any more
 * @q:     receives the answer, good until the lock is released
 *
 * With a verdict program, bytes pass through the queue on their way to
 * ingress_msg, the first skb each time that one is queued.  Who takes them
 * there, as recvmsg() does now and then, overtakes those that are further on
 * their way.  So they are the program's, but for what came before the program,
 * and for what is left when the stream has ended.
 *
 * What came before the program is FIRST when nothing is on its way to
 * ingress_msg, which is empty: then sms_recvq_adopt_unix() puts it there.  So is
 * what has been there for long, as it came between two programs.  If it can't be
 * told for a second whether something is on its way, recvmsg()'s order will do.
 */
void sms_recvq_look_unix(struct sock *sk, struct sk_psock *psock, bool ended,
			 struct sms_recvq *q)
{
	*q = (struct sms_recvq) {
		.owner = SMS_RECVQ_AFTER,
		.bytes = INT_MAX,
		.msg_bytes = INT_MAX,
	};
	if (!sk_psock_strp_enabled(psock)) {
		/* A later program won't be called for what comes until then. */
		state_set(psock, STATE_ORDER | STATE_OWN_READ, 0);
		/* What one has passed that has left is older. */
		if (own_skb_underway(sk, psock))
			q->owner = SMS_RECVQ_PROGRAM;
		return;
	}
	if (ended && !own_skb_underway(sk, psock))
		return;

	q->owner = SMS_RECVQ_PROGRAM;
	/* u->iolock keeps no sender out. */
	if (skb_queue_empty_lockless(&sk->sk_receive_queue))
		state_set(psock, STATE_ORDER, STATE_LOOKED);
	else if (sk_psock_queue_empty(psock))
		look_at_older_unix(sk, psock, q);
	else
		/* By the next time the first skb may be another at its address. */
		state_set(psock, STATE_AHEAD | STATE_MARK, 0);
}

static int skb_to_msg(struct sk_buff *skb, struct sk_msg *msg, u32 offset)
{
	u32 len = skb->len - offset;
	int ret;

	ret = skb_to_sgvec(skb, msg->sg.data, offset, len);
	if (ret < 0) {
		/* More fragments than a message has entries for. */
		if (skb_linearize(skb))
			return -ENOMEM;
		ret = skb_to_sgvec(skb, msg->sg.data, offset, len);
	}
	if (ret < 0)
		return ret;
	msg->sg.end = ret;
	msg->sg.size = len;
	return 0;
}

static void unix_unlink_first(struct sock *sk, u32 unread)
{
	struct sk_buff_head *queue = &sk->sk_receive_queue;

	spin_lock(&queue->lock);
	__skb_unlink(skb_peek(queue), queue);
	unix_inq_sub(unix_sk(sk), unread);
	spin_unlock(&queue->lock);
}

/*
 * What unix_stream_read_skb() and sk_psock_skb_ingress_self() do with the first
 * skb, without a program.  An out-of-band byte that was read is there still, in
 * an skb without unread bytes.
 */
static int unix_adopt_skb(struct sock *sk, struct sk_psock *psock)
{
	struct sk_buff *skb = skb_peek(&sk->sk_receive_queue);
	struct sk_msg *msg;
	int ret;

	if (unlikely(unix_skb_consumed(skb) >= skb->len)) {
		unix_unlink_first(sk, 0);
		consume_skb(skb);
		return 0;
	}
	msg = kzalloc(sizeof(*msg), GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	sk_msg_init(msg);
	ret = skb_to_msg(skb, msg, unix_skb_consumed(skb));
	if (ret) {
		kfree(msg);
		return ret;
	}

	unix_unlink_first(sk, msg->sg.size);
	skb_set_owner_r(skb, sk);
	msg->skb = skb;
	sk_msg_mark_self(msg, sk);
	sk_psock_queue_msg(psock, msg);
	return 0;
}

/*
 * The last skb of those that can be moved to ingress_msg, or NULL if none can:
 * some are on their way there, or there are out-of-band bytes or passed files,
 * which are left to the kernel's function as @to_kernel says.
 */
static struct sk_buff *unix_last_to_adopt(struct sock *sk,
					  struct sk_psock *psock,
					  bool *to_kernel)
{
	struct sk_buff_head *queue = &sk->sk_receive_queue;
	const struct unix_sock *u = unix_sk(sk);
	struct sk_buff *last = NULL;

	if (!unix_settles(sk) || own_skb_underway(sk, psock))
		return NULL;
	spin_lock(&queue->lock);
	*to_kernel = unix_consumed_at < 0 || unix_has_oob(u) ||
		     atomic_read(&u->scm_stat.nr_fds) ||
		     !sk_psock_test_state(psock, SK_PSOCK_TX_ENABLED);
	if (!*to_kernel)
		last = skb_peek_tail(queue);
	spin_unlock(&queue->lock);
	return last;
}

/**
 * sms_recvq_adopt_unix - move what came before a program to ingress_msg
 * @sk:    a unix stream socket of which a look said FIRST; u->iolock hasn't
 *	   been released since
 * @psock: its psock
 * @len:   how many bytes are wanted; the rest is better off where it is, should
 *	   the socket leave its map
 * @q:     what the look said; becomes what it is now
 *
 * Under the lock no skb is taken off sk_receive_queue.  Those that were have
 * been seen to be no longer the sender's; then they are in
 * sk_psock_verdict_recv(), behind its rcu_read_lock(), or in ingress_msg.
 * Sleeps.
 *
 * Return: 0 or -ENOMEM.
 */
int sms_recvq_adopt_unix(struct sock *sk, struct sk_psock *psock,
			 size_t len, struct sms_recvq *q)
{
	struct sk_buff *skb, *last;
	bool to_kernel = false;
	size_t adopted = 0;
	int ret;

	q->owner = SMS_RECVQ_PROGRAM;
	last = unix_last_to_adopt(sk, psock, &to_kernel);
	if (to_kernel)
		q->owner = SMS_RECVQ_AFTER;
	if (!last)
		return 0;

	synchronize_rcu();
	/* In this order, or one that moves on is seen in neither. */
	if (own_skb_underway(sk, psock) || !sk_psock_queue_empty(psock))
		return 0;
	/* Stopped meanwhile, it would drop them. */
	if (!sk_psock_test_state(psock, SK_PSOCK_TX_ENABLED)) {
		q->owner = SMS_RECVQ_AFTER;
		return 0;
	}

	do {
		skb = skb_peek(&sk->sk_receive_queue);
		adopted += skb->len - unix_skb_consumed(skb);
		ret = unix_adopt_skb(sk, psock);
	} while (!ret && skb != last && adopted < len &&
		 sk_psock_test_state(psock, SK_PSOCK_TX_ENABLED));
	/* Some are better than none. */
	return sk_psock_queue_empty(psock) ? ret : 0;
}

/* Returns where the only word differs that was 0 and is @now, or -1. */
static int __init word_that_became(const char *was, const char *is, u32 now)
{
	const size_t size = sizeof_field(struct sk_buff, cb);
	int i, at = -1;

	for (i = 0; i < size; i += sizeof(now)) {
		if (!memcmp(was + i, is + i, sizeof(now)))
			continue;
		if (at >= 0 || memcmp(is + i, &now, sizeof(now)))
			return -1;
		at = i;
	}
	return at;
}

/* Sends more bytes over a pair of unix sockets than it reads, and compares. */
static int __init try_unix_pair(struct socket *from, struct socket *to)
{
	char bytes[8] = {}, cb[sizeof_field(struct sk_buff, cb)];
	struct kvec vec = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	const struct sk_buff *skb;
	struct msghdr msg = {};
	int ret;

	ret = from->ops->socketpair(from, to);
	if (ret)
		return ret;
	ret = kernel_sendmsg(from, &msg, &vec, 1, sizeof(bytes));
	if (ret < 0)
		return ret;
	skb = skb_peek(&to->sk->sk_receive_queue);
	if (ret != sizeof(bytes) || !skb)
		return -EIO;
	memcpy(cb, skb->cb, sizeof(cb));
	vec.iov_len = 3;
	ret = kernel_recvmsg(to, &msg, &vec, 1, 3, MSG_DONTWAIT);
	if (ret != 3)
		return ret < 0 ? ret : -EIO;
	unix_consumed_at = word_that_became(cb, skb->cb, 3);
	return unix_consumed_at < 0 ? -ENOENT : 0;
}

static int __init find_unix_consumed(void)
{
	struct socket *from, *to;
	int ret;

	ret = sock_create_kern(&init_net, AF_UNIX, SOCK_STREAM, 0, &from);
	if (ret)
		return ret;
	ret = sock_create_kern(&init_net, AF_UNIX, SOCK_STREAM, 0, &to);
	if (!ret) {
		ret = try_unix_pair(from, to);
		sock_release(to);
	}
	sock_release(from);
	return ret;
}

/**
 * sms_recvq_init - find out where af_unix.c counts what was read of an skb
 *
 * That is in a struct which newer kernels keep to themselves.  Says in the
 * kernel log if it can't be found.  Process context, sleeps.
 */
void __init sms_recvq_init(void)
{
	int ret = sms_sockmap_takes_unix() ? find_unix_consumed() : 0;

	if (ret)
		pr_warn("can't find out how this kernel counts what was read of a unix socket (error %d): bytes read before a program came may come again\n",
			ret);
}
