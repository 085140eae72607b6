# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Builds what runs in the guests, in the build chroot and out of the checkout's tree:
# the module once per kernel, the programs (static) once for all. What is built is kept
# under a key of its sources, so an unchanged tree is never built twice and a changed
# one never tested with yesterday's objects.

MODULE_NAME=sockmap_splice

module_path() {
	echo "$CACHE/out/$1/$MODULE_NAME.ko"
}

build_module() {
	local release=$1 out key staged
	out=$CACHE/out/$release
	key=$(sources_key Kbuild dkms.conf module)-${CHROOT##*/}
	[ "$(cat "$out/key" 2>/dev/null)" != "$key" ] || return 0
	log "building the module for $release"
	staged=$(stage module)
	cp -r "$TOP/Kbuild" "$TOP/dkms.conf" "$TOP/module" "$staged/"
	find "$staged" \( -name '*.o' -o -name '*.ko' -o -name '.*.cmd' \) -delete
	HEADERS_OF=$release in_chroot make -C "/usr/src/linux-headers-$release" CC=gcc M="$staged" modules \
		>"$staged/build.log" 2>&1 || build_failed "the module for $release" "$staged/build.log"
	grep -A 5 'warning:' "$staged/build.log" >&2 || true
	echo "$key" >"$staged/key"
	finish "$staged" "$out"
}

build_failed() {
	tail -n 30 "$2" >&2
	cp "$2" "$CACHE/build-failed.log"
	die "can't build $1, see $CACHE/build-failed.log"
}

programs_path() {
	echo "$CACHE/programs"
}

# Builds into a folder of the programs unless it is up to date: SOURCES is what its
# state depends on, the rest is the command.
build_once() {
	local name=$1 sources=$2 out key
	shift 2
	out=$(programs_path)/$name
	# shellcheck disable=SC2086 # a path per word
	key=$(sources_key $sources)-${CHROOT##*/}
	[ "$(cat "$out/key" 2>/dev/null)" != "$key" ] || return 0
	discard "$out"
	mkdir -p "$out"
	in_chroot "$@" O="$out" >"$CACHE/build.log" 2>&1 || build_failed "$name" "$CACHE/build.log"
	echo "$key" >"$out/key"
}

build_bpf() {
	build_once bpf bpf make -j"$(nproc)" -C bpf STATIC=1
}

build_programs() {
	log "building the test programs"
	build_bpf
	build_once cases "bpf tests/cases" make -j"$(nproc)" -C tests/cases BPF_O="$(programs_path)/bpf"
}
