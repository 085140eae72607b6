/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_GIFT_H
#define SOCKMAP_SPLICE_GIFT_H

#include <linux/types.h>

struct page;
struct pipe_buffer;
struct pipe_inode_info;
struct sock;

/**
 * struct sms_gift - a run of bytes on its way into a pipe
 * @pipe:  the pipe, locked by the caller for as long as the gift is used
 * @last:  the pipe buffer filled last, NULL before the first
 * @count: pipe buffers filled
 * @bytes: bytes given with their page
 */
struct sms_gift {
	struct pipe_inode_info *pipe;
	struct pipe_buffer *last;
	unsigned int count;
	size_t bytes;
};

bool sms_gift_pipe_full(const struct pipe_inode_info *pipe);
int sms_gift_bytes(struct sms_gift *gift, struct sock *sk, struct page *page,
	       unsigned int offset, unsigned int len, bool in_head);
void sms_gift_count(const struct sms_gift *gift, const struct sock *sk);
void sms_gift_take_back(struct sms_gift *gift, size_t excess);

#endif
