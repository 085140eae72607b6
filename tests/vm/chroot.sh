# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# One build chroot for everything: its gcc builds modules for the kernels of every
# release, and its static libraries make programs that run in any guest. A host's own
# compiler can't do that (Debian 12's fails on Debian 13's headers), and a user's
# machine shouldn't need one. It also has the QEMU for guests whose processors run at once, which
# Debian 12's can't do (guest.sh). All mounts are made in a mount namespace of the command's
# own, so none outlives it and removing a chroot can never reach through a mount.

CHROOT_SUITE=trixie
CHROOT_PACKAGES=(bc bison bpftool build-essential busybox-static clang cpio debhelper dh-dkms flex
	gcc gcc-aarch64-linux-gnu golang-go golang-k8s-api-dev golang-k8s-sigs-yaml-dev help2man
	kmod libbpf-dev{,:arm64} libc6-dev libelf-dev{,:arm64} libssl-dev libzstd-dev{,:arm64} lintian
	make ovmf pahole patch perl python3 python3-virt-firmware qemu-system-x86 sparse xz-utils
	zlib1g-dev{,:arm64} zstd)
# Packages that can't be installed there, being another architecture's, or whose files are all that
# is wanted of them, being boot loaders; they are unpacked below /ARCHITECTURE.
UNPACKED_PACKAGES=(busybox-static:arm64 grub-efi-amd64-signed:amd64 shim-signed:amd64)

chroot_path() {
	local key
	key=$(echo "$CHROOT_SUITE ${CHROOT_PACKAGES[*]} ${UNPACKED_PACKAGES[*]}" | sha256sum | cut -c 1-12)
	echo "$CACHE/chroot/$key"
}

# What the chroot's apt must know of the host's: proxies and how strict to be on dates.
host_acquire_options() {
	apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries|ForceIPv)' || true
}

# Makes a Debian root file system: bootstrap SUITE DIR PACKAGE...
bootstrap() {
	local suite=$1 dir=$2 architectures=$BUILD_ARCH packages sources
	shift 2
	[[ " $* " != *:arm64\ * ]] || architectures+=" arm64"
	need_packages mmdebstrap debian-archive-keyring
	find_mirrors
	packages=$(IFS=, && echo "$*")
	sources=("$(source_line "$architectures" "$MAIN_MIRROR" "$suite")")
	[ -z "$SECURITY_MIRROR" ] || sources+=("$(source_line "$architectures" "$SECURITY_MIRROR" "$suite-security")")
	host_acquire_options >"$CACHE/tmp/bootstrap-apt.conf"
	unshare --mount -- mmdebstrap --quiet --mode=root --variant=apt --architectures="${architectures// /,}" \
		--include="$packages" --aptopt="$CACHE/tmp/bootstrap-apt.conf" "$suite" "$dir" "${sources[@]}" \
		</dev/null >"$CACHE/bootstrap.log" 2>&1 ||
		die "mmdebstrap failed: $(grep '^E:' "$CACHE/bootstrap.log" | head -n 1) (see $CACHE/bootstrap.log)"
}

make_chroot() {
	local chroot=$1 staged
	log "making the $CHROOT_SUITE build chroot (once, about a minute)"
	staged=$(stage chroot)
	bootstrap "$CHROOT_SUITE" "$staged" "${CHROOT_PACKAGES[@]}"
	add_unpacked_packages "$staged"
	finish "$staged" "$chroot"
	remove_other_chroots "$chroot"
}

add_unpacked_packages() {
	local chroot=$1 package debs deb
	debs=$(stage debs)
	for package in "${UNPACKED_PACKAGES[@]}"; do
		(cd "$debs" && private_apt apt-get -qq download "$package/$CHROOT_SUITE") \
			</dev/null >"$CACHE/download.log" 2>&1 || die "can't download $package, see $CACHE/download.log"
	done
	for deb in "$debs"/*.deb; do
		dpkg-deb -x "$deb" "$chroot/$(dpkg-deb -f "$deb" Architecture)"
	done
	discard "$debs"
}

remove_other_chroots() {
	local chroot
	for chroot in "$CACHE"/chroot/*; do
		[ "$chroot" = "$1" ] || discard "$chroot"
	done
}

need_chroot() {
	CHROOT=$(chroot_path)
	[ -d "$CHROOT" ] || make_chroot "$CHROOT"
}

# Runs a command in the chroot, in IN_DIR or else the checkout. The checkout is read-only
# there and the cache is writable, both at the paths they have outside. HEADERS_OF
# names a kernel whose header packages shall be seen where they belong.
in_chroot() {
	chroot_command
	"${CHROOT_COMMAND[@]}" "$@"
}

# Sets CHROOT_COMMAND to the command that in_chroot begins with, for who can't call a function.
chroot_command() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	CHROOT_COMMAND=(unshare --mount --pid --fork --kill-child -- bash -euc '
		root=$1 top=$2 cache=$3 headers=$4 dir=$5
		shift 5
		bind() {
			mkdir -p "$root$2"
			mount --bind "$1" "$root$2"
		}
		mount -t proc proc "$root/proc"
		mount -t tmpfs tmpfs "$root/tmp"
		mount --bind /dev "$root/dev"
		bind "$top" "$top"
		mount -o remount,bind,ro "$root$top"
		bind "$cache" "$cache"
		if [ -n "$headers" ]; then
			bind "$headers/usr/src" /usr/src
			for kbuild in "$headers"/usr/lib/linux-kbuild-*; do
				bind "$kbuild" "/usr/lib/${kbuild##*/}"
			done
		fi
		exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 \
			GOCACHE="$cache/go" sh -c "cd \"\$1\" && shift && exec \"\$@\"" sh "$dir" "$@"
	' bash "$CHROOT" "$TOP" "$CACHE" "${HEADERS_OF:+$(kernel_path "$HEADERS_OF")/headers}" "${IN_DIR:-$TOP}")
}
