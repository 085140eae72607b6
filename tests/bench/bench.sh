#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make bench: what splice(2) from a sockmap socket costs beside read(2), in guests, by two
# clocks. The samples of all runs are kept in .cache/bench; what they come to is written into
# results.json and chart.svg here, and into the README.

set -euo pipefail

DEFAULT_BENCH_KERNELS="6.12 newest"
DEFAULT_CLOCKS="instructions wall"
REPS=${REPS:-7}
TIMED_MIB=${TIMED_MIB:-64}
KEPT_RUNS=5
BENCH_PACKAGES="jq gnuplot-nox"

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/../vm/prepare.sh"
# shellcheck source=/dev/null
. "$VM_DIR/report.sh"
# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/guest.sh"

SAMPLES=$CACHE/bench

build_go_copy() {
	in_chroot env CGO_ENABLED=0 GO111MODULE=off go build -o "$RUN/go-copy" "$BENCH_DIR/copy.go" \
		>"$RUN/go.log" 2>&1 || build_failed "the Go program" "$RUN/go.log"
}

take_samples() {
	local release=$1 clock=$2 dir=$RUN/$1-$2
	log "$release by the clock $clock: $REPS turns, some minutes"
	mkdir -p "$dir/root/bin"
	cp "$BENCH_DIR/job" "$dir/root/job"
	cp "$RUN/go-copy" "$dir/root/bin/"
	bench_guest "$release" "$clock" "$dir" "reps=$REPS timed=$TIMED_MIB"
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
	{
		echo '![throughput by path](tests/bench/chart.svg)'
		jq -r -L "$BENCH_DIR" -f "$BENCH_DIR/table.jq" "$BENCH_DIR/results.json"
	} >"$RUN/table"
	jq -r -L "$BENCH_DIR" -f "$BENCH_DIR/chart.jq" "$BENCH_DIR/results.json" >"$RUN/chart.tsv"
	if grep -q . "$RUN/chart.tsv"; then
		gnuplot -e "data='$RUN/chart.tsv'; out='$BENCH_DIR/chart.svg'" "$BENCH_DIR/chart.gp"
	else
		log "no chart: it is drawn of the clock instructions"
	fi
	jq -r -L "$BENCH_DIR" -f "$BENCH_DIR/targets.jq" "$BENCH_DIR/results.json" >"$RUN/targets"
	write_between "benchmark" "$RUN/table"
	write_between "aims" "$RUN/targets"
	cat "$RUN/table" "$RUN/targets"
}

[ $# = 0 ] || die "usage: tests/bench/bench.sh (environment: KERNELS, CLOCKS, REPS, TIMED_MIB)"
# shellcheck disable=SC2086 # a name per word
begin_bench bench ${KERNELS:-$DEFAULT_BENCH_KERNELS}
# shellcheck disable=SC2086 # a name per word
need_packages $BENCH_PACKAGES
mkdir -p "$SAMPLES"
build_go_copy
for release in "${RELEASES[@]}"; do
	for clock in ${CLOCKS:-$DEFAULT_CLOCKS}; do
		take_samples "$release" "$clock"
	done
done
end_bench
forget_old_logs bench "$KEPT_RUNS"
report
