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

# The DaemonSet of the examples is one for Kubernetes, and its container does what it should.
case_package_kubernetes() {
	local guest=$DIR/guest-kubernetes tools=$WORK/tools examples
	examples=$tools/usr/share/doc/sockmap-splice-tools/examples
	VIEW=$WORK/package
	dpkg-deb -x "$WORK/packages/$VERSION/sockmap-splice-tools_${VERSION}_$BUILD_ARCH.deb" "$tools"
	in_chroot env GO111MODULE=off GOPATH=/usr/share/gocode CGO_ENABLED=0 \
		go build -o "$WORK/daemonset" "$DKMS_DIR/daemonset.go"
	mkdir -p "$guest"
	in_chroot "$WORK/daemonset" "$examples/kubernetes/daemonset.yaml" >"$WORK/script" ||
		fail "it isn't a DaemonSet as Kubernetes wants it"
	make_initrd "$guest/initrd" daemonset-job "$WORK/script"
	run_guest "$guest"
	judge_guest "$guest" "the module isn't loaded while the pod runs, and unloaded afterwards"
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
