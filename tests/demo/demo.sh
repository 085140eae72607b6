#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make demo: a Debian 13 machine of its own in QEMU, with its stock kernel and initrd,
# on which the module is installed by dkms as a user would do it. The installation is
# done in a chroot of the machine's root file system, because a compiler under emulation
# takes minutes. Always under TCG: see tests/vm/guest.sh.

set -euo pipefail

DEMO_PACKAGES=(dkms gcc iproute2 kmod linux-headers-cloud-amd64 linux-image-cloud-amd64 make util-linux)
DEMO_SUITE=trixie
DEMO_MODE=${DEMO_MODE:-msg-ingress}
DEMO_BYTES=67108864
GUEST_LIMIT=600
KEPT_RUNS=5

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/../vm/prepare.sh"

DEMO_DIR=$TOP/tests/demo

# The machine as it comes from Debian, nothing of ours in it.
need_machine() {
	local key staged
	key=$(echo "$DEMO_SUITE ${DEMO_PACKAGES[*]}" | sha256sum | cut -c 1-12)
	MACHINE=$CACHE/demo/machine-$key
	if [ ! -d "$MACHINE" ]; then
		log "making a Debian 13 machine with dkms and a stock kernel (once, one to three minutes)"
		staged=$(stage machine)
		bootstrap "$DEMO_SUITE" "$staged" "${DEMO_PACKAGES[@]}"
		finish "$staged" "$MACHINE"
	fi
	RELEASE=$(basename "$MACHINE"/lib/modules/*)
}

build_demo_programs() {
	log "building the Go proxy and the sockmap loader"
	build_bpf "$BUILD_ARCH"
	in_chroot env CGO_ENABLED=0 GO111MODULE=off go build -o "$RUN/proxy" "$DEMO_DIR/proxy.go" \
		>"$RUN/go.log" 2>&1 || build_failed "the Go proxy" "$RUN/go.log"
}

# Installs the module on a copy-on-write view of the machine, and makes a disk of it.
# The view's mounts are in a mount namespace of this command's own.
install_and_make_disk() {
	local view
	view=$(stage view)
	mkdir "$view"/{upper,work,root}
	log "installing the module with dkms for $RELEASE, in the machine's root file system"
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --mount --pid --fork --kill-child -- bash -euc '
		machine=$1 view=$2 top=$3 run=$4 release=$5 demo=$6 loader=$7
		root=$view/root
		mount -t overlay -o "lowerdir=$machine,upperdir=$view/upper,workdir=$view/work" overlay "$root"
		mkdir -p "$root/root/sockmap_splice" "$root/demo"
		cp -r "$top"/{Kbuild,LICENSE,Makefile,dkms.conf,module} "$root/root/sockmap_splice/"
		unshare --mount -- bash -euc "
			mount -t proc proc $root/proc
			mount --bind /dev $root/dev
			exec chroot $root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
				make -C /root/sockmap_splice install KVER=$release" >"$run/dkms.log" 2>&1
		cp "$demo/guest-init" "$run/proxy" "$loader" "$root/demo/"
		chmod 755 "$root/demo/"*
		cp "$root/boot/initrd.img-$release" "$run/initrd"
		cp "$root/boot/vmlinuz-$release" "$run/vmlinuz"
		mke2fs -q -t ext4 -O ^has_journal -d "$root" "$run/disk" 4G
	' bash "$MACHINE" "$view" "$TOP" "$RUN" "$RELEASE" "$DEMO_DIR" "$(programs_path "$BUILD_ARCH")/bpf/sockmap-attach" \
		>"$RUN/install.log" 2>&1 || install_failed
	grep -E '^ *(dkms |- Installing|Building|Installing)' "$RUN/dkms.log" | sed 's/^/  /' >&2 || true
	discard "$view"
}

install_failed() {
	tail -n 15 "$RUN/dkms.log" "$RUN/install.log" 2>/dev/null >&2 || true
	die "can't install the module on the machine, see $RUN"
}

boot_machine() {
	log "booting $RELEASE under emulation (half a minute until its first word)"
	guest_exec "$BUILD_ARCH" "$RUN/vmlinuz" "$RUN" "$GUEST_LIMIT" \
		"root=/dev/vda rw quiet init=/demo/guest-init demo_mode=$DEMO_MODE" \
		-drive "file=$RUN/disk,format=raw,if=virtio,cache=unsafe" &
	GUEST=$!
	tail --pid="$GUEST" --retry -n +1 -s 0.5 -f "$RUN/result.log" 2>/dev/null |
		grep --line-buffered -av -e '^RESULT' -e '^FINISHED' | sed -u 's/\r$//; s/^/  guest: /' >&2 || true
	GUEST_STATUS=0
	wait "$GUEST" || GUEST_STATUS=$?
	GUEST=
	rm -f "$RUN/disk" "$RUN/initrd"
}

# A result's field of a run.
field() {
	tr -d '\r' <"$RUN/result.log" | sed -n "s/^RESULT run=$1 .*\<$2=\([^ ]*\).*/\1/p" | tail -n 1
}

print_table() {
	local run
	local format='%-16s %12s %10s %8s %12s %12s\n'
	# shellcheck disable=SC2059 # it is a format
	printf "\n$format" "io.Copy" delivered sha256 error gifted copied
	for run in before-loading loaded after-rmmod; do
		# shellcheck disable=SC2059
		printf "$format" "${run/-/ }" "$(field $run delivered)" "$(field $run sha256)" \
			"$(field $run err)" "$(field $run gifted)" "$(field $run copied)"
	done
}

# A stock kernel loses bytes and says nothing, or delivers none for ever. One that has
# delivered some when its time is up is only slow.
fails_as_stock() {
	local run=$1 delivered error
	delivered=$(field "$run" delivered)
	error=$(field "$run" err)
	[ "${delivered:-$DEMO_BYTES}" -lt "$DEMO_BYTES" ] ||
		die "the run $run did not fail: delivered ${delivered:-unknown}"
	[[ $error == "<nil>" || $error/$delivered == hangs/0 ]] ||
		die "the run $run did not fail as a stock kernel does: $error, delivered $delivered"
}

# Why a guest that didn't finish ended.
cause_of_death() {
	if grep -a '^FAILED' "$RUN/result.log" | tr -d '\r' | sed 's/^FAILED/it said:/'; then
		return
	elif grep -aq 'Kernel panic' "$RUN/console.log"; then
		echo "its kernel panicked"
	elif [ "$GUEST_STATUS" = 124 ] || [ "$GUEST_STATUS" = 137 ]; then
		echo "it hung, stopped after $GUEST_LIMIT s"
	else
		echo "qemu ended with status $GUEST_STATUS"
	fi
}

check_result() {
	if ! grep -aq '^FINISHED' "$RUN/result.log"; then
		last_words "$RUN" >&2
		die "the guest did not come to its end: $(cause_of_death) (see $RUN)"
	fi
	print_table
	[ -z "$(kernel_complaints "$RUN")" ] || die "the kernel complained: $(kernel_complaints "$RUN")"
	[ "$(field loaded delivered)/$(field loaded sha256)" = "$DEMO_BYTES/match" ] ||
		die "with the module, the stream did not come through"
	[ "$(field loaded gifted)" -gt 0 ] || die "with the module, nothing was gifted: io.Copy did not splice"
	fails_as_stock before-loading
	fails_as_stock after-rmmod
}

# shellcheck disable=SC2317 # called by a trap
stop_guest() {
	[ -z "$GUEST" ] || kill "$GUEST" 2>/dev/null || true
	rm -f "$RUN/disk" "$RUN/initrd"
}

[ $# = 0 ] || die "usage: tests/demo/demo.sh (environment: DEMO_MODE=$DEMO_MODE)"
GUEST=
RUN=$CACHE/logs/demo-$(date +%Y%m%d-%H%M%S)-$$
check_paths
need_root make demo
lock run
mkdir -p "$RUN"
trap stop_guest EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
prepare_tools
need_packages e2fsprogs mmdebstrap "$(emulator_package "$BUILD_ARCH")"
need_machine
build_demo_programs
install_and_make_disk
unlock
boot_machine
forget_old_logs demo "$KEPT_RUNS"
check_result
echo "splice works on sockmap sockets with the module, and only with it"
