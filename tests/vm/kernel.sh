# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Stock kernels by name. A name is looked up in what the mirror offers, never in a
# list kept here, so tomorrow's kernel is there tomorrow:
#   6.1, 6.12, 7.3     the newest of that series
#   6.12+deb12         the newest of that series for that Debian release
#   6.12.117+deb12     that ABI
#   =7.3               that ABI, where a series has the same name
#   newest             the newest of all
# each in the cloud flavour for amd64; NAME:FLAVOUR (6.12:rt-amd64, 6.1:cloud-arm64, and those
# of built.sh: 6.12:debug-amd64) or a whole release (6.12.117+deb12-rt-amd64) names another.
# parallel:NAME is such a kernel for amd64 in a guest whose processors run at once (guest.sh).
# What is tested of a kernel has a name as well: its release, or parallel-RELEASE.
# A fetched kernel is a directory, named by its release, with vmlinuz, lib/modules/RELEASE and
# headers/usr/{src,lib} as packaged.

DEFAULT_FLAVOUR=cloud-amd64
# What follows a series: .0-56, .0-0.deb11.52, .117+deb13, nothing.
ANY_ABI='([.+][0-9a-z.+]*(-[0-9][0-9a-z.]*)?)?'

# What "make test" takes unless something else is asked for; the first are tested whole.
# shellcheck disable=SC2034 # used by run.sh and vm.sh
WHOLE_KERNELS="5.10 6.1 6.12 7.3 parallel:7.3"
# shellcheck disable=SC2034
DEFAULT_KERNELS="$WHOLE_KERNELS 6.12:cloud-arm64"
# On which of these it leaves out the cases over IPv6, which are those over IPv4 once more.
# shellcheck disable=SC2034
WITHOUT_IPV6="5.10 6.1 6.12"
# What "make test" takes besides kernels, and what of that "all" takes; see tests/run.sh.
# shellcheck disable=SC2034
DEFAULT_OTHERS="dkms:trixie"
# shellcheck disable=SC2034
ALL_OTHERS="own-splice dkms:bullseye dkms:bookworm dkms:trixie dkms:sid"
# The kernels with sanitizers, see built.sh.
# shellcheck disable=SC2034
DEBUG_KERNELS="6.12:debug-amd64 newest:debug-amd64 6.12:kcsan-amd64"
# What "all" adds to the cloud flavour's kernels.
MORE_KERNELS="6.12:amd64 6.12:rt-amd64 newest:amd64 newest:rt-amd64
	6.1:cloud-arm64 6.12:cloud-arm64 newest:cloud-arm64 parallel:newest"

kernel_path() {
	echo "$CACHE/kernels/$1"
}

kernel_arch() {
	echo "${1##*-}"
}

# Those without headers come first: of a series that has both, the newest with headers
# is wanted.
known_kernels() {
	cat "$APT_DIR"/{built-kernels,source-kernels,kernels}
}

# The extended regular expression that the wanted releases match.
kernel_pattern() {
	local name=${1%%:*} flavour=$DEFAULT_FLAVOUR
	[ "$name" = "$1" ] || flavour=${1#*:}
	local series=${name%%+*}
	case $name in
	*-amd64 | *-arm64) escape "$name" ;;
	=*) escape "${name#=}-$flavour" ;;
	newest) printf '[0-9]+\.[0-9]+%s-%s' "$ANY_ABI" "$(escape "$flavour")" ;;
	*) if [[ ! $series =~ ^[0-9]+\.[0-9]+$ ]]; then
		escape "$name-$flavour"
	elif [ "$series" = "$name" ]; then
		printf '%s%s-%s' "$(escape "$series")" "$ANY_ABI" "$(escape "$flavour")"
	else
		printf '%s(\.[0-9]+)*%s(\.[0-9]+)*-%s' "$(escape "$series")" "$(escape "+${name#*+}")" \
			"$(escape "$flavour")"
	fi ;;
	esac
}

escape() {
	# shellcheck disable=SC2016 # no variable, the end of a line
	printf '%s' "$1" | sed 's/[.+*?^$()|[\]/\\&/g'
}

# Of a target or a machine.
is_parallel() {
	[[ $1 == parallel-* ]]
}

target_release() {
	echo "${1#parallel-}"
}

# The machine that a target's guests are, in guest.sh's terms.
target_machine() {
	echo "$(is_parallel "$1" && echo parallel-)$(kernel_arch "$1")"
}

resolve_target() {
	local release
	release=$(resolve_kernel "${1#parallel:}") || exit
	if [[ $1 == parallel:* ]]; then
		[ "$(kernel_arch "$release")" = amd64 ] || die "no '$1': only amd64 has guests of that kind"
		release=parallel-$release
	fi
	echo "$release"
}

resolve_kernel() {
	local name=$1 release
	release=$(known_kernels | grep -Ex -- "$(kernel_pattern "$name")" | tail -n 1) ||
		die "no kernel '$name' with headers in the mirror; there are: $(known_kernels |
			sed -n "s/-$DEFAULT_FLAVOUR$//p" | tr '\n' ' ')"
	echo "$release"
}

# Every kernel that is worth a test: of each series and each Debian release that has it,
# the oldest and the newest ABI, as stable updates change what no header tells; the newest
# without headers; and some of the other flavours.
all_kernels() {
	local name
	sed -n "s/-$DEFAULT_FLAVOUR$//p" "$APT_DIR/kernels" | awk '
		{
			match($0, /^[0-9]+\.[0-9]+/)
			line = substr($0, 1, RLENGTH) (match($0, /deb[0-9]+/) ? substr($0, RSTART, RLENGTH) : "")
			if (!(line in first)) {
				lines[++count] = line
				first[line] = $0
			}
			last[line] = $0
		}
		END {
			for (i = 1; i <= count; i++) {
				print first[lines[i]]
				if (first[lines[i]] != last[lines[i]])
					print last[lines[i]]
			}
		}' | sed "s/$/-$DEFAULT_FLAVOUR/"
	grep -e "-$DEFAULT_FLAVOUR$" "$APT_DIR/source-kernels" | tail -n 1
	for name in $MORE_KERNELS; do
		resolve_target "$name"
	done
}

debug_kernels() {
	local name
	for name in $DEBUG_KERNELS; do
		resolve_kernel "$name"
	done
}

# The packages that hold a kernel: from 6.19 on an image package only points to others.
# What a build runs of the headers is for the machine that builds.
kernel_packages() {
	local release=$1 arch
	arch=$(kernel_arch "$release")
	{
		echo "linux-image-$release"
		echo "linux-headers-$release"
		private_apt apt-cache depends "linux-image-$release:$arch" "linux-headers-$release:$arch" |
			sed -nE 's/^ *Depends: <?(linux-(base|binary|modules|headers|kbuild)-[0-9][^:>]*).*/\1/p'
	} | sed "s/-$arch\$/&:$arch/"
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
	! is_built "$release" || { fetch_built_kernel "$release"; return; }
	[ ! -d "$path" ] || return 0
	! has_no_headers "$release" || { fetch_source_kernel "$release"; return; }
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
