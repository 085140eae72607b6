# SPDX-License-Identifier: GPL-2.0
#
# A kernel's profile as a table of the README: kinds of functions by path and arm, in µs per MiB.
# What belongs to no kind is "the rest". The first kind that fits counts.

BEGIN {
	kinds = split("copying to user space,this module,sockmap (sk_msg and tcp_bpf)," \
		"pipes and splice(2),pages and memory,TCP and sockets,system calls and files," \
		"waiting and waking,the program,the rest", kind, ",")
	pattern[1] = "^(rep_movs|copy_user|_copy_to_iter|copy_page_to_iter|_?copy_to_user|memcpy|copyout|__check_object_size|check_heap_object|copy_to_)"
	pattern[3] = "^(sk_msg|__sk_msg|tcp_bpf|sk_psock|sock_map|bpf_|sk_skb)"
	pattern[4] = "(splice|pipe)"
	pattern[5] = "(page|folio|kmem|kfree|kmalloc|slab|memset|clear_|mod_.*state|free_|_alloc|memcg|mem_cgroup|obj_cgroup)"
	pattern[6] = "^(_*tcp|_*sk_|_*sock|_*skb|inet|_*ip_|_*ip4|_*ipv4|loopback|_*dev_|_*netif|napi|_*net|_*nf_|eth|release_sock|lock_sock|simple_copy|process_backlog|ktime_get|fq_|qdisc|enqueue_to|validate_xmit)"
	pattern[7] = "(syscall|entry_|fdget|_*fget|fput|vfs_|ksys|__x64_sys|do_sys|rw_verify|fsnotify|security|apparmor|aa_|touch_atime|atime|inode|file_|x64_sys|import_)"
	pattern[8] = "(sched|_wait|wait_|wake|ttwu|enqueue|dequeue|pick_|switch|timer|rcu|_lock|lock_|lock$|_unlock|softirq|irq|bh_|update_|select_|futex|clock|preempt)"
}

function kind_of(name, module, i) {
	if (module == "[sockmap_splice]")
		return 2
	if (name == "user")
		return 9
	if (module == "[bpf]")
		return 3
	for (i = 1; i <= kinds; i++)
		if (i in pattern && name ~ pattern[i])
			return i
	return kinds
}

{
	column = $1 " " $2
	if (!(column in seen)) {
		seen[column] = ++columns
		path[columns] = $1
		arm[columns] = $2
	}
	k = kind_of($4, $5)
	us[k, seen[column]] += $3
	sum[seen[column]] += $3
}

END {
	printf "\n**%s**, µs per MiB of the reading thread:\n\n| |", kernel
	for (c = 1; c <= columns; c++)
		printf " %s: %s |", path[c], arm[c]
	printf "\n|---|"
	for (c = 1; c <= columns; c++)
		printf "---|"
	for (k = 1; k <= kinds; k++) {
		printf "\n| %s |", kind[k]
		for (c = 1; c <= columns; c++)
			printf " %.0f |", us[k, c]
	}
	printf "\n| together |"
	for (c = 1; c <= columns; c++)
		printf " %.0f |", sum[c]
	print ""
}
