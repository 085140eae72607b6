# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the guests' scripts have in common: where things are, how to speak, how to
# leave nothing half made. Everything that is downloaded or built goes below one
# folder that git ignores, and gets there by a rename, so that an interrupted run
# never leaves a thing that a later one takes for whole.

VM_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$VM_DIR/../.." && pwd)
CACHE=$(realpath -m "${CACHE:-$TOP/.cache}")

log() {
	printf '%s\n' "$*" >&2
}

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# Kbuild can't work below a path with a space.
check_paths() {
	local path
	for path in "$TOP" "$CACHE"; do
		[[ $path != *[[:space:]]* ]] || die "the path '$path' has a space in it, which kernel builds can't handle"
	done
	mkdir -p "$CACHE"
}

need_root() {
	[ "$(id -u)" = 0 ] || die "this needs root (packages, mounts): sudo $*"
}

# Installs those of the named Debian packages that the host doesn't have.
need_packages() {
	local package missing=()
	command -v apt-get >/dev/null || die "no apt-get here; this needs Debian, or these by hand: $*"
	for package in "$@"; do
		[[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ?i* ]] || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] || die "missing packages; run: sudo apt-get install ${missing[*]}"
	log "installing on this machine: ${missing[*]}"
	install_packages "${missing[@]}" || die "apt-get install ${missing[*]} failed, see $CACHE/apt-install.log"
}

install_packages() {
	local install=(env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends install "$@")
	{
		"${install[@]}" || { apt-get update && "${install[@]}"; }
	} </dev/null >"$CACHE/apt-install.log" 2>&1
}

# A new directory below the cache, on the same file system, to be renamed when whole.
stage() {
	mkdir -p "$CACHE/tmp"
	mktemp -d "$CACHE/tmp/$1.XXXXXX"
}

# Moves what was staged to its place.
finish() {
	local from=$1 to=$2
	mkdir -p "$(dirname "$to")"
	discard "$to"
	chmod 755 "$from"
	mv -T "$from" "$to"
}

discard() {
	rm -rf --one-file-system "$@"
}

# Keeps the newest COUNT log folders of a kind of run.
forget_old_logs() {
	local kind=$1 count=$2 old
	mapfile -t old < <(find "$CACHE/logs" -mindepth 1 -maxdepth 1 -name "$kind-*" | sort | head -n "-$count")
	[ ${#old[@]} = 0 ] || discard "${old[@]}"
}

# One at a time prepares; who holds the lock may sweep what an interrupted one left.
lock() {
	local name=$1
	exec {LOCK_FD}>"$CACHE/$name.lock"
	if ! flock -n "$LOCK_FD"; then
		log "waiting for another run that uses $CACHE ($name)"
		flock "$LOCK_FD"
	fi
}

unlock() {
	exec {LOCK_FD}>&-
}

# A name for the state of some source files, without what a build leaves among them.
sources_key() {
	(
		cd "$TOP" || exit
		find "$@" -type f ! -name '.*' ! -name '*.o' ! -name '*.ko' ! -name '*.mod*' -print0 |
			LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16
	)
}
