# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Runs guests, half as many again at a time as there are processors (up to a few) because
# the cases wait a lot, and says how far they are. A guest whose processors run at once counts
# as two, and the job that runs beside the guests as one. A guest is a directory RUN/TARGET/SHARD.
# Its time is limited twice: in all, and between two signs of life; whichever ends it, its logs
# stay and what it didn't report has failed.

GUEST_LIMIT=1500
# Some cases take an hour or two, and kernels with sanitizers are several times slower.
LONG_GUEST_LIMIT=12000
SANITIZERS_SLOW=5
STALL_LIMIT=${STALL_LIMIT:-240}
BOOT_LIMIT=${BOOT_LIMIT:-90}
PROGRESS_EVERY=20
SLOTS_MAX=4
PARALLEL_SLOTS=2
SLOTS=$(($(nproc) * 3 / 2))
[ "$SLOTS" -le "$SLOTS_MAX" ] || SLOTS=$SLOTS_MAX

declare -A STARTED=()
QUEUE=()
BESIDE=	# the process of the job beside them

# shellcheck disable=SC2317 # called by a trap
stop_guests() {
	kill ${BESIDE:+"$BESIDE"} "${!STARTED[@]}" 2>/dev/null || true
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
	local parameters=$1 dir target
	while [ ${#QUEUE[@]} -gt 0 ] && has_room "${QUEUE[0]}"; do
		dir=${QUEUE[0]}
		QUEUE=("${QUEUE[@]:1}")
		target=$(guest_target "$dir")
		date +%s >"$dir/began"
		guest_exec "$(target_machine "$target")" "$(kernel_path "$(target_release "$target")")/vmlinuz" \
			"$dir" "$(guest_limit "$dir")" "$parameters slow=$(guest_slowness "$target")" &
		STARTED[$!]=$dir
	done
}

guest_target() {
	basename "$(dirname "$1")"
}

# May another guest start?
has_room() {
	local dir taken=0
	[ ${#STARTED[@]} -gt 0 ] || return 0
	[ -z "$BESIDE" ] || ! kill -0 "$BESIDE" 2>/dev/null || taken=1
	for dir in "$1" "${STARTED[@]}"; do
		taken=$((taken + $(guest_slots "$dir")))
	done
	[ "$taken" -le "$SLOTS" ]
}

guest_slots() {
	if is_parallel "$(guest_target "$1")"; then echo "$PARALLEL_SLOTS"; else echo 1; fi
}

# By how much the cases have to be more patient. Not in a parallel guest: its processors have as
# much of the host's as those of guests that run side by side.
guest_slowness() {
	if is_built "$(target_release "$1")"; then
		echo "$SANITIZERS_SLOW"
	else
		echo 1
	fi
}

guest_limit() {
	if [[ $1 == */soak-* ]] || is_built "$(target_release "$(guest_target "$1")")"; then
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
		if hung_in_boot "$dir"; then
			start_again "$dir"
			continue
		fi
		echo $(($(date +%s) - $(cat "$dir/began"))) >"$dir/seconds"
		rm -f "$dir/initrd"
		"$report" "$dir"
	done
}

stalled() {
	local dir=$1 limit=$STALL_LIMIT last
	! is_booting "$dir" || limit=$BOOT_LIMIT
	last=$(stat -c %Y "$dir/began" "$dir/result.log" 2>/dev/null | sort -n | tail -n 1)
	[ $(($(date +%s) - last)) -gt "$limit" ] || return 1
	[ -e "$dir/stalled" ] || log "$(guest_name "$dir"): no sign of life for $limit s, stopped"
	touch "$dir/stalled"
}

is_booting() {
	is_parallel "$(guest_target "$1")" && [ ! -s "$1/result.log" ]
}

# A few of these guests stand still before they run anything of ours (2 of 130 boots): they start
# once more. One whose kernel complains doesn't.
hung_in_boot() {
	[ -e "$1/stalled" ] && is_booting "$1" && [ -z "$(kernel_complaints "$1")" ] &&
		[ ! -e "$1/console-hung.log" ]
}

start_again() {
	log "$(guest_name "$1"): hung in booting, once more"
	mv "$1/console.log" "$1/console-hung.log"
	rm "$1/stalled"
	QUEUE=("$1" "${QUEUE[@]}")
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
