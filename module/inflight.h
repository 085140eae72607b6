/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_INFLIGHT_H
#define SOCKMAP_SPLICE_INFLIGHT_H

#include <linux/percpu-refcount.h>
#include <linux/wait.h>

struct sock;

/**
 * struct inflight_wait - a task asleep in the reader
 * @sock:  its place in the socket's wait queue
 * @drain: its place in the wait queue that inflight_drain() wakes
 * @head:  that queue
 */
struct inflight_wait {
	struct wait_queue_entry sock;
	struct wait_queue_entry drain;
	struct wait_queue_head *head;
};

extern struct percpu_ref inflight_ref;

int inflight_init(void);
void inflight_exit(void);
void inflight_drain(void);

/**
 * inflight_enter - count a task that is about to run the module's text
 *
 * Called by the ftrace callback, before the task is sent to the reader.
 */
static __always_inline void inflight_enter(void)
{
	percpu_ref_get(&inflight_ref);
}

void inflight_leave(void);
bool inflight_draining(void);
int inflight_restart(void);
void inflight_add_wait(struct sock *sk, struct inflight_wait *w);
void inflight_remove_wait(struct sock *sk, struct inflight_wait *w);

#endif
