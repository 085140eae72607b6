# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Runs guests, half as many again at a time as there are processors (up to a few) because
# the cases wait a lot, and says how far they are. A guest is a directory
# RUN/RELEASE/SHARD. Its time is limited twice: in all, and between two signs of life; whichever
# ends it, its logs stay and what it didn't report has failed.

GUEST_LIMIT=1500
# Some cases take an hour or two, and kernels with sanitizers are several times slower.
LONG_GUEST_LIMIT=12000
SANITIZERS_SLOW=5
STALL_LIMIT=${STALL_LIMIT:-240}
PROGRESS_EVERY=20
SLOTS_MAX=4
SLOTS=$(($(nproc) * 3 / 2))
[ "$SLOTS" -le "$SLOTS_MAX" ] || SLOTS=$SLOTS_MAX

declare -A STARTED=()
QUEUE=()

# shellcheck disable=SC2317 # called by a trap
stop_guests() {
	[ ${#STARTED[@]} = 0 ] || kill "${!STARTED[@]}" 2>/dev/null || true
}

# Takes kernel parameters and the guests' directories; REPORT is called with the
# directory of each one that ended.
run_guests() {
	local report=$1 parameters=$2 next_word
	shift 2
	QUEUE=("$@")
	next_word=$((SECONDS + PROGRESS_EVERY))
	while [ ${#QUEUE[@]} -gt 0 ] || [ ${#STARTED[@]} -gt 0 ]; do
		start_guests "$parameters"
		sleep 0.5
		look_after_guests "$report"
		if [ "$SECONDS" -ge "$next_word" ]; then
			say_progress
			next_word=$((SECONDS + PROGRESS_EVERY))
		fi
	done
}

start_guests() {
	local parameters=$1 dir release
	while [ ${#QUEUE[@]} -gt 0 ] && [ ${#STARTED[@]} -lt "$SLOTS" ]; do
		dir=${QUEUE[0]}
		QUEUE=("${QUEUE[@]:1}")
		release=$(basename "$(dirname "$dir")")
		date +%s >"$dir/began"
		guest_exec "$(kernel_arch "$release")" "$(kernel_path "$release")/vmlinuz" "$dir" \
			"$(guest_limit "$dir")" "$parameters$(is_built "$release" && echo " slow=$SANITIZERS_SLOW")" &
		STARTED[$!]=$dir
	done
}

guest_limit() {
	if [[ $1 == */soak-* ]] || is_built "$(basename "$(dirname "$1")")"; then
		echo "$LONG_GUEST_LIMIT"
	else
		echo "$GUEST_LIMIT"
	fi
}

look_after_guests() {
	local pid dir report=$1
	for pid in "${!STARTED[@]}"; do
		dir=${STARTED[$pid]}
		if kill -0 "$pid" 2>/dev/null; then
			! stalled "$dir" || kill "$pid" 2>/dev/null || true
			continue
		fi
		wait "$pid" || echo "qemu ended with status $?" >>"$dir/qemu.log"
		unset "STARTED[$pid]"
		echo $(($(date +%s) - $(cat "$dir/began"))) >"$dir/seconds"
		rm -f "$dir/initrd"
		"$report" "$dir"
	done
}

stalled() {
	local dir=$1 last
	last=$(stat -c %Y "$dir/began" "$dir/result.log" 2>/dev/null | sort -n | tail -n 1)
	[ $(($(date +%s) - last)) -gt "$STALL_LIMIT" ] || return 1
	[ -e "$dir/stalled" ] || log "$(guest_name "$dir"): no sign of life for $STALL_LIMIT s, stopped"
	touch "$dir/stalled"
}

guest_name() {
	echo "${1#"$RUN/"}"
}

results_so_far() {
	grep -acE '^(not )?ok [0-9]' "$1/result.log" || true
}

say_progress() {
	local pid dir words=()
	for pid in "${!STARTED[@]}"; do
		dir=${STARTED[$pid]}
		words+=("$(guest_name "$dir") $(results_so_far "$dir")/$(wc -l <"$dir/cases")")
	done
	log "  running: ${words[*]-nothing}, waiting: ${#QUEUE[@]}"
}
