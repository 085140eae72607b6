/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_TCP_H
#define SOCKMAP_SPLICE_TCP_H

#include <linux/types.h>

struct pipe_inode_info;
struct socket;

ssize_t sms_tcp_splice_read(struct socket *sock, loff_t *ppos,
			    struct pipe_inode_info *pipe, size_t len,
			    unsigned int flags);

#endif
