# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Kernels that Debian has only the source of: with sanitizers (the flavours debug-amd64 and
# kcsan-amd64), or changed for a test. They are made of a linux-source package and the small
# configurations in config/, and kept as a kernel directory like those of stock kernels.

BUILT_FLAVOURS="debug kcsan"
CONFIG_DIR=$VM_DIR/config
# Besides the newest.
BUILT_SERIES=6.12

# The release that a linux-source package makes in a flavour: named like those of stock kernels.
built_release() {
	local series=$1 flavour=$2 version
	version=$(private_apt apt-cache show --no-all-versions "linux-source-$series" | sed -n 's/^Version: //p')
	[ -n "$version" ] || die "no linux-source-$series in the mirror"
	echo "${version%%[-~]*}-$flavour-amd64"
}

newest_source() {
	private_apt apt-cache pkgnames linux-source- | sed -nE 's/^linux-source-([0-9]+\.[0-9]+)$/\1/p' | sort -V | tail -n 1
}

# Those with sanitizers, newest last.
built_kernels() {
	local series flavour
	for series in $BUILT_SERIES $(newest_source); do
		for flavour in $BUILT_FLAVOURS; do
			(built_release "$series" "$flavour") 2>/dev/null || true
		done
	done | sort -uV
}

is_built() {
	grep -qxF -- "$1" "$APT_DIR/built-kernels"
}

fetch_built_kernel() {
	local release=$1 series flavour=${1%-amd64}
	series=$(echo "$release" | grep -oE '^[0-9]+\.[0-9]+')
	need_built_kernel "$release" "$series" "$CONFIG_DIR/cases $CONFIG_DIR/${flavour##*-}"
}

# Makes RELEASE of a series with config/base and CONFIGS (and a PATCH), unless it is there and
# made of the same.
need_built_kernel() {
	local release=$1 series=$2 configs="$CONFIG_DIR/base $3" patch=${4:-} path key staged
	path=$(kernel_path "$release")
	# shellcheck disable=SC2086 # a path per word
	key=$(cat $configs "$CONFIG_DIR/renamed" ${patch:+"$patch"} | sha256sum | cut -c 1-16)
	[ "$(cat "$path/key" 2>/dev/null)" != "$key" ] || return 0
	log "building the kernel $release (once, some minutes)"
	TREE=$(stage tree)
	staged=$(stage kernel)
	{
		unpack_series "$series" &&
			{ [ -z "$patch" ] || IN_DIR=$TREE in_chroot patch -p1 -i "$patch"; } &&
			configure "$release" "$configs" &&
			in_tree "$TREE" bzImage modules &&
			install_built "$release" "$staged"
	} >"$CACHE/kernel-build.log" 2>&1 || build_failed "the kernel $release" "$CACHE/kernel-build.log"
	discard "$TREE"
	echo "$key" >"$staged/key"
	finish "$staged" "$path"
}

unpack_series() {
	(cd "$TREE" && private_apt apt-get -qq download "linux-source-$1") </dev/null &&
		dpkg-deb -x "$TREE"/*.deb "$TREE" &&
		IN_DIR=$TREE in_chroot tar --strip-components=1 -xf "usr/src/linux-source-$1.tar.xz"
}

# Kconfig drops without a word what it can't have.
configure() {
	local release=$1 configs=$2 version
	version=${release%%-*}
	# shellcheck disable=SC2086 # a path per word
	cat $configs >"$TREE/wanted" &&
		echo "CONFIG_LOCALVERSION=\"${release#"$version"}\"" >>"$TREE/wanted" &&
		cat "$TREE/wanted" "$CONFIG_DIR/renamed" >"$TREE/all" &&
		in_tree "$TREE" KCONFIG_ALLCONFIG=all allnoconfig &&
		! grep '^CONFIG_' "$TREE/wanted" | grep -vxFf "$TREE/.config"
}

install_built() {
	local release=$1 to=$2
	cp "$TREE/arch/x86/boot/bzImage" "$to/vmlinuz" &&
		in_tree "$TREE" INSTALL_MOD_PATH="$to" DEPMOD=true modules_install &&
		rm -f "$to/lib/modules/$release/build" &&
		install_headers "$TREE" "$release" "$to/headers"
}
