/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_UNIX_H
#define SOCKMAP_SPLICE_UNIX_H

#include <linux/bits.h>
#include <linux/types.h>

/*
 * In the flags of the reader's own calls to unix_stream_splice_read().
 * splice(2) refuses what isn't in SPLICE_F_ALL, and nobody below looks at it.
 */
#define SMS_UNIX_SPLICE_PASSED	BIT(31)

struct pipe_inode_info;
struct socket;

ssize_t sms_unix_splice_read(struct socket *sock, loff_t *ppos,
			 struct pipe_inode_info *pipe, size_t len,
			 unsigned int flags);

#endif
