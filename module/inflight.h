/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SOCKMAP_SPLICE_INFLIGHT_H
#define SOCKMAP_SPLICE_INFLIGHT_H

#include <linux/percpu-refcount.h>
#include <linux/wait.h>

struct sock;

/**
 * struct sms_inflight_wait - a task asleep in the reader
 * @sock:  its place in the socket's wait queue
 * @drain: its place in the wait queue that sms_inflight_exit() wakes
 * @head:  that queue
 */
struct sms_inflight_wait {
	struct wait_queue_entry sock;
	struct wait_queue_entry drain;
	struct wait_queue_head *head;
};

extern struct percpu_ref sms_inflight_ref;

int sms_inflight_init(void);
void sms_inflight_exit(void);

/**
 * sms_inflight_enter - count a task that is about to run the module's text
 *
 * Called by the ftrace callback, before the task is sent to the reader.
 */
static __always_inline void sms_inflight_enter(void)
{
	percpu_ref_get(&sms_inflight_ref);
}

void sms_inflight_leave(void);
bool sms_inflight_draining(void);
int sms_inflight_restart(void);
void sms_inflight_add_wait(struct sock *sk, struct sms_inflight_wait *w);
void sms_inflight_remove_wait(struct sock *sk, struct sms_inflight_wait *w);

#endif
