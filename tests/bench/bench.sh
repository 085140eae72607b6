#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make bench: what splice(2) from a sockmap socket costs beside read(2), in guests, by two
# clocks. By the clock "instructions" QEMU counts a nanosecond for each instruction that the
# guest executes (-icount), so that figures repeat on any machine; copies go at 8 bytes an
# instruction, because the guest's CPU doesn't say that it has fast string operations. By the
# clock "wall" it is seconds, under emulation and with whatever else the machine does.
#
# The samples of all runs are kept in .cache/bench; what they come to is written into
# results.json and chart.svg here, and into the README.

set -euo pipefail

DEFAULT_BENCH_KERNELS="6.12 newest"
DEFAULT_CLOCKS="instructions wall"
REPS=${REPS:-7}
TIMED_MIB=${TIMED_MIB:-32}
GUEST_LIMIT=3000
KEPT_RUNS=5
BENCH_PACKAGES="jq gnuplot-nox"

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/../vm/prepare.sh"
# shellcheck source=/dev/null
. "$VM_DIR/report.sh"

BENCH_DIR=$TOP/tests/bench
SAMPLES=$CACHE/bench

build_bench_programs() {
	build_bpf "$BUILD_ARCH"
	build_once "$BUILD_ARCH" bench "bpf tests/cases tests/bench" -C tests/bench \
		BPF_O="$(programs_path "$BUILD_ARCH")/bpf"
	in_chroot env CGO_ENABLED=0 GO111MODULE=off go build -o "$RUN/go-copy" "$BENCH_DIR/copy.go" \
		>"$RUN/go.log" 2>&1 || build_failed "the Go program" "$RUN/go.log"
}

make_bench_guest() {
	local release=$1 dir=$2 job
	mkdir -p "$dir"
	job=$(stage job)
	mkdir "$job/bin"
	cp "$BENCH_DIR/job" "$job/job"
	cp "$(programs_path "$BUILD_ARCH")/bench/bench" "$RUN/go-copy" "$job/bin/"
	chmod 755 "$job/job"
	make_job_part "$job" "$RUN/job.cpio"
	discard "$job"
	cat "$RUN/base-$BUILD_ARCH.cpio" "$RUN/$release.cpio" "$RUN/job.cpio" >"$dir/initrd"
	rm "$RUN/job.cpio"
}

# One guest at a time: nothing else shall share the processors with it.
run_bench_guest() {
	local release=$1 clock=$2 dir=$3 more=()
	case $clock in
	instructions) more=(-smp 1 -cpu "max,-cx16,-erms,-fsrm" -icount "shift=0,sleep=off") ;;
	wall) more=(-cpu "max,-cx16,-erms,-fsrm") ;;
	*) die "no clock '$clock'; there are: $DEFAULT_CLOCKS" ;;
	esac
	log "$release by the clock $clock: $REPS turns, some minutes"
	guest_exec "$BUILD_ARCH" "$(kernel_path "$release")/vmlinuz" "$dir" "$GUEST_LIMIT" \
		"reps=$REPS timed=$TIMED_MIB" "${more[@]}" &
	GUEST=$!
	wait "$GUEST" || true
	GUEST=
	rm -f "$dir/initrd"
}

# A guest that ended early has no result, whatever samples it took.
keep_samples() {
	local release=$1 clock=$2 dir=$3
	if [ "$(job_status "$dir")" != 0 ]; then
		job_output "$dir" | grep -v '^{' | tail -n 5 >&2
		[ -n "$(job_status "$dir")" ] || last_words "$dir" >&2
		die "$release by the clock $clock: the run was given up, see $dir"
	fi
	[ -z "$(kernel_complaints "$dir")" ] || die "the kernel complained: $(kernel_complaints "$dir")"
	job_output "$dir" | grep '^{' |
		jq -c --arg kernel "$release" --arg clock "$clock" --arg date "$(date +%Y-%m-%d)" \
			--arg commit "$(tree_commit)" '. + {$kernel, $clock, $date, $commit}' \
			>"$SAMPLES/$release-$clock.jsonl"
}

report() {
	local release files=()
	for release in "${RELEASES[@]}"; do
		files+=("$SAMPLES/$release"-*.jsonl)
	done
	jq -s -f "$BENCH_DIR/summary.jq" "${files[@]}" >"$BENCH_DIR/results.json"
	jq -r -L "$BENCH_DIR" -f "$BENCH_DIR/table.jq" "$BENCH_DIR/results.json" >"$RUN/table"
	jq -r -L "$BENCH_DIR" -f "$BENCH_DIR/chart.jq" "$BENCH_DIR/results.json" >"$RUN/chart.tsv"
	gnuplot -e "data='$RUN/chart.tsv'; out='$BENCH_DIR/chart.svg'" "$BENCH_DIR/chart.gp"
	write_between "benchmark" "$RUN/table"
	cat "$RUN/table"
}

# shellcheck disable=SC2317 # called by a trap
stop_guest() {
	[ -z "$GUEST" ] || kill "$GUEST" 2>/dev/null || true
}

[ $# = 0 ] || die "usage: tests/bench/bench.sh (environment: KERNELS, CLOCKS, REPS, TIMED_MIB)"
GUEST=
RUN=$CACHE/logs/bench-$(date +%Y%m%d-%H%M%S)-$$
check_paths
need_root make bench
lock run
mkdir -p "$RUN" "$SAMPLES"
trap stop_guest EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# shellcheck disable=SC2086 # a name per word
need_packages $BENCH_PACKAGES
# shellcheck disable=SC2086 # a name per word
prepare_kernels ${KERNELS:-$DEFAULT_BENCH_KERNELS}
for release in "${RELEASES[@]}"; do
	build_module "$release"
done
build_bench_programs
prepare_parts "$RUN"
for release in "${RELEASES[@]}"; do
	for clock in ${CLOCKS:-$DEFAULT_CLOCKS}; do
		make_bench_guest "$release" "$RUN/$release-$clock"
		run_bench_guest "$release" "$clock" "$RUN/$release-$clock"
		keep_samples "$release" "$clock" "$RUN/$release-$clock"
	done
done
rm -f "$RUN"/*.cpio
unlock
forget_old_logs bench "$KEPT_RUNS"
report
