# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The life of the Debian package of the module's source, on a view of its own. The chroot's Debian
# builds it as "make deb" does; being the same for all, it has to work on older and newer ones.

# Builds the packages, and those of a version that comes later.
build_packages() {
	local version tree
	log "building the Debian packages"
	# shellcheck disable=SC2153 # of cases.sh
	for version in "$VERSION" "$NEWER"; do
		tree=$WORK/packages/tree-$version
		copy_sources_as "$tree" "$version"
		cp -r "$TOP"/{README.md,bpf,debian} "$tree/"
		in_chroot make -C "$tree" deb "DEB=$WORK/packages/$version" >"$WORK/packages/$version.log" 2>&1 ||
			build_failed "the Debian packages" "$WORK/packages/$version.log"
	done
}

install_package() {
	local deb=sockmap-splice-dkms_$1_all.deb
	cp "$WORK/packages/$1/$deb" "$VIEW/upper/home/"
	apt_on_machine install "/home/$deb" || fail "apt-get install fails"
	rm "$VIEW/upper/home/$deb"
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
	VIEW=$WORK/package
	expect_module "$RUNNING" "$VERSION"
	install_package "$NEWER"
	expect_upgraded
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
