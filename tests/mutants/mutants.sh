#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests the tests: breaks the module on purpose, in one way at a time, and expects the cases
# that are there for it to fail. A mutant is a line of the table: its name, a file, an edit for
# sed, the cases, and a kernel if others don't use what it breaks. One whose edit changes nothing,
# or that doesn't compile, is an error and not caught.

set -euo pipefail

MUTANTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=/dev/null
. "$MUTANTS/../vm/lib.sh"

usage() {
	cat <<-END
		usage: tests/mutants/mutants.sh [NAME...]
		environment:
		  KERNELS  where to run those that don't name a kernel (6.12); one
		names, all if none is given:
	END
	names | sed 's/^/  /'
	exit 2
}

names() {
	awk -F'\t+' '!/^#/ && NF { print $1 }' "$MUTANTS/table"
}

field() {
	awk -F'\t+' -v name="$1" -v n="$2" '$1 == name { print $n }' "$MUTANTS/table"
}

# A copy of the tree with the mutant's edit.
make_mutant() {
	local name=$1 to=$2 file edit
	file=$(field "$name" 2)
	edit=$(field "$name" 3)
	mkdir "$to"
	cp -r "$TOP"/{Kbuild,Makefile,dkms.conf,module,bpf,tests} "$to/"
	sed -i -e "$edit" "$to/$file"
	! cmp -s "$TOP/$file" "$to/$file" || die "the mutant $name changes nothing in $file"
}

# Prints the cases that failed; fails when the mutant wasn't tried at all.
run_mutant() {
	local tree=$1 cases=$2 kernel=$3 log=$4
	CACHE=$CACHE CASES=$cases KERNELS=${kernel:-${KERNELS:-6.12}} "$tree/tests/run.sh" >"$log" 2>&1 || true
	grep -qE '^[0-9]+ passed, [0-9]+ failed' "$log" || die "no result, see $log"
	! grep -q '^FAILED build/module' "$log" || die "the mutant doesn't compile, see $log"
	sed -n 's/^FAILED \([^ ]*\) .*/\1/p' "$log" | grep -v '^build/' || true
}

try_mutant() {
	local name=$1 log=$WORK/$1.log caught
	make_mutant "$name" "$WORK/$name"
	caught=$(run_mutant "$WORK/$name" "$(field "$name" 4)" "$(field "$name" 5)" "$log")
	discard "${WORK:?}/$name"
	if [ -n "$caught" ]; then
		printf 'caught   %-20s by %s of the cases, first %s\n' "$name" "$(echo "$caught" | wc -l)" \
			"$(echo "$caught" | head -n 1)"
		CAUGHT=$((CAUGHT + 1))
	else
		printf 'SURVIVED %-20s see %s\n' "$name" "$log"
		SURVIVED=$((SURVIVED + 1))
	fi
}

[ "${1:-}" != --help ] || usage
check_paths
WORK=$CACHE/mutants
CAUGHT=0 SURVIVED=0
discard "$WORK"
mkdir -p "$WORK"
[ $# -gt 0 ] || mapfile -t ALL < <(names)
for name in "${@:-${ALL[@]}}"; do
	[ -n "$(field "$name" 1)" ] || die "no mutant '$name'; there are: $(names | tr '\n' ' ')"
	try_mutant "$name"
done
echo "$CAUGHT caught, $SURVIVED survived"
[ "$SURVIVED" = 0 ]
