# SPDX-License-Identifier: GPL-2.0
#
# A kernel's profile as a table of the README: what the reading thread spends by path and arm, in µs
# per MiB, and all others together. The first kind that fits a function counts; what belongs to none
# is "the rest".

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
	key = $1 " " $2 " " $3
	if (!(key in seen)) {
		seen[key] = ++rows
		path[rows] = $1
		arm[rows] = $2
		kib[rows] = $3 / 1024
	}
	row = seen[key]
	us[row, kind_of($6, $7)] += $4
	sum[row] += $4
	others[row] += $5
}

END {
	printf "\n<details><summary>%s</summary>\n\n| | KiB a call |", kernel
	for (k = 1; k <= kinds; k++)
		printf " %s |", kind[k]
	printf " together | all other threads |\n|---|---|"
	for (k = 1; k <= kinds + 2; k++)
		printf "---|"
	for (row = 1; row <= rows; row++) {
		printf "\n| %s: %s | %d |", path[row], arm[row], kib[row]
		for (k = 1; k <= kinds; k++)
			printf " %.0f |", us[row, k]
		printf " %.0f | %.0f |", sum[row], others[row]
	}
	print "\n\n</details>"
}
