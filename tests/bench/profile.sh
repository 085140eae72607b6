#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make profile: where the instructions go, counted by a QEMU plugin. The README gets those of the
# reading thread by kinds of functions; function by function they are in .cache/profile.

set -euo pipefail

DEFAULT_PROFILE_KERNELS="6.12 newest"
TIMED_MIB=${TIMED_MIB:-64}
KEPT_RUNS=5

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/../vm/prepare.sh"
# shellcheck source=/dev/null
. "$VM_DIR/report.sh"
# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/guest.sh"

FOUND=$CACHE/profile

build_plugin() {
	local version=2
	# The newest version of the interface that QEMU 7.2 knows, and the oldest that 9 does.
	! qemu-system-x86_64 --version | grep -q 'version [78]\.' || version=1
	in_chroot gcc -std=c11 -Wall -Wextra -O2 -shared -fPIC -DPLUGIN_VERSION=$version \
		"$BENCH_DIR/profile.c" -o "$RUN/profile.so" >"$RUN/plugin.log" 2>&1 ||
		build_failed "the QEMU plugin" "$RUN/plugin.log"
}

# Sets WATCHED to the plugin's arguments: where bench and the kernel have what it looks for.
watch() {
	local release=$1 bench symbols
	bench=$(programs_path "$BUILD_ARCH")/bench/bench
	profile_guest "$release" "$RUN/$release-symbols" "only_symbols=yes"
	symbols=$(job_output "$RUN/$release-symbols" | awk '$3 == "__switch_to_asm" { print "switch=" $2 }')
	[ -n "$symbols" ] || die "$release has no symbol __switch_to_asm"
	WATCHED=$symbols,$(in_chroot nm "$bench" | awk '
		$3 ~ /^profile_(begin|end)$/ { printf "%s%s=%s", sep, substr($3, 9), $1; sep = "," }')
}

profile_guest() {
	local release=$1 dir=$2 parameters=$3
	shift 3
	mkdir -p "$dir/root"
	cp "$BENCH_DIR/profile-job" "$dir/root/job"
	bench_guest "$release" instructions "$dir" "nokaslr $parameters" "$@"
}

# A count is put to the function whose address is the last that isn't beyond it.
take_profile() {
	local release=$1 dir=$RUN/$1 n=0 path arm block
	log "$release: a profile of each path and arm, some minutes"
	watch "$release"
	profile_guest "$release" "$dir" "timed=$TIMED_MIB" -plugin "$RUN/profile.so,out=$dir/count,$WATCHED"
	job_output "$dir" | sed -n 's/^symbol //p' >"$dir/symbols"
	job_output "$dir" | sed -n 's/^{"path":"\([^"]*\)","arm":"\([^"]*\)".*"block":\([0-9]*\).*/\1 \2 \3/p' |
		while read -r path arm block; do
			n=$((n + 1))
			sort -s -k 1,1 "$dir/symbols" - <<<"$(sed 's/ / # /' "$dir/count.$n")" |
				awk -v path="$path" -v arm="$arm" -v block="$block" -v mib="$TIMED_MIB" \
					-f "$BENCH_DIR/functions.awk" | sort -k 4,4gr
		done >"$FOUND/$release"
	[ -s "$FOUND/$release" ] || die "no profile came out of the guest, see $dir"
}

[ $# = 0 ] || die "usage: tests/bench/profile.sh (environment: KERNELS, TIMED_MIB)"
# shellcheck disable=SC2086 # a name per word
begin_bench profile ${KERNELS:-$DEFAULT_PROFILE_KERNELS}
mkdir -p "$FOUND"
build_plugin
for release in "${RELEASES[@]}"; do
	take_profile "$release"
done
end_bench
for release in "${RELEASES[@]}"; do
	awk -v kernel="${release%-cloud-amd64}" -f "$BENCH_DIR/profile.awk" "$FOUND/$release"
done >"$RUN/table"
write_between profile "$RUN/table"
cat "$RUN/table"
forget_old_logs profile "$KEPT_RUNS"
log "function by function: $FOUND (path, arm, bytes a call, µs per MiB of the reading thread and of all others, function, module)"
