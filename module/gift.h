/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_GIFT_H
#define SOCKMAP_SPLICE_GIFT_H

#include <linux/types.h>

struct page;
struct pipe_buffer;
struct pipe_inode_info;
struct sock;

/**
 * struct gift - a run of bytes on its way into a pipe
 * @pipe:  the pipe, locked by the caller for as long as the gift is used
 * @last:  the pipe buffer filled last, NULL before the first
 * @count: pipe buffers filled
 * @bytes: bytes given with their page
 */
struct gift {
	struct pipe_inode_info *pipe;
	struct pipe_buffer *last;
	unsigned int count;
	size_t bytes;
};

bool gift_pipe_full(const struct pipe_inode_info *pipe);
int gift_bytes(struct gift *gift, struct sock *sk, struct page *page,
	       unsigned int offset, unsigned int len, bool in_head);
void gift_count(const struct gift *gift, const struct sock *sk);
void gift_take_back(struct gift *gift, size_t excess);

#endif
