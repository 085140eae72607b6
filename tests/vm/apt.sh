# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Kernels of every Debian release, from whatever mirror this machine uses. The
# machine's own apt must neither be changed nor see other releases, so this keeps
# sources, lists and caches of its own and takes only the mirror's address (and
# proxies, and the like) from the machine's configuration.

APT_DIR=$CACHE/apt
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
# The first is the build chroot's; kernels of the others are built and emulated on it.
ARCHITECTURES="amd64 arm64"
BUILD_ARCH=${ARCHITECTURES%% *}
MAIN_SUITES="bullseye bookworm bookworm-backports trixie trixie-backports sid experimental"
SECURITY_SUITES="bullseye-security bookworm-security trixie-security"
LISTS_MAX_AGE_MINUTES=1440

# What the host's apt knows of its sources. Without its lists it only knows addresses,
# with them also whose packages they have.
host_sources() {
	# shellcheck disable=SC2016 # apt's variables, not the shell's
	local format='$(ORIGIN)|$(RELEASE)|$(COMPONENT)|$(SITE)'
	apt-get indextargets --format "$format" 'Created-By: Packages'
	apt-get indextargets --format "$format" --no-release-info 'Created-By: Packages'
}

# The host's mirror of Debian's main or security archive: rather one that says it is
# Debian's than one that looks so, as others use its suites' names too.
host_mirror() {
	host_sources | awk -F'|' -v kind="$1" '
		$3 != "main" || ($2 ~ /-security$|\/updates$/) != (kind == "security") { next }
		{ rank = 2 * ($1 == "Debian") + ($4 ~ /\/debian/) }
		rank > best { best = rank; site = $4 }
		END { print site }'
}

# Sets MAIN_MIRROR and SECURITY_MIRROR; one is derived when the host has only the other.
find_mirrors() {
	MAIN_MIRROR=${DEBIAN_MIRROR:-$(host_mirror main)}
	SECURITY_MIRROR=${DEBIAN_SECURITY_MIRROR:-$(host_mirror security)}
	: "${MAIN_MIRROR:=${SECURITY_MIRROR%-security}}"
	[ -n "$MAIN_MIRROR" ] || die "no Debian mirror in this machine's apt sources; set DEBIAN_MIRROR=URL"
	if [ -z "$SECURITY_MIRROR" ] && [[ $MAIN_MIRROR == */debian ]]; then
		SECURITY_MIRROR=$MAIN_MIRROR-security
	fi
}

source_line() {
	local architectures=$1 mirror=$2 suite=$3
	printf 'deb [arch=%s target=Packages signed-by=%s] %s %s main\n' \
		"${architectures// /,}" "$KEYRING" "$mirror" "$suite"
}

write_apt_config() {
	local suite
	mkdir -p "$APT_DIR"/{lists/partial,cache/archives/partial,preferences.d}
	: >"$APT_DIR/status"
	{
		for suite in $MAIN_SUITES; do source_line "$ARCHITECTURES" "$MAIN_MIRROR" "$suite"; done
		[ -z "$SECURITY_MIRROR" ] ||
			for suite in $SECURITY_SUITES; do source_line "$ARCHITECTURES" "$SECURITY_MIRROR" "$suite"; done
	} >"$APT_DIR/sources.list"
	cat >"$APT_DIR/apt.conf" <<-CONF
		Dir::State "$APT_DIR";
		Dir::State::lists "$APT_DIR/lists";
		Dir::State::status "$APT_DIR/status";
		Dir::Cache "$APT_DIR/cache";
		Dir::Cache::pkgcache "pkgcache.bin";
		Dir::Etc::sourcelist "$APT_DIR/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "$APT_DIR/preferences.d";
		APT::Architecture "$BUILD_ARCH";
		APT::Architectures { "${ARCHITECTURES// /\"; \"}"; };
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::PDiffs "false";
		#clear APT::Architectures;
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	CONF
}

# apt-get or apt-cache with the private state. It is given with -c because that is
# read after the host's configuration; what APT_CONFIG names is read before.
private_apt() {
	local tool=$1
	shift
	"$tool" -c "$APT_DIR/apt.conf" "$@"
}

# A mirror may have dropped a release. That only costs that release's kernels.
update_lists() {
	log "fetching package lists of every Debian release (private to $APT_DIR)"
	find_mirrors
	write_apt_config
	if ! private_apt apt-get -qq update >"$APT_DIR/update.log" 2>&1; then
		grep '^E:' "$APT_DIR/update.log" | head -n 3 >&2 || true
		log "warning: not every release's list could be fetched, see $APT_DIR/update.log"
	fi
	list_kernels >"$APT_DIR/kernels.new"
	source_kernels >"$APT_DIR/source-kernels"
	built_kernels >"$APT_DIR/built-kernels"
	if [ -s "$APT_DIR/kernels.new" ]; then
		mv "$APT_DIR/kernels.new" "$APT_DIR/kernels"
	elif [ ! -s "$APT_DIR/kernels" ]; then
		die "no kernels in the lists from $MAIN_MIRROR, see $APT_DIR/update.log"
	fi
}

need_lists() {
	[ -n "$(find "$APT_DIR/kernels" -newer "$VM_DIR/apt.sh" -mmin "-$LISTS_MAX_AGE_MINUTES" 2>/dev/null)" ] ||
		update_lists
}

# Kernel releases that have an image and headers, newest last. A package without a
# -common of its own is a metapackage (linux-headers-6.1-cloud-amd64 in bullseye).
list_kernels() {
	{
		private_apt apt-cache pkgnames linux-image-
		private_apt apt-cache pkgnames linux-headers-
	} | awk '
		sub(/^linux-image-/, "") { image[$0] = 1; next }
		sub(/^linux-headers-/, "") && sub(/-common$/, "") { common[$0] = 1; next }
		{ headers[$0] = 1 }
		END {
			for (release in headers) {
				abi = release
				if (sub(/-(cloud-|rt-)?(amd64|arm64)$/, "", abi) && (release in image) && (abi in common))
					print release
			}
		}' | sort -V
}
