# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Kernels that are built here, of a source tree.

# make in a kernel's source tree.
in_tree() {
	local tree=$1
	shift
	IN_DIR=$tree in_chroot make -j"$(nproc)" "$@"
}

# Puts what a module's build needs of a tree where header packages have it. There is no
# linux-kbuild package to it; in_chroot wants to see one.
install_headers() {
	local tree=$1 release=$2 to=$3 headers=$3/usr/src/linux-headers-$2
	mkdir -p "$headers" "$to/usr/lib/linux-kbuild-$release" &&
		in_tree "$tree" run-command KBUILD_RUN_COMMAND="scripts/package/install-extmod-build $headers"
}
