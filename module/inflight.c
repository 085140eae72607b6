// SPDX-License-Identifier: GPL-2.0
/*
 * The tasks that are in the module's text, and how they are got out of it.
 *
 * ftrace sends tasks into the module behind the back of the module loader, so
 * no module reference stands for them, and a reader may sleep on an idle
 * connection for hours.  Unloading must not wait for that.  So:
 *
 *  - a task is counted by the ftrace callback, before its first instruction of
 *    ours, and uncounted as the last thing it does here;
 *  - a sleeper waits in two queues at once, the socket's and one of ours.  The
 *    socket may be gone when the module is unloaded; our queue isn't, and the
 *    wakeup goes to the entry the task sleeps on (wait_woken() remembers it,
 *    so a wakeup that comes before the sleep isn't lost);
 *  - a woken reader that has moved no byte yet leaves with -ERESTARTSYS and
 *    TIF_SIGPENDING, and no signal: the system call starts again, transparent
 *    to the program, in the kernel's own function.  Livepatch moves tasks in
 *    the same way;
 *  - the instructions between uncounting and the return to the kernel are
 *    covered by synchronize_rcu_tasks(), see bpf_tramp_image_put().
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <net/sock.h>

#include "inflight.h"
#include "trace.h"

struct percpu_ref sms_inflight_ref;

/* One queue per CPU: sleepers on different CPUs share no cache line. */
static DEFINE_PER_CPU(struct wait_queue_head, drain_queue);
static DECLARE_COMPLETION(all_left);
static bool draining;

static void last_left(struct percpu_ref *ref)
{
	complete(&all_left);
}

/**
 * sms_inflight_init - get ready to count
 *
 * Says so in the kernel log when there is no memory.
 *
 * Return: 0 or -ENOMEM.
 */
int __init sms_inflight_init(void)
{
	int cpu, ret;

	for_each_possible_cpu(cpu)
		init_waitqueue_head(per_cpu_ptr(&drain_queue, cpu));
	ret = percpu_ref_init(&sms_inflight_ref, last_left, 0, GFP_KERNEL);
	if (ret)
		pr_err("not loaded: out of memory\n");
	return ret;
}

/* Wakes every sleeper, and makes those leave that would go to sleep. */
static void wake_sleepers(void)
{
	int cpu;

	WRITE_ONCE(draining, true);
	/*
	 * Pairs with the queueing in sms_inflight_add_wait(): a reader either
	 * sees draining when it looks before it sleeps, or is in a queue here.
	 */
	smp_mb();
	for_each_possible_cpu(cpu)
		wake_up_all(per_cpu_ptr(&drain_queue, cpu));
	trace_sockmap_splice_unload(SMS_UNLOAD_WOKEN);
}

/**
 * sms_inflight_exit - get every task out of the module's text
 *
 * The hook must be gone, so that no task enters any more.  Sleeps until the
 * last task has left: none of them waits for bytes any longer.  One may wait
 * for the socket's lock (or iolock), for as long as another task's call holds
 * it.
 */
void sms_inflight_exit(void)
{
	wake_sleepers();

	percpu_ref_kill(&sms_inflight_ref);
	wait_for_completion(&all_left);

	/*
	 * They have left, but for their return instructions.  Without
	 * TASKS_RCU this is synchronize_rcu(), enough where the kernel isn't
	 * preemptible.
	 */
	synchronize_rcu_tasks();
	trace_sockmap_splice_unload(SMS_UNLOAD_LEFT);

	percpu_ref_exit(&sms_inflight_ref);
}

/**
 * sms_inflight_leave - uncount the current task
 *
 * The last thing that a task does in the module.
 */
void sms_inflight_leave(void)
{
	percpu_ref_put(&sms_inflight_ref);
}

/**
 * sms_inflight_draining - whether readers shall leave instead of sleep
 */
bool sms_inflight_draining(void)
{
	return READ_ONCE(draining);
}

/**
 * sms_inflight_restart - make the current system call start again
 *
 * For a reader that leaves because of sms_inflight_draining().  With the hook
 * gone, the call that starts again runs the kernel's function.  A worker of
 * io_uring has no system call to start again; it reports an interruption.
 *
 * Return: the error to leave with.
 */
int sms_inflight_restart(void)
{
	if (current->flags & (PF_KTHREAD | PF_IO_WORKER))
		return -EINTR;

	/* Makes the return to user space look at -ERESTARTSYS. */
	set_tsk_thread_flag(current, TIF_SIGPENDING);
	return -ERESTARTSYS;
}

static int drain_wake(struct wait_queue_entry *entry, unsigned int mode,
		      int sync, void *key)
{
	struct sms_inflight_wait *w = container_of(entry, struct sms_inflight_wait,
					       drain);

	return woken_wake_function(&w->sock, mode, sync, key);
}

/**
 * sms_inflight_add_wait - queue the current task for a sleep on a socket
 * @sk: the socket whose wakeups end the sleep; TCP: locked
 * @w:  room for the two queue entries; the one to sleep on is @w->sock
 *
 * sms_inflight_exit() ends the sleep as well.
 */
void sms_inflight_add_wait(struct sock *sk, struct sms_inflight_wait *w)
{
	init_waitqueue_func_entry(&w->sock, woken_wake_function);
	w->sock.private = current;
	init_waitqueue_func_entry(&w->drain, drain_wake);

	w->head = raw_cpu_ptr(&drain_queue);
	add_wait_queue(w->head, &w->drain);
	add_wait_queue(sk_sleep(sk), &w->sock);
	/* Pairs with the one in sms_inflight_exit(). */
	smp_mb();
}

/**
 * sms_inflight_remove_wait - undo sms_inflight_add_wait()
 * @sk: the socket; TCP: locked
 * @w:  what sms_inflight_add_wait() filled
 */
void sms_inflight_remove_wait(struct sock *sk, struct sms_inflight_wait *w)
{
	remove_wait_queue(sk_sleep(sk), &w->sock);
	remove_wait_queue(w->head, &w->drain);
}
