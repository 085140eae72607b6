/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The tracepoints sockmap_splice:*, for perf, trace-cmd and bpftrace.  A socket
 * is told by its address in the kernel, its address family and its ports; a
 * unix socket has no ports.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM sockmap_splice

#if !defined(SOCKMAP_SPLICE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define SOCKMAP_SPLICE_TRACE_H

#include <linux/tracepoint.h>
#include <net/sock.h>

#ifndef SOCKMAP_SPLICE_TRACE_ENUMS
#define SOCKMAP_SPLICE_TRACE_ENUMS
/**
 * enum sms_copied - why bytes were copied into the pipe
 * @SMS_COPIED_NOT:   they weren't: the pipe got their page
 * @SMS_COPIED_HEAD:  they are in a kmalloc()ed skb head
 * @SMS_COPIED_PAGE:  their page is a slab's or has no references
 * @SMS_COPIED_PARAM: the parameter copy says so
 */
enum sms_copied {
	SMS_COPIED_NOT,
	SMS_COPIED_HEAD,
	SMS_COPIED_PAGE,
	SMS_COPIED_PARAM,
};

/**
 * enum sms_unload_step - what unloading has got done
 * @SMS_UNLOAD_UNHOOKED: no task is sent to the reader any more
 * @SMS_UNLOAD_WOKEN:    every sleeper has been woken
 * @SMS_UNLOAD_LEFT:     the last task has left the reader
 */
enum sms_unload_step { SMS_UNLOAD_UNHOOKED, SMS_UNLOAD_WOKEN, SMS_UNLOAD_LEFT };
#endif

TRACE_DEFINE_ENUM(SMS_COPIED_HEAD);
TRACE_DEFINE_ENUM(SMS_COPIED_PAGE);
TRACE_DEFINE_ENUM(SMS_COPIED_PARAM);
TRACE_DEFINE_ENUM(SMS_UNLOAD_UNHOOKED);
TRACE_DEFINE_ENUM(SMS_UNLOAD_WOKEN);
TRACE_DEFINE_ENUM(SMS_UNLOAD_LEFT);

/* A call of splice(2) ends: bytes, 0 for the end of file, or an error. */
TRACE_EVENT(sockmap_splice_served,

	TP_PROTO(const struct sock *sk, size_t len, ssize_t ret),

	TP_ARGS(sk, len, ret),

	TP_STRUCT__entry(
		__field(const void *, skaddr)
		__field(__u16, family)
		__field(__u16, sport)
		__field(__u16, dport)
		__field(size_t, len)
		__field(ssize_t, ret)
	),

	TP_fast_assign(
		__entry->skaddr = sk;
		__entry->family = sk->sk_family;
		__entry->sport = sk->sk_num;
		__entry->dport = ntohs(sk->sk_dport);
		__entry->len = len;
		__entry->ret = ret;
	),

	TP_printk("sk=%p family=%u sport=%u dport=%u len=%zu ret=%zd",
		  __entry->skaddr, __entry->family, __entry->sport,
		  __entry->dport, __entry->len, __entry->ret)
);

/* Bytes were copied into the pipe, and why their page wasn't shared. */
TRACE_EVENT(sockmap_splice_copied,

	TP_PROTO(const struct sock *sk, unsigned int bytes, int reason),

	TP_ARGS(sk, bytes, reason),

	TP_STRUCT__entry(
		__field(const void *, skaddr)
		__field(__u16, family)
		__field(__u16, sport)
		__field(__u16, dport)
		__field(unsigned int, bytes)
		__field(int, reason)
	),

	TP_fast_assign(
		__entry->skaddr = sk;
		__entry->family = sk->sk_family;
		__entry->sport = sk->sk_num;
		__entry->dport = ntohs(sk->sk_dport);
		__entry->bytes = bytes;
		__entry->reason = reason;
	),

	TP_printk("sk=%p family=%u sport=%u dport=%u bytes=%u reason=%s",
		  __entry->skaddr, __entry->family, __entry->sport,
		  __entry->dport, __entry->bytes,
		  __print_symbolic(__entry->reason,
				   { SMS_COPIED_HEAD, "head" },
				   { SMS_COPIED_PAGE, "page" },
				   { SMS_COPIED_PARAM, "param" }))
);

/*
 * A unix socket's reader found nothing in ingress_msg and called the kernel's
 * own function, which gave bytes, 0 for the end of file, or an error.
 */
TRACE_EVENT(sockmap_splice_passed,

	TP_PROTO(const struct sock *sk, ssize_t ret),

	TP_ARGS(sk, ret),

	TP_STRUCT__entry(
		__field(const void *, skaddr)
		__field(ssize_t, ret)
	),

	TP_fast_assign(
		__entry->skaddr = sk;
		__entry->ret = ret;
	),

	TP_printk("sk=%p ret=%zd", __entry->skaddr, __entry->ret)
);

/* A step of unloading is done. */
TRACE_EVENT(sockmap_splice_unload,

	TP_PROTO(int step),

	TP_ARGS(step),

	TP_STRUCT__entry(
		__field(int, step)
	),

	TP_fast_assign(
		__entry->step = step;
	),

	TP_printk("step=%s",
		  __print_symbolic(__entry->step,
				   { SMS_UNLOAD_UNHOOKED, "unhooked" },
				   { SMS_UNLOAD_WOKEN, "woken" },
				   { SMS_UNLOAD_LEFT, "left" }))
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
