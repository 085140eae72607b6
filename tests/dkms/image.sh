# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The machine on which dkms is tested: a Debian of the wanted suite as a user has it,
# with dkms, a compiler and two kernels, and the packages of a third, which arrives
# later. It is made once per recipe. Which kernels these are is asked of the suite's
# package lists, so tomorrow's kernels are tested tomorrow. A test never writes to it:
# each works on a copy-on-write view of its own.

MACHINE_PACKAGES=(dkms gcc kmod make openssl)
FLAVOUR=cloud-amd64
# Where things are on the machine: the later kernel's packages, and our sources.
LATER_DEBS=/var/cache/later-kernel
SOURCES=/home/user/sockmap_splice

# The suites that hold kernels which a user of SUITE may install.
kernel_suites() {
	case $SUITE in
	sid) echo "sid|experimental" ;;
	*) echo "$SUITE|$SUITE-security|$SUITE-backports" ;;
	esac
}

# Points the private apt at SUITE alone: names such as linux-kbuild-6.1 are another
# package in each of them.
use_suite_apt() {
	local all=$APT_DIR
	APT_DIR=$WORK/apt
	mkdir -p "$APT_DIR"
	grep -E " ($(kernel_suites)) main$" "$all/sources.list" >"$APT_DIR/sources.list" ||
		die "the mirror has no list of $SUITE"
	cat "$all/apt.conf" - >"$APT_DIR/apt.conf" <<-CONF
		Dir::Etc::sourcelist "$APT_DIR/sources.list";
		Dir::Cache::pkgcache "";
		Dir::Cache::srcpkgcache "";
	CONF
}

suite_kernels() {
	list_kernels | grep -e "-$BUILD_ARCH\$"
}

# Sets RUNNING, the suite's default kernel.
default_kernel() {
	RUNNING=$(private_apt apt-cache depends "linux-image-$FLAVOUR" | sed -n 's/^ *Depends: linux-image-//p')
	[ -n "$RUNNING" ] || die "the lists of $SUITE name no default kernel"
}

# Sets OTHER, another kernel of the default one's series (of another flavour if that has
# one ABI only), and LATER, the newest that there is.
choose_kernels() {
	local all alike
	all=$(suite_kernels | tac | grep -vFx "$RUNNING")
	alike=$(grep -E "^$(escape "$(series "$RUNNING")")[.+-]" <<<"$all" || true)
	LATER=$(grep -e "-$FLAVOUR\$" <<<"$all" | first_to_be_had) || die "the mirror has no second kernel for $SUITE"
	OTHER=$({ grep -e "-$FLAVOUR\$" <<<"$alike" || true; echo "$alike"; } | grep -vFx "$LATER" | first_to_be_had) ||
		die "the mirror has no third kernel for $SUITE"
}

# The lists of a mirror can name what it has dropped.
first_to_be_had() {
	local release dir
	dir=$(stage probe)
	while read -r release; do
		if (cd "$dir" && private_apt apt-get -qq download "linux-"{image,headers}"-$release") </dev/null >&2; then
			echo "$release"
			return
		fi
	done 2>"$CACHE/download.log"
	return 1
}

series() {
	grep -oE '^[0-9]+\.[0-9]+' <<<"$1"
}

# Only Debian's releases have a security suite, which bootstrap asks for.
bootstrap_machine() (
	export INITRD=No
	find_mirrors
	# shellcheck disable=SC2034,SC2317 # for bootstrap
	[ "$SUITE" != sid ] || find_mirrors() { SECURITY_MIRROR=; }
	bootstrap "$SUITE" "$@"
)

# The machine remembers its kernels, as asking what is to be had takes the network.
need_machine() {
	local key
	default_kernel
	key=$(echo "$SUITE ${MACHINE_PACKAGES[*]} $RUNNING $(suite_kernels)" | sha256sum | cut -c 1-12)
	MACHINE=$CACHE/dkms/$SUITE-$key
	[ -d "$MACHINE" ] || make_machine
	read -r RUNNING OTHER LATER <"$MACHINE/kernels"
}

make_machine() {
	local staged old
	choose_kernels
	log "making a $SUITE machine with dkms, $RUNNING and $OTHER (once, one to three minutes)"
	staged=$(stage machine)
	bootstrap_machine "$staged" "${MACHINE_PACKAGES[@]}" linux-{image,headers}-{"$RUNNING","$OTHER"}
	download_later_kernel "$staged"
	echo "$RUNNING $OTHER $LATER" >"$staged/kernels"
	for old in "$CACHE/dkms/$SUITE"-*; do
		discard "$old"
	done
	finish "$staged" "$MACHINE"
}

# Fetches the later kernel's packages and all that this machine lacks for them, so that
# installing them needs no network.
download_later_kernel() {
	local machine=$1
	mkdir -p "$machine$LATER_DEBS/partial"
	private_apt apt-get -y --no-install-recommends --download-only -t "$(later_suite)" \
		-o Dir::State::status="$machine/var/lib/dpkg/status" -o Dir::Cache::archives="$machine$LATER_DEBS" \
		install "linux-image-$LATER" "linux-headers-$LATER" </dev/null >"$CACHE/download.log" 2>&1 ||
		die "can't download $LATER: $(grep '^E:' "$CACHE/download.log" | tail -n 1)"
}

later_suite() {
	case $SUITE in
	bullseye) echo bullseye-security ;;
	sid) echo experimental ;;
	*) echo "$SUITE-backports" ;;
	esac
}

# Makes a view of the machine with the module's sources in a user's home.
new_view() {
	VIEW=$WORK/$1
	mkdir -p "$VIEW"/{upper,work,root}
	copy_sources "$VIEW/upper$SOURCES"
}

copy_sources() {
	mkdir -p "$1"
	cp -r "$TOP"/{Kbuild,LICENSE,Makefile,dkms.conf,module} "$1/"
}

# As those of another version.
copy_sources_as() {
	copy_sources "$1"
	sed -i "s/^PACKAGE_VERSION=.*/PACKAGE_VERSION=\"$2\"/" "$1/dkms.conf"
}

# Runs a command as root on the view. INITRD=No is the kernel packages' word for a machine
# that boots without an initrd; making them takes longer than all else. The mounts are
# in a mount namespace of the command's own.
on_machine() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --mount --pid --fork --kill-child -- bash -euc '
		machine=$1 view=$2
		shift 2
		mount -t overlay -o "lowerdir=$machine,upperdir=$view/upper,workdir=$view/work" overlay "$view/root"
		mount -t proc proc "$view/root/proc"
		mount -t tmpfs tmpfs "$view/root/tmp"
		mount --rbind /dev "$view/root/dev"
		exec chroot "$view/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
			DEBIAN_FRONTEND=noninteractive INITRD=No "$@"
	' bash "$MACHINE" "$VIEW" "$@" </dev/null
}
