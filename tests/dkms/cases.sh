# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The cases. Most work on one view and each begins where the one before ended, so what it
# needs is asserted and a fault early in that life fails all that it spoils. A case is a
# function that runs in a process of its own, fails when a command does, and calls fail
# to say why.

NAME=sockmap_splice
OLD_KERNEL=5.4.0-1-$FLAVOUR
GUEST_LIMIT=120
VERSION=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$TOP/dkms.conf")
NEWER=$VERSION.1

fail() {
	echo "$*" >"$REASON"
	exit 1
}

# make in the sources, as a user types it.
make_on_machine() {
	on_machine make -C "$SOURCES" "$@"
}

# Without the progress that dpkg writes for a terminal.
apt_on_machine() {
	on_machine apt-get -y -o Dpkg::Use-Pty=0 --no-install-recommends "$@"
}

# What dkms knows, in the words of every version of it: NAME, VERSION, KERNEL, ARCH: STATE
dkms_status() {
	on_machine dkms status | sed 's#/#, #'
}

# Everything on the machine but the newer sources, which upgrade brings, and the key that
# dkms makes once. The sizes tell files that were written over.
list_files() {
	on_machine find / \( -path /dev -o -path /proc -o -path /tmp -o \
		-path "$SOURCES-newer" -o -path '/var/lib/dkms/mok.*' \) -prune -o \
		-type d -printf 'd %p\n' -o -printf '%y %p %l %s\n' | LC_ALL=C sort
}

# Says what the first list hasn't and the second has, and the other way round.
compare_files() {
	diff --unchanged-line-format= --old-line-format='gone: %L' --new-line-format='new: %L' "$1" "$2"
}

# The paths of our modules of a kernel, wherever they are.
modules_of() {
	on_machine find "/lib/modules/$1/" -name "*$NAME*" -type f
}

# Asserts that a kernel has the module in this version, built for it without a warning.
expect_module() {
	local kernel=$1 version=$2 found log
	found=$(modules_of "$kernel")
	case $found in
	"/lib/modules/$kernel/updates/dkms/$NAME".ko | "/lib/modules/$kernel/updates/dkms/$NAME".ko.[xz]*([a-z])) ;;
	*) fail "$kernel has not one module in updates/dkms but: ${found:-none}" ;;
	esac
	[ "$(on_machine modinfo -k "$kernel" -F version "$NAME")" = "$version" ] ||
		fail "modinfo of $kernel doesn't name version $version"
	[[ $(on_machine modinfo -k "$kernel" -F vermagic "$NAME") == "$kernel "* ]] ||
		fail "the vermagic of $kernel's module is another kernel's"
	dkms_status | grep -Fx "$NAME, $version, $kernel, x86_64: installed" ||
		fail "dkms status doesn't call $version installed for $kernel"
	log=/var/lib/dkms/$NAME/$version/$kernel/x86_64/log/make.log
	[ "$(on_machine grep -c "$NAME\.ko" "$log")" != 0 ] || fail "no module is made in $log"
	! on_machine grep -i 'warning' "$log" || fail "the compiler warned for $kernel"
}

expect_no_module() {
	local found
	found=$(modules_of "$1")
	[ -z "$found" ] || fail "$1 has $found"
}

# Both kernels have the newer version, and the older one is gone.
expect_upgraded() {
	local kernel
	for kernel in "$RUNNING" "$OTHER"; do expect_module "$kernel" "$NEWER"; done
	! dkms_status | grep -F "$NAME, $VERSION," || fail "dkms still knows $VERSION"
	! on_machine ls -d "/usr/src/$NAME-$VERSION" || fail "the sources of $VERSION are still there"
}

# Asserts that a command fails, says one line, which begins so, and leaves no trace;
# what begins with "make" is make's own.
expect_refusal() {
	local line=$1 said
	shift
	list_files >"$WORK/before"
	! said=$("$@" 2>&1) || fail "it succeeded"
	echo "$said"
	said=$(grep -v '^make' <<<"$said") || true
	[[ $said == "$NAME: $line"* && $said != *$'\n'* ]] || fail "it doesn't say just '$line'"
	list_files >"$WORK/after"
	compare_files "$WORK/before" "$WORK/after" || fail "it left something behind"
}

case_without_root() {
	local target
	new_view without-root
	for target in install uninstall; do
		expect_refusal "needs root: run 'sudo make $target'" \
			on_machine setpriv --reuid=nobody --regid=nogroup --clear-groups make -C "$SOURCES" "$target"
	done
}

case_without_dkms() {
	local target
	new_view without-dkms
	apt_on_machine purge dkms
	for target in install uninstall; do
		expect_refusal "no dkms: install it with 'apt install dkms'" make_on_machine "$target" "KVER=$RUNNING"
	done
}

case_missing_headers() {
	new_view missing-headers
	apt_on_machine purge "linux-headers-$OTHER"
	expect_refusal "no kernel headers for $OTHER" make_on_machine install "KVER=$OTHER"
}

# One kernel with make install, the other with dkms.
case_install() {
	list_files >"$WORK/files-at-first"
	make_on_machine install "KVER=$RUNNING"
	expect_module "$RUNNING" "$VERSION"
	expect_no_module "$OTHER"
	on_machine dkms autoinstall -k "$OTHER"
	expect_module "$RUNNING" "$VERSION"
	expect_module "$OTHER" "$VERSION"
}

# What modinfo tells those who find the module on their machine.
case_modinfo() {
	local field parameter
	for field in description author license version; do
		[ -n "$(module_says "$field")" ] || fail "modinfo says no $field"
	done
	[ "$(module_says version)" = "$VERSION" ] || fail "modinfo says version $(module_says version)"
	for parameter in $(module_says parmtype | sed 's/:.*//'); do
		module_says parm | grep "^$parameter:[^ ]" || fail "modinfo doesn't explain $parameter"
	done
	module_says parm | grep '^copy:' || fail "modinfo says nothing of copy"
}

module_says() {
	on_machine modinfo -k "$RUNNING" -F "$1" "$NAME"
}

case_install_again() {
	expect_module "$OTHER" "$VERSION"
	make_on_machine install "KVER=$RUNNING"
	expect_module "$RUNNING" "$VERSION"
	expect_module "$OTHER" "$VERSION"
}

# What this Debian's compiler made, in its own kernel.
case_runs() {
	local guest=$DIR/guest
	expect_module "$RUNNING" "$VERSION"
	mkdir -p "$guest"
	make_initrd "$guest/initrd" guest-job
	run_guest "$guest"
	judge_guest "$guest" "insmod, sockmap-check or rmmod failed"
}

# Packs a job with the module that dkms made for the running kernel, as it is and unsigned, and
# with more files.
make_initrd() {
	local initrd=$1 script=$2 job=$WORK/job
	shift 2
	discard "$job"
	mkdir "$job"
	cp "$DKMS_DIR/$script" "$job/job"
	[ $# = 0 ] || cp "$@" "$job/"
	# shellcheck disable=SC2016 # expanded on the machine
	on_machine sh -euc 'case $1 in *.xz) xz -dc "$1" ;; *) cat "$1" ;; esac' sh "$(modules_of "$RUNNING")" >"$job/$NAME.ko"
	in_chroot strip --strip-debug -o "$job/unsigned.ko" "$job/$NAME.ko"
	make_job_part "$job" "$WORK/job.cpio"
	cat "$WORK"/{base,job}.cpio >"$initrd"
}

# Boots the running kernel with DIR/initrd.
run_guest() {
	local guest=$1
	(guest_exec "$BUILD_ARCH" "$(vmlinuz_of "$RUNNING")" "$guest" "$GUEST_LIMIT" "") ||
		echo "qemu ended with status $?"
	rm "$guest/initrd"
}

# Fails when the job in a guest did, and says why; what a failed job means is the last argument.
judge_guest() {
	local guest=$1 meaning=$2
	job_output "$guest"
	case $(job_status "$guest") in
	0) ;;
	'') last_words "$guest"; fail "the guest died" ;;
	*) fail "$meaning" ;;
	esac
	kernel_complaints "$guest" | { ! grep .; } || fail "the kernel complained"
}

vmlinuz_of() {
	find "$MACHINE/boot/vmlinuz-$1" "$MACHINE/usr/lib/modules/$1/vmlinuz" 2>/dev/null | head -n 1
}

# Makes a view of a machine that can't build, with a file of this one's.
new_node() {
	local file=$1 built=$VIEW
	new_view "$2"
	mv "$built/upper$file" "$VIEW/upper$file"
	apt_on_machine purge "linux-headers-$RUNNING"
	on_machine sh -c 'rm /usr/bin/make /usr/bin/*gcc*'
}

# One machine builds, another installs what was built: with dkms, as the README says.
case_prebuilt_tarball() {
	local tarball=/home/sockmap_splice.tar.gz
	expect_module "$RUNNING" "$VERSION"
	on_machine dkms mktarball -m "$NAME" -v "$VERSION" -k "$RUNNING" --archive "$tarball"
	new_node "$tarball" node-with-dkms
	on_machine dkms ldtarball "$tarball"
	on_machine dkms install -m "$NAME" -v "$VERSION" -k "$RUNNING"
	expect_module "$RUNNING" "$VERSION"
}

# And without.
case_prebuilt_file() {
	local tar=/home/sockmap_splice.tar
	expect_module "$RUNNING" "$VERSION"
	# shellcheck disable=SC2016 # expanded on the machine
	on_machine sh -euc 'tar -cf "$1" "$(modinfo -k "$2" -n sockmap_splice)"' sh "$tar" "$RUNNING"
	new_node "$tar" node-without-dkms
	apt_on_machine purge dkms
	on_machine tar -C / -xf "$tar"
	on_machine depmod "$RUNNING"
	[ "$(on_machine modinfo -k "$RUNNING" -F version "$NAME")" = "$VERSION" ] || fail "modinfo doesn't find it"
}

# Every kernel that had the old version has the new one afterwards.
case_upgrade() {
	local kernel tree=$SOURCES-newer
	for kernel in "$RUNNING" "$OTHER"; do expect_module "$kernel" "$VERSION"; done
	copy_sources_as "$VIEW/upper$tree" "$NEWER"
	on_machine make -C "$tree" install "KVER=$OTHER"
	expect_upgraded
}

# With the old sources' make, of the new version.
case_uninstall() {
	local kernel
	for kernel in "$RUNNING" "$OTHER"; do
		[ -n "$(modules_of "$kernel")" ] || fail "$kernel has nothing to uninstall"
	done
	make_on_machine uninstall
	list_files >"$WORK/files-at-last"
	compare_files "$WORK/files-at-first" "$WORK/files-at-last" || fail "it left something behind"
}

case_install_anew() {
	make_on_machine install "KVER=$RUNNING"
	expect_module "$RUNNING" "$VERSION"
	expect_no_module "$OTHER"
}

# apt installs a kernel without kprobes: the later one, with another configuration in
# its headers, which dkms and kbuild read.
case_excluded_config() {
	local deb config=$WORK/headers/usr/src/linux-headers-$LATER
	expect_module "$RUNNING" "$VERSION"
	deb=$(cd "$MACHINE$LATER_DEBS" && echo "linux-headers-${LATER}_"*.deb)
	dpkg-deb -R "$MACHINE$LATER_DEBS/$deb" "$WORK/headers"
	sed -i '/^CONFIG_KPROBES=/d' "$config/.config" "$config/include/config/auto.conf"
	mkdir -p "$VIEW/upper$LATER_DEBS"
	dpkg-deb -b "$WORK/headers" "$VIEW/upper$LATER_DEBS/$deb"
	install_later_kernel
	rm "$VIEW/upper$LATER_DEBS/$deb"
	expect_skipped "$LATER" "without CONFIG_KPROBES"
	purge_later_kernel
}

# As apt does for a kernel and for its headers. The kernel stays, to be in the later one's way.
case_excluded_version() {
	local hook
	expect_module "$RUNNING" "$VERSION"
	on_machine mkdir "/lib/modules/$OLD_KERNEL"
	on_machine ln -s "/usr/src/linux-headers-$RUNNING" "/lib/modules/$OLD_KERNEL/build"
	for hook in /etc/kernel/postinst.d/dkms /etc/kernel/header_postinst.d/dkms; do
		on_machine "$hook" "$OLD_KERNEL" || fail "$hook fails"
	done
	expect_skipped "$OLD_KERNEL" "older than 5.10"
}

# Asserts that dkms leaves a kernel out, says why and is content.
expect_skipped() {
	local kernel=$1 why=$2 said
	said=$(on_machine dkms autoinstall -k "$kernel" 2>&1) || fail "dkms autoinstall fails: $said"
	echo "$said"
	[[ $said == *"$why"* ]] || fail "dkms autoinstall doesn't say '$why'"
	expect_no_module "$kernel"
	expect_module "$RUNNING" "$VERSION"
}

install_later_kernel() {
	local debs=("$MACHINE$LATER_DEBS"/*.deb)
	apt_on_machine install "${debs[@]#"$MACHINE"}" || fail "apt-get install fails"
}

purge_later_kernel() {
	local packages
	packages=$(on_machine dpkg-query -W -f "\${Package}\n" 'linux-*' | grep -F -e "-$LATER")
	# shellcheck disable=SC2086 # a name per word
	apt_on_machine purge $packages || fail "apt-get purge fails"
}

case_later_kernel() {
	expect_module "$RUNNING" "$VERSION"
	install_later_kernel
	expect_module "$LATER" "$VERSION"
	expect_module "$RUNNING" "$VERSION"
}

case_purge_kernel() {
	[ -n "$(modules_of "$LATER")" ] || fail "$LATER had no module"
	purge_later_kernel
	[ -z "$(on_machine find /lib/modules -path "*/$LATER/*" -path "*$NAME*")" ] ||
		fail "it left our module in /lib/modules/$LATER"
	! dkms_status | grep -F "$LATER" || fail "dkms still knows our module for $LATER"
	[ -n "$(modules_of "$RUNNING")" ] || fail "it took the module of $RUNNING"
}
