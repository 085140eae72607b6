# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Kernels that the mirror has as an image without headers (6.18). It also has the source
# package's tarball, which with the image's configuration makes a tree that modules can be
# built in, but not Debian's patches to it. So the tree isn't trusted: the types that our
# module gets from it must be those that the image was built with, by the image's own BTF.
# That leaves macros and inline functions, which no image tells about.

SOURCE_SUITE=trixie-backports
# The module can't do without agreeing on these.
COMPARED_TYPES="sk_psock sk_msg sk_buff sock proto tcp_sock inet_connection_sock socket \
	pipe_inode_info pipe_buffer page file task_struct ftrace_ops kprobe module"

# Releases with a whole image (from 6.19 on it is in other packages, which are gone) that
# doesn't ask modules for symbol versions (before 6.18), newest last.
source_kernels() {
	private_apt apt-cache pkgnames linux- | awk '
		!/^linux-[a-z]*-[0-9].*-amd64$/ { next }
		sub(/^linux-image-/, "") { image[$0] = 1; next }
		sub(/^linux-(headers|binary)-/, "") { no[$0] = 1 }
		END {
			for (release in image) {
				split(release, version, ".")
				if (!(release in no) && version[1] * 1000 + version[2] >= 6018)
					print release
			}
		}' | sort -V
}

has_no_headers() {
	grep -qxF -- "$1" "$APT_DIR/source-kernels"
}

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

fetch_source_kernel() {
	local release=$1 staged work
	log "fetching kernel $release and making a build tree from its source (some minutes)"
	work=$(stage source)
	staged=$(stage kernel)
	mkdir "$work/tree" "$work/module"
	{
		download_source "$release" "$work" &&
			unpack_source "$release" "$work" &&
			make_tree "$release" "$work" &&
			build_yardstick "$work"
	} >"$CACHE/source.log" 2>&1 || build_failed "a tree for $release" "$CACHE/source.log"
	compare_types "$release" "$work"
	install_headers "$work/tree" "$release" "$staged/headers" >>"$CACHE/source.log" 2>&1 ||
		build_failed "headers for $release" "$CACHE/source.log"
	cp "$work/image/boot/vmlinuz-$release" "$staged/vmlinuz"
	mv "$work/image/usr/lib" "$staged/lib"
	discard "$work"
	in_chroot depmod -b "$staged" "$release"
	finish "$staged" "$(kernel_path "$release")"
}

# The private apt, with the lists of sources instead.
source_apt() {
	private_apt "$@" -o "Dir::Etc::sourcelist=$APT_DIR/source.list" \
		-o "Dir::State::lists=$APT_DIR/source-lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
}

# Gets the image's package and the tarball that it was built from.
download_source() (
	find_mirrors
	mkdir -p "$APT_DIR/source-lists/partial"
	printf 'deb-src [target=Sources signed-by=%s] %s %s main\n' \
		"$KEYRING" "$MAIN_MIRROR" "$SOURCE_SUITE" >"$APT_DIR/source.list"
	cd "$2" &&
		private_apt apt-get -qq download "linux-image-$1" &&
		source_apt apt-get -qq update &&
		source_apt apt-get -qq source --download-only --tar-only "linux=$(source_version "$2")"
)

# The version of the source that the image's package in a directory was built from.
source_version() {
	dpkg-deb -f "$1"/linux-image-*.deb Built-Using | sed -n 's/^linux (= \(.*\))$/\1/p'
}

unpack_source() {
	local release=$1 work=$2
	# shellcheck disable=SC2016 # expanded by the inner shell
	dpkg-deb -x "$work"/linux-image-*.deb "$work/image" &&
		IN_DIR=$work in_chroot tar -C tree --strip-components=1 -xf "$(cd "$work" && echo linux_*.orig.tar.xz)" &&
		IN_DIR=$work in_chroot sh -c 'tree/scripts/extract-vmlinux "$1" >vmlinux' sh "image/boot/vmlinuz-$release"
}

# The image's configuration, but for what the chroot has no compiler for (Rust), and what it
# exports. The linker keeps a name that others end with only as their end, so each end of
# each name counts; if one isn't exported after all, the module won't load.
make_tree() {
	local release=$1 work=$2 version
	version=$(source_version "$work")
	cp "$work/image/boot/config-$release" "$work/tree/.config" &&
		IN_DIR=$work in_chroot objcopy -O binary -j __ksymtab_strings vmlinux exports &&
		tr '\0' '\n' <"$work/exports" | awk '{ for (; $0 != ""; $0 = substr($0, 2)) print }' | sort -u |
		sed 's/.*/0x00000000\t&\tvmlinux\tEXPORT_SYMBOL_GPL\t/' >"$work/tree/Module.symvers" &&
		in_tree "$work/tree" LOCALVERSION="${release#"${version%%-*}"}" olddefconfig modules_prepare &&
		[ "$(cat "$work/tree/include/config/kernel.release")" = "$release" ]
}

# Our module, which has the types that matter, and both sides' types as C.
build_yardstick() {
	local work=$1
	# shellcheck disable=SC2016 # expanded by the inner shell
	cp -r "$TOP/Kbuild" "$TOP/dkms.conf" "$TOP/module" "$work/module/" &&
		in_tree "$work/tree" M="$work/module" modules &&
		IN_DIR=$work in_chroot sh -euc '
			pahole --btf_encode_detached=module.btf "module/$1.ko"
			bpftool btf dump file vmlinux format c >kernel.h
			bpftool btf dump file module.btf format c >module.h' sh "$MODULE_NAME"
}

compare_types() {
	local release=$1 work=$2 different
	different=$(awk -v wanted="$COMPARED_TYPES" -f "$VM_DIR/types.awk" "$work/kernel.h" "$work/module.h") ||
		die "can't compare the types of $release"
	[ -z "$different" ] || die "the source of $release isn't what its image was built from:" \
		"$(echo "$different" | head -n 5 | tr '\n' ';')"
}
