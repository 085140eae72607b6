#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The test suite: builds the module for stock kernels, boots them and runs the cases.
# Everything it needs it installs, fetches or builds, and keeps in .cache. The last line
# is "N passed, N failed", with skipped ones if there are; it fails if one did or none ran.

set -euo pipefail

# sparse doesn't know every kernel's headers.
SPARSE_KERNEL=6.12
KEPT_RUNS=10
PARALLEL_CASES='^(block|history|map|module|poll|share)/'
HEAVY_CASES='^(leak|security)/'

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/vm/prepare.sh"
for part in shards schedule report; do
	# shellcheck source=/dev/null
	. "$VM_DIR/$part.sh"
done

usage() {
	cat <<-END
		usage: tests/run.sh
		environment:
		  KERNELS  what to test ($DEFAULT_KERNELS,
		           and $DEFAULT_OTHERS;
		           over IPv6 only on the newest):
		           kernels by name, see tests/vm/vm.sh; dkms:SUITE, the life of an
		           installation on that Debian; own-splice, a kernel that splices from
		           sockmap sockets by itself; all: every kernel, and
		           $ALL_OTHERS;
		           debug: kernels with sanitizers ($DEBUG_KERNELS)
		           parallel:KERNEL, on four processors that run at once
		  CASES    which cases, as globs (*, and for parallel:KERNEL those that race, but
		           not over IPv6); those of soak/ run only when a glob names it
		  PARALLEL yes: all kernels for amd64, but those with sanitizers, are parallel:KERNEL
		  SEED     with CASES=.../fuzz: what a failed one said, to see it again
		  MODULE   no: without the module, to see the suite fail on the stock kernels
	END
	exit 2
}

# Sets TARGETS (kernels, see tests/vm/kernel.sh) and OTHERS (the rest) to what is to be tested.
choose_targets() {
	local name target wanted=${KERNELS:-$DEFAULT_KERNELS}
	[ -n "${KERNELS:-}${CASES:-}" ] || wanted+=" $DEFAULT_OTHERS"
	for name in $wanted; do
		case $name in
		all)
			EVERYTHING=yes
			mapfile -t -O ${#TARGETS[@]} TARGETS < <(all_kernels)
			read -ra OTHERS <<<"$ALL_OTHERS" ;;
		debug)
			mapfile -t -O ${#TARGETS[@]} TARGETS < <(debug_kernels) ;;
		dkms:* | own-splice)
			[[ " $ALL_OTHERS " == *" $name "* ]] || die "no test '$name'; there are: $ALL_OTHERS"
			OTHERS+=("$name") ;;
		*)
			target=$(resolve_target "$name")
			TARGETS+=("$target") ;;
		esac
	done
	mapfile -t TARGETS < <(printf '%s\n' "${TARGETS[@]}" | as_parallel | awk 'NF && !seen[$0]++')
	if [ -z "${CASES:-}" ] && { [ -z "${KERNELS:-}" ] || [ "$EVERYTHING" = yes ]; }; then
		choose_case_lists
	fi
}

# Sets which kernels of the default set and of "all" have fewer cases than there are.
choose_case_lists() {
	local whole
	# shellcheck disable=SC2086 # a name per word
	IPV4_TARGETS=$(resolve_targets $WITHOUT_IPV6)
	# shellcheck disable=SC2086
	whole=$(resolve_targets $WHOLE_KERNELS)
	MORE_TARGETS=$(printf '%s\n' "${TARGETS[@]}" | { grep -vxF "${whole// /$'\n'}" || true; } | xargs)
}

resolve_targets() {
	local name
	for name in "$@"; do resolve_target "$name"; done | xargs
}

# What PARALLEL makes of targets. Kernels with sanitizers stay as they are, as they are the slowest
# already and their time limits are for two processors that take turns.
as_parallel() {
	local target
	while read -r target; do
		if [ "${PARALLEL:-no}" = yes ] && [ "$(target_machine "$target")" = amd64 ] && ! is_built "$target"; then
			target=parallel-$target
		fi
		echo "$target"
	done
}

prepare() {
	local target wanted
	prepare_tools
	choose_targets
	wanted=("${TARGETS[@]}")
	TARGETS=()
	for target in "${wanted[@]}"; do
		if make_ready "$(target_release "$target")" "$RUN/$target/build"; then
			TARGETS+=("$target")
		fi
	done
	if [ ${#TARGETS[@]} -gt 0 ]; then
		# shellcheck disable=SC2034 # used by prepare.sh
		mapfile -t RELEASES < <(for target in "${TARGETS[@]}"; do target_release "$target"; done | sort -u)
		prepare_guests
		make_guests
	fi
	unlock
}

# Fetches a kernel and builds the modules for it, which are tests as well: fails when there
# is nothing to boot.
make_ready() {
	local release=$1 dir=$2
	mkdir -p "$dir"
	echo 0 >"$dir/seconds"
	if ! (fetch_kernel "$release"); then
		if [ "$EVERYTHING" = yes ] && grep -q ' 404 ' "$CACHE/download.log"; then
			verdict "$dir" skip build/fetch "the mirror lists this kernel and doesn't have it"
		else
			verdict "$dir" fail build/fetch "can't fetch this kernel"
		fi
		return 1
	fi
	if ! (build_module "$release"); then
		verdict "$dir" fail build/module "doesn't compile"
		return 1
	fi
	if ! (build_test_modules "$release"); then
		verdict "$dir" fail build/test-modules "doesn't compile"
		return 1
	fi
	check_warnings "$release" "$dir"
	[ "$release" != "$(resolve_kernel "$SPARSE_KERNEL")" ] || check_sparse "$release" "$dir"
}

check_warnings() {
	local release=$1 dir=$2
	judge_compiler build/no-warnings "$(dirname "$(module_path "$release")")/build.log" "$dir"
}

check_sparse() {
	local release=$1 dir=$2
	mkdir -p "$dir/sparse"
	kbuild_module "$release" "$dir/sparse" C=2 >"$dir/sparse.log" 2>&1 || echo "error: make failed" >>"$dir/sparse.log"
	discard "$dir/sparse"
	judge_compiler build/sparse "$dir/sparse.log" "$dir"
}

# What is said of the kernel's own headers isn't ours: they are for the compiler that
# built the kernel, which may be newer.
judge_compiler() {
	local name=$1 words=$2 dir=$3 ours
	ours='(^|/)module/[a-z_]+\.[ch]:.*(warning|error):|WARNING: modpost|error: make failed'
	if grep -qE "$ours" "$words"; then
		verdict "$dir" fail "$name"
		grep -A 5 -E "$ours" "$words" | sed 's/^/\t/' >>"$dir/verdicts"
	else
		verdict "$dir" pass "$name"
	fi
}

# Makes a directory for each guest, with all it needs to run.
make_guests() {
	local target release shard
	find_cases cases
	find_cases debug-cases --debug
	find_cases parallel-cases
	find_cases ipv4-cases
	find_cases lighter-cases
	[ -s "$RUN/cases" ] || [ -s "$RUN/debug-cases" ] || die "no case matches '${CASES:-*}'"
	for target in "${TARGETS[@]}"; do
		release=$(target_release "$target")
		for shard in "$RUN/.shards/$(case_list "$target")"/*; do
			[ ! -e "$shard" ] || make_guest "$RUN/$target/${shard##*/}" "$shard" \
				"$(kernel_arch "$release")" "$RUN/$release.cpio"
		done
	done
	discard "$RUN"/*.cpio "$RUN/.shards"
}

# Lists the wanted cases, divided among guests.
find_cases() {
	local list=$1 globs options
	read -ra globs <<<"${CASES:-*}"
	options=("${@:2}")
	[[ " ${globs[*]}" != *" soak/"* ]] || options+=(--soak)
	"$(programs_path "$BUILD_ARCH")/cases/cases" --list "${options[@]}" | matching "${globs[@]}" >"$RUN/$list"
	[ "$list" != parallel-cases ] || [ -n "${CASES:-}" ] || sed -Ei "\\#$PARALLEL_CASES#!d" "$RUN/$list"
	[ "$list" != lighter-cases ] || sed -Ei "\\#$HEAVY_CASES#d" "$RUN/$list"
	[[ $list != @(parallel|ipv4|lighter)-cases ]] || [ -n "${CASES:-}" ] || sed -i '\#/v6/#d' "$RUN/$list"
	mkdir -p "$RUN/.shards/$list"
	divide "$RUN/$list" "$RUN/.shards/$list"
}

# Some cases ask for what only the kernels with sanitizers have. Others run only if CASES names
# them: where processors run at once those that race with nobody; there and on all but the newest
# kernel those over IPv6, where they meet the same code as those over IPv4; for arm64 and on what
# "all" has beside the default set those that take long and that tell one kernel from another least.
case_list() {
	if is_built "$(target_release "$1")"; then
		echo debug-cases
	elif is_parallel "$1"; then
		echo parallel-cases
	elif [[ " $IPV4_TARGETS " == *" $1 "* ]]; then
		echo ipv4-cases
	elif [[ " $MORE_TARGETS " == *" $1 "* ]]; then
		echo lighter-cases
	else
		echo cases
	fi
}

prepare_guests() {
	local arch
	for arch in $({ echo "$BUILD_ARCH"; prepared_archs; } | sort -u); do
		build_programs "$arch"
	done
	prepare_parts "$RUN"
}

make_guest() {
	local dir=$1 cases=$2 arch=$3 kernel_part=$4
	mkdir -p "$dir/job"
	cp "$cases" "$dir/cases"
	cp "$cases" "$dir/job/cases"
	ln -s bin/run-cases "$dir/job/job"
	make_job_part "$dir/job" "$dir/job.cpio"
	cat "$RUN/base-$arch.cpio" "$kernel_part" "$dir/job.cpio" >"$dir/initrd"
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
	[ -n "$(job_status "$dir")" ] || log "$(guest_name "$dir") died"
}

# What isn't a kernel runs beside the guests and takes the place of one.
run_others() {
	local other
	for other in "${OTHERS[@]}"; do
		run_other "$other"
	done
}

# Each is a script that leaves its verdicts in a directory.
run_other() {
	local name=$1 dir=$RUN/${1/:/-}/test began=$SECONDS
	mkdir -p "$dir"
	case $name in
	dkms:*) setpriv --pdeathsig TERM "$TOP/tests/dkms/dkms.sh" "${name#dkms:}" "$dir" ;;
	own-splice) setpriv --pdeathsig TERM "$TOP/tests/own-splice/own-splice.sh" "$dir" ;;
	esac || verdict "$dir" fail "$name" "did not come to its end, see $dir"
	echo $((SECONDS - began)) >"$dir/seconds"
}

[ $# = 0 ] || usage
COMMIT=$(tree_commit)
EVERYTHING=no IPV4_TARGETS="" MORE_TARGETS="" TARGETS=() OTHERS=() GUESTS=()
RUN=$CACHE/logs/test-$(date +%Y%m%d-%H%M%S)-$$
check_paths
need_root make test
lock run
trap stop_guests EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p "$RUN"
prepare
run_others &
BESIDE=$!
if [ ${#GUESTS[@]} -gt 0 ]; then
	log "running $(wc -l <"$RUN/$(case_list "${TARGETS[0]}")") cases on ${#TARGETS[@]} kernels," \
		"up to $SLOTS guests at a time, logs in $RUN"
	run_guests report_guest "module=${MODULE:-yes}${SEED:+ fuzz_seed=$SEED}" "${GUESTS[@]}"
fi
# The shell may have forgotten one that ended long ago; what it found is in its verdicts.
wait "$BESIDE" 2>/dev/null || true
forget_old_logs test "$KEPT_RUNS"
[ "${CASES:-*}/${MODULE:-yes}" != "*/yes" ] || keep_results "$COMMIT"
print_failures
print_skips
print_table
conclude
