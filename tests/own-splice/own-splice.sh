#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The module has to stand aside on a kernel that splices from sockmap sockets by itself.
# No released kernel does, so this makes one, of Debian's source and the patch beside this
# file. It is booted twice: as it is, where the module must refuse to load, and
# with the patch's function switched off, where the module has work to do in spite of
# what the headers show. Writes DIR/verdicts in the format of tests/vm/verdicts.awk.

set -euo pipefail

SERIES=6.12
OWN=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
GUEST_LIMIT=120

# shellcheck source=/dev/null
. "$OWN/../vm/prepare.sh"

# Builds the module from sources in which one thing was changed: FILE with sed's EDIT.
build_changed_module() {
	local name=$1 file=$2 edit=$3 staged
	staged=$(stage changed)
	cp -r "$TOP/Kbuild" "$TOP/dkms.conf" "$TOP/module" "$staged/"
	sed -i "$edit" "$staged/$file"
	! cmp -s "$TOP/$file" "$staged/$file" || die "'$edit' changes nothing in $file"
	HEADERS_OF=$RELEASE in_chroot make -C "/usr/src/linux-headers-$RELEASE" M="$staged" modules \
		>"$staged/build.log" 2>&1 || build_failed "the module $name" "$staged/build.log"
	cp "$staged/$MODULE_NAME.ko" "$RUN/files/$name.ko"
	discard "$staged"
}

# The module as it is, and one for each of the two ways in which it can tell.
build_modules() {
	log "building modules for $RELEASE"
	mkdir "$RUN/files"
	build_module "$RELEASE"
	cp "$(module_path "$RELEASE")" "$RUN/files/as-it-is.ko"
	build_changed_module by-symbol Kbuild '/PROTO_SPLICE_READ/d'
	build_changed_module by-proto module/sockmap.c 's/"tcp_bpf_splice_read"/"another_name"/'
}

# Boots the kernel with PARAMETERS and adds to the verdicts what became of the cases.
run_guest() {
	local name=$1 parameters=$2 dir=$RUN/$1
	shift 2
	mkdir -p "$dir/job"
	printf 'own-splice/%s\n' "$@" >"$dir/cases"
	cp "$OWN/job" "$dir/job/job"
	chmod 755 "$dir/job/job"
	cp -r "$RUN/files" "$dir/job/files"
	make_job_part "$dir/job" "$dir/job.cpio"
	cat "$RUN/base.cpio" "$dir/job.cpio" >"$dir/initrd"
	(guest_exec "$BUILD_ARCH" "$(kernel_path "$RELEASE")/vmlinuz" "$dir" "$GUEST_LIMIT" "$parameters") || true
	discard "$dir/job" "$dir/job.cpio" "$dir/initrd"
	[ -n "$(job_status "$dir")" ] || last_words "$dir" >&2
	tr -d '\r' <"$dir/result.log" | awk -f "$VM_DIR/verdicts.awk" "$dir/cases" - >>"$RUN/verdicts"
	kernel_complaints "$dir" | sed 's/^/fail\town-splice\tthe kernel said: /' >>"$RUN/verdicts"
}

if [ $# != 1 ]; then
	echo "usage: tests/own-splice/own-splice.sh DIR" >&2
	exit 2
fi
mkdir -p "$1"
RUN=$(cd "$1" && pwd)
prepare_tools
RELEASE=$(built_release "$SERIES" own-splice)
need_built_kernel "$RELEASE" "$SERIES" "" "$OWN/tcp-bpf-splice-read.patch"
build_bpf "$BUILD_ARCH"
build_modules
need_packages "$(emulator_package "$BUILD_ARCH")"
make_base "$BUILD_ARCH" "$RUN/base.cpio"
unlock
: >"$RUN/verdicts"
run_guest served "" kernel-serves refuses refuses-by-symbol refuses-by-proto
run_guest unused own_splice=0 unused-member-affected unused-member-loads
discard "$RUN/base.cpio" "$RUN/files"
