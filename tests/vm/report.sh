# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What a run found, and what is kept of it. Whatever is tested (a kernel, a dkms suite)
# has a directory of its own below RUN, and each part of its tests one below that, with a
# file of verdicts (verdicts.awk says how they look) and the seconds it took.

RESULTS=$CACHE/results

verdict() {
	local dir=$1 word=$2 name=$3 remark=${4:-}
	printf '%s\t%s\t%s\n' "$word" "$name" "$remark" >>"$dir/verdicts"
}

count() {
	local word=$1
	shift
	cat "$@" | grep -c "^$word	" || true
}

targets() {
	find "$RUN" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort -V
}

# Every failure, and the last words of a guest that died: the end of a long log may be all that
# somebody has.
print_failures() {
	local dir
	for dir in "$RUN"/*/*; do
		[ -e "$dir/verdicts" ] || continue
		awk -F'\t' -v part="${dir#"$RUN/"}" '
			/^\t/ { if (failed) print "    " $2; next }
			{ failed = $1 == "fail" }
			failed && $3 == "no result" { missing++; next }
			failed { print "FAILED " $2 " (" part ")" ($3 == "" ? "" : ": " $3) }
			END { if (missing) print "FAILED " missing " more (" part "): no result" }' "$dir/verdicts"
		[ ! -e "$dir/result.log" ] || [ -n "$(job_status "$dir")" ] || last_words "$dir"
	done
}

# Why a kernel's read(2) passes fewer cases than there are, one line per reason.
print_skips() {
	cat "$RUN"/*/*/verdicts | awk -F'\t' '
		$1 == "skip" { sub(/[0-9]+ of [0-9]+ bytes/, "some bytes", $3); skips[$3]++ }
		END { for (reason in skips) printf "skipped %d: %s\n", skips[reason], reason }' | sort -k 2rn
}

print_table() {
	local target
	printf '%-36s %8s %8s %8s %8s\n' target passed failed skipped seconds
	for target in $(targets); do
		printf '%-36s %8d %8d %8d %8d\n' "$target" \
			"$(count pass "$RUN/$target"/*/verdicts)" \
			"$(count fail "$RUN/$target"/*/verdicts)" \
			"$(count skip "$RUN/$target"/*/verdicts)" \
			"$(cat "$RUN/$target"/*/seconds | awk '{ sum += $1 } END { print sum }')"
	done
}

# Keeps what a complete run found, in a file for each target that had all cases: target, passed,
# failed, skipped, date, commit.
keep_results() {
	local commit=$1 target
	mkdir -p "$RESULTS"
	for target in $(targets); do
		[[ " $IPV4_TARGETS " != *" $target "* ]] || continue
		printf '%s\t%d\t%d\t%d\t%s\t%s\n' "$target" \
			"$(count pass "$RUN/$target"/*/verdicts)" \
			"$(count fail "$RUN/$target"/*/verdicts)" \
			"$(count skip "$RUN/$target"/*/verdicts)" \
			"$(date +%Y-%m-%d)" "$commit" >"$RESULTS/$target"
	done
}

# The state of the sources.
tree_commit() {
	git -C "$TOP" describe --always --dirty 2>/dev/null || echo unknown
}

# What a target's last complete run found, in words.
last_found() {
	[ ! -e "$RESULTS/$1" ] || awk -F'\t' '
		{ printf "%d passed, %d failed, %d skipped on %s (%s)\n", $2, $3, $4, $5, $6 }' "$RESULTS/$1"
}

# Puts a file into the README, between the two marks of that name.
write_between() {
	local name=$1 file=$2 readme=$TOP/README.md
	awk -v name="$name" -v file="$file" '
		index($0, "<!-- " name ": end") { skip = 0 }
		!skip { print }
		index($0, "<!-- " name ": begin") {
			print ""
			while ((getline line <file) > 0)
				print line
			print ""
			skip = 1
		}' "$readme" >"$readme.new"
	mv "$readme.new" "$readme"
}

# Puts what the last complete run of each of the named targets found into the README.
write_table() {
	local target found=()
	for target in "$@"; do
		if [ -s "$RESULTS/$target" ]; then
			found+=("$target")
		else
			log "not in the table, no complete run yet: $target"
		fi
	done
	[ ${#found[@]} -gt 0 ] || die "nothing was tested completely yet: make test KERNELS=all"
	(cd "$RESULTS" && awk -F'\t' '
		BEGIN { print "| tested | passed | failed | skipped | on | at commit |\n|---|---|---|---|---|---|" }
		{ printf "| %s | %d | %d | %d | %s | %s |\n", $1, $2, $3, $4, $5, $6 }' "${found[@]}") >"$CACHE/table"
	write_between "tested kernels" "$CACHE/table"
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
