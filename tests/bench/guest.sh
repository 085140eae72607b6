# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The guests of the benchmark and of its profile, one at a time: nothing else shall share the
# processors with one. By the clock "instructions" QEMU counts a nanosecond for each instruction
# that the guest executes (-icount), so that figures repeat on any machine; copies go at 8 bytes an
# instruction, because the guest's CPU doesn't say that it has fast string operations. By the
# clock "wall" it is seconds, under emulation and with whatever else the machine does.

# shellcheck disable=SC2034 # for those that source this
BENCH_DIR=$TOP/tests/bench
GUEST_LIMIT=3000
GUEST=

# Takes the lock, and gets kernels and modules ready: begin_bench NAME KERNEL...
begin_bench() {
	local release what=$1
	shift
	RUN=$CACHE/logs/$what-$(date +%Y%m%d-%H%M%S)-$$
	check_paths
	need_root "make $what"
	lock run
	mkdir -p "$RUN"
	trap stop_guest EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	prepare_kernels "$@"
	for release in "${RELEASES[@]}"; do
		build_module "$release"
	done
	build_bpf "$BUILD_ARCH"
	build_once "$BUILD_ARCH" bench "bpf tests/cases tests/bench" -C tests/bench \
		BPF_O="$(programs_path "$BUILD_ARCH")/bpf"
	prepare_parts "$RUN"
}

end_bench() {
	rm -f "$RUN"/*.cpio
	unlock
}

# What is in DIR/root comes to the guest's root: bench_guest RELEASE CLOCK DIR PARAMETERS [QEMU'S]
bench_guest() {
	local release=$1 clock=$2 dir=$3 parameters=$4 more
	shift 4
	case $clock in
	instructions) more=(-smp 1 -cpu "max,-cx16,-erms,-fsrm" -icount "shift=0,sleep=off") ;;
	wall) more=(-cpu "max,-cx16,-erms,-fsrm") ;;
	*) die "no clock '$clock'; there are: instructions wall" ;;
	esac
	mkdir -p "$dir/root/bin"
	cp "$(programs_path "$BUILD_ARCH")/bench/bench" "$dir/root/bin/"
	chmod 755 "$dir/root/job"
	make_job_part "$dir/root" "$dir/job.cpio"
	rm -r "$dir/root"
	cat "$RUN/base-$BUILD_ARCH.cpio" "$RUN/$release.cpio" "$dir/job.cpio" >"$dir/initrd"
	rm "$dir/job.cpio"
	guest_exec "$BUILD_ARCH" "$(kernel_path "$release")/vmlinuz" "$dir" "$GUEST_LIMIT" \
		"$parameters" "${more[@]}" "$@" &
	GUEST=$!
	wait "$GUEST" || true
	GUEST=
	rm -f "$dir/initrd"
	expect_whole "$release" "$clock" "$dir"
}

# A guest that ended early has no result, whatever it printed.
expect_whole() {
	local release=$1 clock=$2 dir=$3
	if [ "$(job_status "$dir")" != 0 ]; then
		job_output "$dir" | grep -v '^{' | tail -n 5 >&2
		[ -n "$(job_status "$dir")" ] || last_words "$dir" >&2
		die "$release by the clock $clock: the run was given up, see $dir"
	fi
	[ -z "$(kernel_complaints "$dir")" ] || die "the kernel complained: $(kernel_complaints "$dir")"
}

# shellcheck disable=SC2317 # called by a trap
stop_guest() {
	[ -z "$GUEST" ] || kill "$GUEST" 2>/dev/null || true
}
