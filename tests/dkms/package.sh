# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The life of the Debian package of the module's source, on a view of its own. The chroot's Debian
# builds it as "make deb" does; being the same for all, it has to work on older and newer ones.

# shellcheck disable=SC2153 # of cases.sh
NEWER=$VERSION.1

# Builds the packages, and those of a version that comes later.
build_packages() {
	local version tree
	log "building the Debian packages"
	for version in "$VERSION" "$NEWER"; do
		tree=$WORK/packages/tree-$version
		mkdir -p "$tree"
		cp -r "$TOP"/{Kbuild,LICENSE,Makefile,README.md,dkms.conf,module,bpf,debian} "$tree/"
		sed -i "s/^PACKAGE_VERSION=.*/PACKAGE_VERSION=\"$version\"/" "$tree/dkms.conf"
		in_chroot make -C "$tree" deb "DEB=$WORK/packages/$version" >"$WORK/packages/$version.log" 2>&1 ||
			build_failed "the Debian packages" "$WORK/packages/$version.log"
	done
}

package_path() {
	echo "$WORK/packages/$1/sockmap-splice-dkms_$1_all.deb"
}

install_package() {
	cp "$(package_path "$1")" "$VIEW/upper/home/"
	apt_on_machine install "/home/$(basename "$(package_path "$1")")" || fail "apt-get install fails"
	rm "$VIEW/upper/home/"*.deb
}

case_package_lintian() {
	in_chroot lintian --allow-root --fail-on error "$WORK/packages/$VERSION"/*.changes
}

case_package_install() {
	local kernel
	new_view package
	list_files >"$WORK/files-without-package"
	install_package "$VERSION"
	for kernel in "$RUNNING" "$OTHER"; do expect_module "$kernel" "$VERSION"; done
}

case_package_upgrade() {
	local kernel
	VIEW=$WORK/package
	expect_module "$RUNNING" "$VERSION"
	install_package "$NEWER"
	for kernel in "$RUNNING" "$OTHER"; do expect_module "$kernel" "$NEWER"; done
	! dkms_status | grep -F "$NAME, $VERSION," || fail "dkms still knows $VERSION"
	! on_machine ls -d "/usr/src/$NAME-$VERSION" || fail "the sources of $VERSION are still there"
}

# What apt and dpkg keep of their work is theirs.
case_package_purge() {
	local left
	VIEW=$WORK/package
	expect_module "$RUNNING" "$NEWER"
	apt_on_machine purge sockmap-splice-dkms || fail "apt-get purge fails"
	list_files >"$WORK/files-after-package"
	left=$(compare_files "$WORK/files-without-package" "$WORK/files-after-package" |
		grep -Ev ' /var/(cache|lib|log)/(apt|dpkg)' || true)
	[ -z "$left" ] || fail "it left something behind: $left"
}
