# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A guest's whole system is an initramfs. The kernel unpacks several archives that
# follow each other, so this makes three kinds and joins them: the base (busybox and
# the programs), the kernel's (our modules, and those of its own that tests need), and
# the job's (what this one guest has to do). A list of test cases is a file in the
# last: a kernel command line ends at 2048 characters.

# kTLS and the ciphers that it asks for by themselves.
KERNEL_MODULES="tls gcm ghash-generic ctr seqiv aesni-intel"

# Packs a directory as one archive.
pack() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	IN_DIR=$1 in_chroot sh -c 'find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 >"$1"' sh "$2"
}

# Adds programs that exist; a guest that only boots a script needs none.
make_base() {
	local arch=$1 archive=$2 dir program busybox=$CHROOT/bin/busybox
	dir=$(stage base)
	mkdir -p "$dir"/{bin,dev,proc,sys,run,tmp,module,lib/modules,etc}
	ln -s bin "$dir/sbin"
	[ "$arch" = "$BUILD_ARCH" ] || busybox=$CHROOT/$arch/usr/bin/busybox
	cp "$busybox" "$dir/bin/busybox"
	cp "$VM_DIR/init" "$dir/init"
	cp "$VM_DIR/run-cases" "$dir/bin/run-cases"
	chmod 755 "$dir/init" "$dir/bin/run-cases"
	for program in bpf/sockmap-attach bpf/sockmap-check cases/cases; do
		[ ! -e "$(programs_path "$arch")/$program" ] || cp "$(programs_path "$arch")/$program" "$dir/bin/"
	done
	pack "$dir" "$archive"
	discard "$dir"
}

make_kernel_part() {
	local release=$1 archive=$2 dir built module
	dir=$(stage kernel-part)
	mkdir -p "$dir/module" "$dir/lib/modules/$release"
	for built in "$(module_path "$release")" "$CACHE/test-modules/$release"/*/*.ko; do
		[ ! -e "$built" ] || cp "$built" "$dir/module/"
	done
	for module in $KERNEL_MODULES; do
		copy_module "$release" "$module" "$dir"
	done
	cp "$(kernel_path "$release")/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$dir/lib/modules/$release/"
	in_chroot depmod -b "$dir" "$release"
	pack "$dir" "$archive"
	discard "$dir"
}

# Copies one of the kernel's modules and those it needs, unpacked; a kernel may not have it.
copy_module() {
	local release=$1 module=$2 dir=$3
	# shellcheck disable=SC2016 # expanded by the inner shell
	in_chroot sh -euc '
		to=$4/lib/modules/$2
		modprobe -d "$1" -S "$2" --show-depends "$3" 2>/dev/null | while read -r what file rest; do
			[ "$what" = insmod ] || continue
			case $file in
			*.xz) xz -dc "$file" >"$to/$(basename "$file" .xz)" ;;
			*) cp "$file" "$to/" ;;
			esac
		done' sh "$(kernel_path "$release")" "$release" "$module" "$dir"
}

# The files that a job needs are in its directory as they shall be in the guest's root.
make_job_part() {
	pack "$1" "$2"
}
