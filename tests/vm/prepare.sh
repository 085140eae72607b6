# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The order in which things are made ready, for whoever boots guests: tools, kernels,
# builds, initramfs parts. One run at a time prepares (the lock is kept until `unlock`),
# so whatever is in the cache's tmp when it begins was left by one that was interrupted.

for part in lib apt chroot source built kernel build initramfs guest; do
	# shellcheck source=/dev/null
	. "$(dirname "${BASH_SOURCE[0]}")/$part.sh"
done

HOST_PACKAGES="util-linux"

prepare_tools() {
	check_paths
	need_root "$0"
	lock prepare
	discard "$CACHE/tmp"
	# shellcheck disable=SC2086 # a name per word
	need_packages $HOST_PACKAGES
	need_lists
	need_chroot
}

# Sets RELEASES to what the names given stand for, and has them all fetched.
prepare_kernels() {
	local name release
	prepare_tools
	RELEASES=()
	for name in "$@"; do
		release=$(resolve_kernel "$name")
		RELEASES+=("$release")
	done
	for release in "${RELEASES[@]}"; do
		fetch_kernel "$release"
	done
}

# The architectures of the prepared kernels.
prepared_archs() {
	local release
	for release in "${RELEASES[@]}"; do
		kernel_arch "$release"
	done | sort -u
}

need_emulators() {
	local arch
	for arch in $(prepared_archs); do
		need_packages "$(emulator_package "$arch")"
	done
}

# Makes the archives of the prepared kernels' guests: DIR/base-ARCH.cpio and DIR/RELEASE.cpio.
prepare_parts() {
	local dir=$1 release arch
	need_emulators
	for arch in $(prepared_archs); do
		make_base "$arch" "$dir/base-$arch.cpio"
	done
	for release in "${RELEASES[@]}"; do
		make_kernel_part "$release" "$dir/$release.cpio"
	done
}
