// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring without its library: the tests have to run from an initramfs with nothing in it, and all
 * that is wanted is one IORING_OP_SPLICE after the other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ring.h"
#include "test.h"

#define ENTRIES 4

static void *map_ring(int fd, size_t size, uint64_t offset)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);

	expect(at != MAP_FAILED, "mmap of io_uring: %s", strerror(errno));
	return at;
}

void ring_open(struct ring *r)
{
	struct io_uring_params p = { 0 };
	char *sq, *cq;

	r->fd = syscall(__NR_io_uring_setup, ENTRIES, &p);
	if (r->fd < 0)
		skip("no io_uring on this kernel: %s", strerror(errno));
	sq = map_ring(r->fd, p.sq_off.array + p.sq_entries * sizeof(unsigned int),
		      IORING_OFF_SQ_RING);
	cq = map_ring(r->fd, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
		      IORING_OFF_CQ_RING);
	r->sqes = map_ring(r->fd, p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	r->sq_tail = (unsigned int *)(sq + p.sq_off.tail);
	r->sq_mask = (unsigned int *)(sq + p.sq_off.ring_mask);
	r->sq_array = (unsigned int *)(sq + p.sq_off.array);
	r->cq_head = (unsigned int *)(cq + p.cq_off.head);
	r->cq_tail = (unsigned int *)(cq + p.cq_off.tail);
	r->cq_mask = (unsigned int *)(cq + p.cq_off.ring_mask);
	r->cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
}

void ring_splice(struct ring *r, int fd, int pipe_wr, size_t len)
{
	unsigned int tail = *r->sq_tail, slot = tail & *r->sq_mask;
	struct io_uring_sqe *sqe = &r->sqes[slot];

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_SPLICE;
	sqe->fd = pipe_wr;
	sqe->off = -1;
	sqe->splice_fd_in = fd;
	sqe->splice_off_in = -1;
	sqe->len = len;
	r->sq_array[slot] = slot;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	expect(syscall(__NR_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) == 1, "io_uring_enter: %s",
	       strerror(errno));
}

int ring_result(struct ring *r, int ms)
{
	double end = now() + ms / 1000.0;
	unsigned int head = *r->cq_head;
	int result;

	while (head == __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE)) {
		if (now() > end)
			return -ETIME;
		sleep_ms(1);
	}
	result = r->cqes[head & *r->cq_mask].res;
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return result;
}
