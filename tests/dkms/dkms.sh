#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The module's life under dkms on one of Debian's suites: installed by hand and by the
# package manager, upgraded, run, left out and removed, with that suite's own dkms,
# compiler and kernels. Nothing of it happens on this machine: see image.sh.

set -euo pipefail
shopt -s extglob

DIAGNOSTICS=25

# In the order of a machine's life.
INSTALL_CASES=(
	without-root
	without-dkms
	missing-headers
	install
	modinfo
	install-again
	runs
)
SIGNATURE_CASES=(
	signed
	key-unknown
	key-enrolled
)
LATER_CASES=(
	prebuilt-tarball
	prebuilt-file
	upgrade
	uninstall
	install-anew
	excluded-config
	excluded-version
	later-kernel
	purge-kernel
)
PACKAGE_CASES=(
	package-lintian
	package-install
	package-kubernetes
	package-upgrade
	package-purge
)

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/../vm/prepare.sh"
DKMS_DIR=$TOP/tests/dkms
for part in image cases secure-boot package; do
	# shellcheck source=/dev/null
	. "$DKMS_DIR/$part.sh"
done

usage() {
	cat <<-'END'
		usage: tests/dkms/dkms.sh SUITE DIR
		  SUITE  bullseye, bookworm, trixie or sid
		  DIR    where DIR/verdicts and logs go
	END
	exit 2
}

prepare() {
	prepare_tools
	use_suite_apt
	need_machine
	need_packages "$(emulator_package "$BUILD_ARCH")"
	build_bpf "$BUILD_ARCH"
	make_base "$BUILD_ARCH" "$WORK/base.cpio"
	[ "$SUITE" = bullseye ] || build_packages
	unlock
}

# Runs a case in a process group of its own, so that it can be stopped with all it started.
run_case() {
	local name=$1 status=0 began=$SECONDS
	rm -f "$REASON"
	set -m
	("case_${name//-/_}") </dev/null >"$DIR/$name.log" 2>&1 &
	CASE=$!
	set +m
	wait "$CASE" || status=$?
	CASE=
	record "$name" "$status" >>"$DIR/verdicts"
	log "dkms/$SUITE/$name: $([ "$status" = 0 ] && echo passed || echo FAILED), $((SECONDS - began)) s"
}

record() {
	local name=$1 status=$2 reason
	if [ "$status" = 0 ]; then
		printf 'pass\tdkms/%s/%s\t\n' "$SUITE" "$name"
		return
	fi
	reason=$(cat "$REASON" 2>/dev/null || echo "a command failed with status $status")
	printf 'fail\tdkms/%s/%s\t%s\n' "$SUITE" "$name" "${reason//[$'\n\t']/ }"
	tail -n "$DIAGNOSTICS" "$DIR/$name.log" | tr -d '\r' | tr '\t' ' ' | sed 's/^/\t/'
}

# unshare lets no lesser signal end it before its child has.
# shellcheck disable=SC2317 # called by a trap
stop() {
	if [ -n "$CASE" ]; then
		kill -KILL -- "-$CASE" 2>/dev/null || true
		wait "$CASE" 2>/dev/null || true
	fi
	discard "$WORK" 2>/dev/null || true
}

[ $# = 2 ] || usage
case $1 in bullseye | bookworm | trixie | sid) ;; *) usage ;; esac
SUITE=$1
[ -d "$2" ] || die "no directory $2"
DIR=$(realpath "$2")
WORK=$CACHE/dkms/work-$SUITE
REASON=$WORK/reason
CASE=
check_paths
need_root "$0"
lock "dkms-$SUITE"
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
discard "$WORK"
mkdir -p "$WORK"
: >"$DIR/verdicts"
prepare
log "dkms on $SUITE: $RUNNING, $OTHER, later $LATER; logs in $DIR"
new_view life
# Its dkms doesn't sign, and the packages' debhelper asks for a newer one.
if [ "$SUITE" = bullseye ]; then
	SIGNATURE_CASES=(not-signed)
	PACKAGE_CASES=()
fi
for case in "${INSTALL_CASES[@]}" "${SIGNATURE_CASES[@]}" "${LATER_CASES[@]}" "${PACKAGE_CASES[@]}"; do
	run_case "$case"
done
