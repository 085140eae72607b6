# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Stock kernels by name. A name is looked up in what the mirror offers, never in a
# list kept here, so tomorrow's kernel is there tomorrow:
#   6.1, 6.12, 7.3     the newest of that series
#   6.12+deb12         the newest of that series for that Debian release
#   6.12.117+deb12     that ABI
#   =7.3               that ABI, where a series has the same name
# each in the cloud flavour; a whole release such as 6.12.117+deb12-rt-amd64 names any
# other. A fetched kernel is a directory, named by its release, with vmlinuz,
# lib/modules/RELEASE and headers/usr/{src,lib} as packaged.

DEFAULT_FLAVOUR=cloud-amd64

kernel_path() {
	echo "$CACHE/kernels/$1"
}

known_kernels() {
	cat "$APT_DIR/kernels"
}

# The extended regular expression that the wanted releases match.
kernel_pattern() {
	local name=$1 series=${1%%+*}
	case $name in
	*-amd64) escape "$name" ;;
	=*) escape "${name#=}-$DEFAULT_FLAVOUR" ;;
	*) if [[ ! $series =~ ^[0-9]+\.[0-9]+$ ]]; then
		escape "$name-$DEFAULT_FLAVOUR"
	elif [ "$series" = "$name" ]; then
		printf '%s([.+][0-9a-z.+-]*)?-%s' "$(escape "$series")" "$DEFAULT_FLAVOUR"
	else
		printf '%s(\.[0-9]+)*%s(\.[0-9]+)*-%s' "$(escape "$series")" "$(escape "+${name#*+}")" "$DEFAULT_FLAVOUR"
	fi ;;
	esac
}

escape() {
	# shellcheck disable=SC2016 # no variable, the end of a line
	printf '%s' "$1" | sed 's/[.+*?^$()|[\]/\\&/g'
}

resolve_kernel() {
	local name=$1 release
	release=$(known_kernels | grep -Ex -- "$(kernel_pattern "$name")" | tail -n 1) ||
		die "no kernel '$name' with headers in the mirror; there are: $(known_kernels |
			sed -n "s/-$DEFAULT_FLAVOUR$//p" | tr '\n' ' ')"
	echo "$release"
}

# The packages that hold a kernel: from 6.19 on an image package only points to others.
kernel_packages() {
	local release=$1
	echo "linux-image-$release"
	echo "linux-headers-$release"
	private_apt apt-cache depends "linux-image-$release" "linux-headers-$release" |
		sed -nE 's/^ *Depends: (linux-(base|binary|modules|headers|kbuild)-[0-9].*)/\1/p'
}

download_kernel() {
	local release=$1 dir=$2 packages
	mapfile -t packages < <(kernel_packages "$release" | sort -u)
	(cd "$dir" && private_apt apt-get -qq download "${packages[@]}") </dev/null >"$CACHE/download.log" 2>&1
}

unpack_kernel() {
	local release=$1 debs=$2 to=$3 deb modules
	mkdir "$to/all"
	for deb in "$debs"/*.deb; do
		dpkg-deb -x "$deb" "$to/all"
	done
	mkdir -p "$to/lib/modules" "$to/headers/usr/lib"
	cp "$to"/all/boot/vmlinuz-"$release" "$to/vmlinuz" 2>/dev/null ||
		cp "$to/all/usr/lib/modules/$release/vmlinuz" "$to/vmlinuz"
	for modules in "$to"/all/{usr/lib,lib}/modules/"$release"; do
		[ ! -d "$modules/kernel" ] || mv "$modules" "$to/lib/modules/"
	done
	mv "$to/all/usr/src" "$to/headers/usr/src"
	mv "$to"/all/usr/lib/linux-kbuild-* "$to/headers/usr/lib/"
	discard "$to/all"
}

fetch_kernel() {
	local release=$1 path debs staged
	path=$(kernel_path "$release")
	[ ! -d "$path" ] || return 0
	log "fetching kernel $release"
	debs=$(stage debs)
	if ! download_kernel "$release" "$debs"; then
		update_lists
		download_kernel "$release" "$debs" ||
			die "can't download $release: $(grep '^E:' "$CACHE/download.log" | tail -n 1)"
	fi
	staged=$(stage kernel)
	unpack_kernel "$release" "$debs" "$staged"
	discard "$debs"
	in_chroot depmod -b "$staged" "$release"
	finish "$staged" "$path"
}
