#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests the tests: breaks the module on purpose, in one way at a time, and expects the cases
# that are there for it to fail. A mutant is a line of the table: its name, a file, an edit for
# sed, the cases, and a kernel if others don't use what it breaks. One whose edit changes nothing,
# or that doesn't compile, is untried and not caught.

set -euo pipefail

MUTANTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TABLE=${TABLE:-$MUTANTS/table}
# shellcheck source=/dev/null
. "$MUTANTS/../vm/prepare.sh"

usage() {
	cat <<-END
		usage: tests/mutants/mutants.sh [NAME...]
		environment:
		  KERNELS  where to run those that don't name a kernel (6.12); one
		  TABLE    another table
		names, all if none is given:
	END
	names | sed 's/^/  /'
	exit 2
}

names() {
	awk -F'\t+' '!/^#/ && NF { print $1 }' "$TABLE"
}

field() {
	awk -F'\t+' -v name="$1" -v n="$2" '$1 == name { print $n }' "$TABLE"
}

# A copy of the tree with the mutant's edit.
make_mutant() {
	local name=$1 to=$2 file edit
	file=$(field "$name" 2)
	edit=$(field "$name" 3)
	mkdir "$to"
	cp -a "$TOP"/{Kbuild,Makefile,dkms.conf,module,bpf,tests} "$to/"
	sed -i -e "$edit" "$to/$file"
	! cmp -s "$TOP/$file" "$to/$file" || die "the mutant $name changes nothing in $file"
}

# Boots a guest with it, until the first case fails. Fails when the mutant wasn't tried at all.
boot_mutant() {
	local name=$1 kernel=$2
	make_mutant "$name" "$WORK/$name"
	printf '#!/bin/sh\ncases --list %s >/cases\nexec run-cases\n' "$(quoted_cases "$name")" >"$WORK/$name/job"
	CACHE=$CACHE LIMIT=$LIMIT PARAMETERS=first_failure=yes \
		"$WORK/$name/tests/vm/vm.sh" boot "$kernel" "$WORK/$name/job" >"$WORK/$name.log" 2>&1 || true
	discard "${WORK:?}/$name"
	grep -qE '^(not )?ok 1 |guest problem: |guest died' "$WORK/$name.log"
}

quoted_cases() {
	local cases
	read -ra cases <<<"$(field "$1" 4)"
	printf "'%s' " "${cases[@]}"
}

# What noticed the mutant: a case, or the guest's end.
noticed_by() {
	sed -n 's/^not ok [0-9]* //p; s/^# guest problem: //p; s/^error: \(the guest died\).*/\1/p' "$1" | head -n 1
}

try_mutant() {
	local name=$1 kernel log=$WORK/$1.log by
	kernel=$(field "$name" 5)
	if ! boot_mutant "$name" "${kernel:-${KERNELS:-$KERNEL}}"; then
		printf 'UNTRIED  %-20s see %s\n' "$name" "$log"
		return 1
	fi
	by=$(noticed_by "$log")
	if [ -z "$by" ]; then
		printf 'SURVIVED %-20s see %s\n' "$name" "$log"
		return 1
	fi
	printf 'caught   %-20s by %s\n' "$name" "$by"
}

prepare() {
	local name kernel release
	# shellcheck disable=SC2046 # a kernel per word
	prepare_kernels $(for name in "$@"; do
		kernel=$(field "$name" 5)
		kernel=${kernel:-${KERNELS:-$KERNEL}}
		echo "${kernel#parallel:}"
	done | sort -u)
	build_programs "$BUILD_ARCH"
	for release in "${RELEASES[@]}"; do
		build_test_modules "$release"
	done
	unlock
}

[ "${1:-}" != --help ] || usage
WORK=$CACHE/mutants
KERNEL=6.12
LIMIT=300
JOBS=$(($(nproc) * 3 / 2))
ALL=("$@")
[ $# -gt 0 ] || mapfile -t ALL < <(names)
for name in "${ALL[@]}"; do
	[ -n "$(field "$name" 1)" ] || die "no mutant '$name'; there are: $(names | tr '\n' ' ')"
done
prepare "${ALL[@]}"
discard "$WORK"
mkdir -p "$WORK"
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
FAILED=0
for name in "${ALL[@]}"; do
	while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do
		wait -n || FAILED=$((FAILED + 1))
	done
	try_mutant "$name" &
done
while [ -n "$(jobs -p)" ]; do
	wait -n || FAILED=$((FAILED + 1))
done
echo "$((${#ALL[@]} - FAILED)) caught, $FAILED not"
[ "$FAILED" = 0 ]
