#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The parts of the test harness as single commands, for looking into one thing.

set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"
# shellcheck source=/dev/null
. "$VM_DIR/report.sh"

usage() {
	cat <<-'END'
		usage: tests/vm/vm.sh COMMAND ...
		  kernels                       the kernels that there are, whether they are in the
		                                default set, in "all" or in "debug", cached, and what
		                                was last found
		  table                         writes what the last complete run of each kernel in
		                                "all" found into the README
		  fetch KERNEL...               fetches kernels, prints where they are
		  build KERNEL...               builds the module for kernels, prints where it is
		  chroot COMMAND...             runs a command in the build chroot
		  boot KERNEL SCRIPT [FILE...]  runs a script in a guest, files are in its /files;
		                                /module has our module, MODULE=no leaves it out
		KERNEL is a series (6.12), a series of a Debian release (6.12+deb12), an ABI
		(6.12.117+deb12), "newest", each with a :FLAVOUR (6.12:rt-amd64, 6.1:cloud-arm64) if
		it isn't cloud-amd64; or a whole release (6.12.117+deb12-rt-amd64). boot takes
		parallel:KERNEL as well, for a guest whose processors run at once.
		environment: CACHE (.cache), LIMIT (seconds a guest may take, 300),
		PARAMETERS (of the kernel), QEMU_ARGUMENTS (more of them)
	END
	exit 2
}

# What is known, which of it the tests take, what is cached, and what was last found.
kernels() {
	local name target chosen found
	check_paths
	need_lists
	for name in $DEFAULT_KERNELS; do resolve_target "$name"; done >"$CACHE/default-kernels"
	all_kernels >"$CACHE/all-kernels"
	debug_kernels >"$CACHE/debug-kernels"
	printf '%-36s %-8s %-7s %s\n' kernel "in set" cached "last found"
	{
		known_kernels
		grep -h '^parallel-' "$CACHE"/{all,default}-kernels | sort -u
	} | while read -r target; do
		chosen=-
		! grep -qFx "$target" "$CACHE/all-kernels" || chosen=all
		! grep -qFx "$target" "$CACHE/default-kernels" || chosen=default
		! grep -qFx "$target" "$CACHE/debug-kernels" || chosen=debug
		found=$(last_found "$target")
		printf '%-36s %-8s %-7s %s\n' "$target" "$chosen" \
			"$([ -d "$(kernel_path "$(target_release "$target")")" ] && echo yes || echo -)" "${found:--}"
	done
}

table() {
	local others
	check_paths
	need_lists
	read -ra others <<<"${ALL_OTHERS//:/-}"
	# shellcheck disable=SC2046 # a release per word
	write_table $(all_kernels) "${others[@]}"
}

fetch() {
	local release
	prepare_kernels "$@"
	for release in "${RELEASES[@]}"; do kernel_path "$release"; done
}

build() {
	local release
	prepare_kernels "$@"
	for release in "${RELEASES[@]}"; do
		build_module "$release"
		module_path "$release"
	done
}

run_in_chroot() {
	prepare_tools
	unlock
	in_chroot "$@"
}

boot() {
	local target=$1 script=$2 dir more
	read -ra more <<<"${QEMU_ARGUMENTS:-}"
	dir=$CACHE/logs/boot-$(date +%Y%m%d-%H%M%S)-$$
	mkdir -p "$dir/job/files"
	cp "$script" "$dir/job/job"
	sed -i '1s/^\([^#]\)/#!\/bin\/sh\n\1/' "$dir/job/job"
	chmod 755 "$dir/job/job"
	shift 2
	[ $# = 0 ] || cp -r "$@" "$dir/job/files/"
	prepare_parts "$dir"
	make_job_part "$dir/job" "$dir/job.cpio"
	unlock
	cat "$dir/base-$(kernel_arch "${RELEASES[0]}").cpio" "$dir"/{"${RELEASES[0]}",job}.cpio >"$dir/initrd"
	rm "$dir"/*.cpio
	(guest_exec "$(target_machine "$target")" "$(kernel_path "${RELEASES[0]}")/vmlinuz" "$dir" \
		"${LIMIT:-300}" "${PARAMETERS:-}" "${more[@]}") || true
	rm -f "$dir/initrd"
	report_boot "$dir"
}

report_boot() {
	local dir=$1 status
	job_output "$dir"
	status=$(job_status "$dir")
	if [ -z "$status" ]; then
		last_words "$dir" >&2
		die "the guest died before the script ended, see $dir"
	fi
	kernel_complaints "$dir" >&2
	log "script ended with $status, console in $dir/console.log"
	exit "$status"
}

command=${1:-}
shift || usage
case $command in
kernels) kernels ;;
table) table ;;
fetch) [ $# -gt 0 ] || usage; fetch "$@" ;;
build) [ $# -gt 0 ] || usage; build "$@" ;;
chroot) [ $# -gt 0 ] || usage; run_in_chroot "$@" ;;
boot)
	[ $# -gt 1 ] || usage
	prepare_kernels "${1#parallel:}"
	[ "${MODULE:-yes}" = no ] || [ ! -e "$TOP/Kbuild" ] || build_module "${RELEASES[0]}"
	target=$(resolve_target "$1")
	shift
	boot "$target" "$@"
	;;
*) usage ;;
esac
