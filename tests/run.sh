#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The test suite: builds the module for stock kernels, boots them and runs the cases.
# Everything it needs it installs, fetches or builds, and keeps in .cache. The last line
# is "N passed, N failed", with skipped ones if there are; it fails if one did or none ran.

set -euo pipefail

# The kernels that are tested unless others are asked for.
DEFAULT_KERNELS="6.1 6.12+deb12 6.12+deb13"
KEPT_RUNS=10

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/vm/prepare.sh"
# shellcheck source=/dev/null
. "$VM_DIR/shards.sh"
# shellcheck source=/dev/null
. "$VM_DIR/schedule.sh"

usage() {
	cat <<-END
		usage: tests/run.sh
		environment:
		  KERNELS  which kernels ($DEFAULT_KERNELS); tests/vm/vm.sh says how they are named
		  CASES    which cases, as globs (*)
		  MODULE   no: without the module, to see the suite fail on the stock kernels
	END
	exit 2
}

prepare() {
	local release wanted
	read -ra wanted <<<"${KERNELS:-$DEFAULT_KERNELS}"
	prepare_kernels "${wanted[@]}"
	mapfile -t RELEASES < <(printf '%s\n' "${RELEASES[@]}" | awk '!seen[$0]++')
	build_programs
	for release in "${RELEASES[@]}"; do
		build_module "$release"
	done
	make_guests
	unlock
}

# Makes a directory for each guest, with all it needs to run.
make_guests() {
	local globs release shard
	read -ra globs <<<"${CASES:-*}"
	mkdir "$RUN/shards"
	"$(programs_path)/cases/cases" --list | matching "${globs[@]}" >"$RUN/cases"
	[ -s "$RUN/cases" ] || die "no case matches '${CASES:-*}'"
	divide "$RUN/cases" "$RUN/shards"
	prepare_parts "$RUN"
	for release in "${RELEASES[@]}"; do
		for shard in "$RUN"/shards/*; do
			make_guest "$RUN/$release/${shard##*/}" "$shard" "$RUN/$release.cpio"
		done
	done
	discard "$RUN"/*.cpio "$RUN/shards"
}

make_guest() {
	local dir=$1 cases=$2 kernel_part=$3
	mkdir -p "$dir/job"
	cp "$cases" "$dir/cases"
	cp "$cases" "$dir/job/cases"
	ln -s bin/run-cases "$dir/job/job"
	make_job_part "$dir/job" "$dir/job.cpio"
	cat "$RUN/base.cpio" "$kernel_part" "$dir/job.cpio" >"$dir/initrd"
	discard "$dir/job" "$dir/job.cpio"
	GUESTS+=("$dir")
}

# Says how a guest ended, with the end of its console if it didn't end well.
report_guest() {
	local dir=$1
	tr -d '\r' <"$dir/result.log" | awk -f "$VM_DIR/verdicts.awk" "$dir/cases" - >"$dir/verdicts"
	kernel_complaints "$dir" | sed 's/^/fail\tguest\tthe kernel said: /' >>"$dir/verdicts"
	log "$(guest_name "$dir"): $(count pass "$dir/verdicts") passed," \
		"$(count fail "$dir/verdicts") failed," \
		"$(count skip "$dir/verdicts") skipped, $(cat "$dir/seconds") s"
	if [ -z "$(job_status "$dir")" ]; then
		log "$(guest_name "$dir") died, its last words:"
		last_words "$dir" >&2
	fi
}

count() {
	local verdict=$1
	shift
	cat "$@" | grep -c "^$verdict	" || true
}

print_failures() {
	local dir
	for dir in "${GUESTS[@]}"; do
		awk -F'\t' -v guest="$(guest_name "$dir")" '
			/^\t/ { if (failed) print "    " $2; next }
			{ failed = $1 == "fail" }
			failed { print "FAILED " $2 " (" guest ")" ($3 == "" ? "" : ": " $3) }' "$dir/verdicts"
	done
}

print_table() {
	local release
	printf '%-34s %8s %8s %8s %8s\n' kernel passed failed skipped seconds
	for release in "${RELEASES[@]}"; do
		printf '%-34s %8d %8d %8d %8d\n' "$release" \
			"$(count pass "$RUN/$release"/*/verdicts)" \
			"$(count fail "$RUN/$release"/*/verdicts)" \
			"$(count skip "$RUN/$release"/*/verdicts)" \
			"$(cat "$RUN/$release"/*/seconds | awk '{ sum += $1 } END { print sum }')"
	done
}

# The last line, and the exit status.
conclude() {
	local passed failed skipped
	passed=$(count pass "$RUN"/*/*/verdicts)
	failed=$(count fail "$RUN"/*/*/verdicts)
	skipped=$(count skip "$RUN"/*/*/verdicts)
	echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

[ $# = 0 ] || usage
GUESTS=()
RUN=$CACHE/logs/test-$(date +%Y%m%d-%H%M%S)-$$
check_paths
need_root make test
lock run
trap stop_guests EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p "$RUN"
prepare
log "running $(wc -l <"$RUN/cases") cases on ${#RELEASES[@]} kernels, $SLOTS guests at a time, logs in $RUN"
run_guests report_guest "module=${MODULE:-yes}" "${GUESTS[@]}"
forget_old_logs test "$KEPT_RUNS"
print_failures
print_table
conclude
