# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Divides the cases of a kernel among guests. Guests with an equal share end at about
# the same time and a guest that dies takes only its share with it, so there are more
# of them than run at once. The cases of the group "module" load and unload it all the
# time; they keep to one guest, so that what they may break is theirs. It takes the longest
# and comes first. A case that takes a minute or more (slice/, stress/, soak/) has a guest of
# its own.

SHARD_MIN=8
SHARDS_MAX=4
LONG_CASES='^(slice|stress|soak)/'

# Names on stdin that match one of the globs.
matching() {
	local name glob
	while read -r name; do
		for glob in "$@"; do
			# shellcheck disable=SC2053 # a pattern is wanted
			if [[ $name == $glob ]]; then
				echo "$name"
				break
			fi
		done
	done
}

# Writes DIR/1, DIR/2 ... from a list of names; neighbours, which are alike, are spread.
divide() {
	local list=$1 dir=$2 count shards
	grep '^module/' "$list" >"$dir/0-module" || rm "$dir/0-module"
	{ grep -E "$LONG_CASES" "$list" || true; } |
		awk -v dir="$dir" '{ name = $0; gsub("/", "-", name); print >(dir "/" name) }'
	count=$(grep -Evc "^module/|$LONG_CASES" "$list" || true)
	shards=$(((count + SHARD_MIN - 1) / SHARD_MIN))
	[ "$shards" -le "$SHARDS_MAX" ] || shards=$SHARDS_MAX
	{ grep -Ev "^module/|$LONG_CASES" "$list" || true; } |
		awk -v dir="$dir" -v shards="$shards" '{ print >(dir "/" (NR - 1) % shards + 1) }'
}
