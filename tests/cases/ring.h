/* SPDX-License-Identifier: GPL-2.0 */
/* As much of io_uring as it takes to splice, by the system calls themselves. */
#ifndef CASES_RING_H
#define CASES_RING_H

#include <stddef.h>
#include <linux/io_uring.h>

struct ring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

/* Skips the case on a kernel without io_uring. */
void ring_open(struct ring *r);
void ring_splice(struct ring *r, int fd, int pipe_wr, size_t len);
/* The result of the request, or -ETIME when it has none within that time. */
int ring_result(struct ring *r, int ms);

#endif
