// SPDX-License-Identifier: GPL-2.0
/*
 * From bytes in pages to pipe buffers.
 *
 * A gift, here, is a page that goes into the pipe by reference instead of a
 * copy of its bytes.  It isn't PIPE_BUF_FLAG_GIFT, which a writer gives with a
 * page that it has no more use for: nobody may steal these pages.
 *
 * A page that can be shared is given to the pipe by reference.  A run of bytes
 * is one buffer however many pages of a compound page it spans, and grows when
 * the next run follows it in the same compound page: pipes have 16 slots by
 * default, and readers of pipes take offsets and lengths beyond PAGE_SIZE
 * (plain TCP splice hands them out too).
 *
 * What can't be shared is copied into the page fragment of the task, so that
 * small copies fill pages together.
 *
 * No buffer is ever PIPE_BUF_FLAG_CAN_MERGE: a later write() to the pipe must
 * not append to a page that others hold.  Its @private says whether it is a
 * copy; to nosteal_pipe_buf_ops that means nothing.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/net.h>
#include <linux/pipe_fs_i.h>
#include <net/sock.h>

#include "gift.h"
#include "stats.h"
#include "trace.h"

static bool always_copy;
module_param_named(copy, always_copy, bool, 0644);
MODULE_PARM_DESC(copy, "Copy always, share no page with a pipe (default: off)");

static char *gift_address(struct page *page, unsigned int offset)
{
	return (char *)page_address(page) + offset;
}

/**
 * sms_gift_pipe_full - whether a pipe has no slot left
 * @pipe: the pipe, locked
 */
bool sms_gift_pipe_full(const struct pipe_inode_info *pipe)
{
	return pipe_full(pipe->head, pipe->tail, pipe->max_usage);
}

static bool gift_grows(const struct sms_gift *gift, struct page *page,
		       unsigned int offset)
{
	const struct pipe_buffer *buf = gift->last;

	return buf && compound_head(buf->page) == compound_head(page) &&
	       gift_address(buf->page, buf->offset) + buf->len ==
	       gift_address(page, offset);
}

/* Returns false, and has done nothing, when the pipe is full. */
static bool gift_push(struct sms_gift *gift, struct page *page,
		      unsigned int offset, unsigned int len, bool copied)
{
	struct pipe_inode_info *pipe = gift->pipe;

	if (gift_grows(gift, page, offset)) {
		gift->last->len += len;
		return true;
	}
	if (sms_gift_pipe_full(pipe))
		return false;

	get_page(page);
	gift->last = &pipe->bufs[pipe->head & (pipe->ring_size - 1)];
	*gift->last = (struct pipe_buffer) {
		.page = page,
		.offset = offset,
		.len = len,
		.ops = &nosteal_pipe_buf_ops,
		.flags = 0,
		.private = copied,
	};
	pipe->head++;
	gift->count++;
	return true;
}

static int gift_copy(struct sms_gift *gift, struct sock *sk, const char *from,
		     unsigned int len)
{
	struct page_frag *frag = sk_page_frag(sk);
	unsigned int copied = 0;

	while (copied < len) {
		unsigned int n;

		/* Not sk_page_frag_refill(): when it fails, it shrinks sk_sndbuf. */
		if (!skb_page_frag_refill(32, frag, sk->sk_allocation)) {
			sms_stats_add(sk, SMS_STATS_NO_MEMORY, 1);
			return copied ? copied : -ENOMEM;
		}

		n = min(len - copied, frag->size - frag->offset);
		if (!gift_push(gift, frag->page, frag->offset, n, true))
			break;
		/* Nobody reads it yet: the pipe is locked. */
		memcpy(gift_address(frag->page, frag->offset), from + copied, n);
		frag->offset += n;
		copied += n;
	}
	return copied;
}

/* What counts the bytes that were copied for a reason. */
static const enum sms_stats_counter copied_counter[] = {
	[SMS_COPIED_HEAD]	= SMS_STATS_COPIED_HEAD,
	[SMS_COPIED_PAGE]	= SMS_STATS_COPIED_PAGE,
	[SMS_COPIED_PARAM]	= SMS_STATS_COPIED_PARAM,
};

static enum sms_copied why_copy(struct page *page, bool in_head)
{
	if (unlikely(READ_ONCE(always_copy)))
		return SMS_COPIED_PARAM;
	if (in_head)
		return SMS_COPIED_HEAD;
	return likely(sendpage_ok(page)) ? SMS_COPIED_NOT : SMS_COPIED_PAGE;
}

/**
 * sms_gift_bytes - put bytes into the pipe
 * @gift:   the run of bytes that these are the next of
 * @sk:     socket they come from, locked; its page fragment takes copies
 * @page:   page in which they begin
 * @offset: where, in bytes; may be beyond the first page of a compound page
 * @len:    how many, at least 1; they may go on into the pages behind @page
 * @in_head: whether they are in a kmalloc()ed skb head, which goes when the skb
 *	    does, whatever references its pages have
 *
 * The caller keeps @page alive until this returns; the pipe takes a reference
 * of its own.  sendpage_ok() is the kernel's own answer to which pages can't be
 * shared anyway: those of slabs and those without a reference count.
 *
 * Return: bytes put, fewer than @len when the pipe became full or memory
 * short on the way; 0 when the pipe was full; -ENOMEM.
 */
int sms_gift_bytes(struct sms_gift *gift, struct sock *sk, struct page *page,
	       unsigned int offset, unsigned int len, bool in_head)
{
	enum sms_copied why = why_copy(page, in_head);
	int n;

	if (likely(why == SMS_COPIED_NOT)) {
		if (!gift_push(gift, page, offset, len, false))
			return 0;
		gift->bytes += len;
		return len;
	}

	n = gift_copy(gift, sk, gift_address(page, offset), len);
	if (n > 0) {
		sms_stats_add(sk, copied_counter[why], n);
		trace_sockmap_splice_copied(sk, n, why);
	}
	return n;
}

/**
 * sms_gift_count - count a run of bytes
 * @gift: the run, complete
 * @sk:   the socket they came from
 *
 * Copied ones have been counted, each with its reason.
 */
void sms_gift_count(const struct sms_gift *gift, const struct sock *sk)
{
	sms_stats_add(sk, SMS_STATS_GIFTED, gift->bytes);
	sms_stats_add(sk, SMS_STATS_PIPE_BUFFERS, gift->count);
}

/**
 * sms_gift_take_back - take the last bytes out of the pipe again
 * @gift:   the run of bytes
 * @excess: how many, at most what was put
 */
void sms_gift_take_back(struct sms_gift *gift, size_t excess)
{
	struct pipe_inode_info *pipe = gift->pipe;

	while (excess && gift->count) {
		struct pipe_buffer *buf;
		size_t n;

		buf = &pipe->bufs[(pipe->head - 1) & (pipe->ring_size - 1)];
		n = min_t(size_t, excess, buf->len);
		excess -= n;
		buf->len -= n;
		if (!buf->private)
			gift->bytes -= n;
		if (buf->len)
			return;
		pipe_buf_release(pipe, buf);
		pipe->head--;
		gift->count--;
	}
	gift->last = NULL;
}
