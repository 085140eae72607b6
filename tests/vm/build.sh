# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Builds what runs in the guests, in the build chroot and out of the checkout's tree:
# the module and those that tests need once per kernel, the programs (static) once for all. What is
# built is kept under a key of its sources, so an unchanged tree is never built twice and
# a changed one never tested with yesterday's objects.

MODULE_NAME=sockmap_splice

module_path() {
	echo "$CACHE/out/$1/$MODULE_NAME.ko"
}

# Modules that tests load beside ours, each in a directory of tests/ with the name given here.
TEST_MODULES="livepatch/neighbour_livepatch namesake/namesake unreadable/unreadable"

test_module_path() {
	echo "$CACHE/test-modules/$1/$2.ko"
}

# What make has to be told, in the kernel's terms and in those of our own Makefiles.
kbuild_variables() {
	case $1 in
	arm64) echo "ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- CC=aarch64-linux-gnu-gcc" ;;
	*) echo "CC=gcc" ;;
	esac
}

program_variables() {
	case $1 in
	arm64) echo "CC=aarch64-linux-gnu-gcc LD=aarch64-linux-gnu-ld AR=aarch64-linux-gnu-ar" ;;
	*) echo "CC=gcc" ;;
	esac
}

# Builds the module for a kernel, with the kernel's own extra warnings; what the compiler
# says stays in the build.log beside it.
build_module() {
	local release=$1 out key staged
	out=$CACHE/out/$release
	key=$(sources_key Kbuild dkms.conf module)-${CHROOT##*/}
	[ "$(cat "$out/key" 2>/dev/null)" != "$key" ] || return 0
	log "building the module for $release"
	staged=$(stage module)
	kbuild_module "$release" "$staged" W=1 >"$staged.log" 2>&1 || build_failed "the module for $release" "$staged.log"
	mv "$staged.log" "$staged/build.log"
	echo "$key" >"$staged/key"
	finish "$staged" "$out"
}

# Runs kbuild in a new directory, with a copy of the sources.
kbuild_module() {
	local release=$1 dir=$2
	shift 2
	cp -r "$TOP/Kbuild" "$TOP/dkms.conf" "$TOP/module" "$dir/"
	find "$dir" \( -name '*.o' -o -name '*.ko' -o -name '.*.cmd' \) -delete
	kbuild "$release" "$dir" "$@"
}

kbuild() {
	local release=$1 dir=$2
	shift 2
	# shellcheck disable=SC2046 # a variable per word
	HEADERS_OF=$release in_chroot make -C "/usr/src/linux-headers-$release" \
		$(kbuild_variables "$(kernel_arch "$release")") M="$dir" "$@" modules
}

has_livepatches() {
	grep -qx CONFIG_LIVEPATCH=y "$(kernel_path "$1")/headers/usr/src/linux-headers-$1/include/config/auto.conf"
}

# Builds the modules that tests load, a livepatch only for a kernel that takes any.
build_test_modules() {
	local release=$1 module
	for module in $TEST_MODULES; do
		[[ $module != livepatch/* ]] || has_livepatches "$release" || continue
		build_test_module "$release" "$module"
	done
}

build_test_module() {
	local release=$1 dir=${2%/*} out key staged
	out=$(dirname "$(test_module_path "$release" "$2")")
	key=$(sources_key "tests/$dir")-${CHROOT##*/}
	[ "$(cat "$out/key" 2>/dev/null)" != "$key" ] || return 0
	log "building a module for tests, $dir, for $release"
	staged=$(stage test-module)
	cp "$TOP/tests/$dir"/{Kbuild,*.c} "$staged/"
	kbuild "$release" "$staged" >"$staged.log" 2>&1 || build_failed "$dir for $release" "$staged.log"
	mv "$staged.log" "$staged/build.log"
	echo "$key" >"$staged/key"
	finish "$staged" "$out"
}

build_failed() {
	tail -n 30 "$2" >&2
	cp "$2" "$CACHE/build-failed.log"
	die "can't build $1, see $CACHE/build-failed.log"
}

programs_path() {
	echo "$CACHE/programs/$1"
}

# Builds into a folder of an architecture's programs unless it is up to date: SOURCES is
# what its state depends on, the rest is what make is told.
build_once() {
	local arch=$1 name=$2 sources=$3 out key
	shift 3
	out=$(programs_path "$arch")/$name
	# shellcheck disable=SC2086 # a path per word
	key=$(sources_key $sources)-${CHROOT##*/}
	[ "$(cat "$out/key" 2>/dev/null)" != "$key" ] || return 0
	log "building the programs for $arch: $name"
	discard "$out"
	mkdir -p "$out"
	# shellcheck disable=SC2046 # a variable per word
	in_chroot make -j"$(nproc)" $(program_variables "$arch") "$@" O="$out" >"$CACHE/build.log" 2>&1 ||
		build_failed "$name" "$CACHE/build.log"
	echo "$key" >"$out/key"
}

build_bpf() {
	build_once "$1" bpf bpf -C bpf STATIC=1
}

build_programs() {
	local arch=$1
	build_bpf "$arch"
	build_once "$arch" cases "bpf tests/cases" -C tests/cases BPF_O="$(programs_path "$arch")/bpf"
}
