# SPDX-License-Identifier: GPL-2.0
#
# For people; kbuild and dkms read Kbuild.  Everything here is a call of the
# tool whose job it is.

NAME	:= sockmap_splice
VERSION	:= $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)
KVER	?= $(shell uname -r)
KDIR	?= /lib/modules/$(KVER)/build
SRCDIR	:= /usr/src/$(NAME)-$(VERSION)
TOOLS	:= $(CURDIR)/.cache/build/bpf
DEB	?= $(CURDIR)/.cache/deb
DEBSRC	:= $(DEB)/sockmap-splice-$(VERSION)

die	= { echo "$(NAME): $(1)" >&2; exit 1; }
as_root	= [ "$$(id -u)" = 0 ] || $(call die,needs root: run 'sudo make $@')
has	= command -v $(1) >/dev/null || $(call die,no $(1): install it with 'apt install $(2)')

# Every version that dkms knows, from every kernel.
remove_all = for source in /var/lib/dkms/$(NAME)/*/source; do \
		[ -L "$$source" ] || continue; \
		version=$$(basename "$$(dirname "$$source")"); \
		dkms remove -m $(NAME) -v "$$version" --all || exit 1; \
		rm -rf "/usr/src/$(NAME)-$$version"; \
	done; rm -rf $(SRCDIR)

# The other kernels that have it.  make expands a whole recipe before it runs the
# first line, so this is asked before remove_all.
others	= $(filter-out $(KVER),$(shell dkms status -m $(NAME) 2>/dev/null | \
		sed -n 's/.*, \([^,]*\), [^,]*: installed.*/\1/p'))

.PHONY: modules install uninstall tools deb demo test bench profile mutants kernels table clean help

modules:
	@[ -e $(KDIR)/Makefile ] || $(call die,no kernel headers in $(KDIR): \
		install them with 'apt install linux-headers-$(KVER)' or name a tree with KDIR=)
	@$(call has,gcc,gcc)
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

install:
	@$(as_root)
	@$(call has,dkms,dkms)
	@[ -e /lib/modules/$(KVER)/build/Makefile ] || $(call die,no kernel headers for $(KVER): \
		install them with 'apt install linux-headers-$(KVER)')
	@$(remove_all)
	mkdir -p $(SRCDIR)/module
	cp Kbuild dkms.conf LICENSE $(SRCDIR)/
	cp module/*.[ch] $(SRCDIR)/module/
	dkms add -m $(NAME) -v $(VERSION)
	@for kernel in $(KVER) $(others); do \
		[ -e /lib/modules/$$kernel/build/Makefile ] || continue; \
		(set -x; dkms install -m $(NAME) -v $(VERSION) -k $$kernel) || exit 1; \
	done
	@echo "installed; load it with 'sudo modprobe $(NAME)'"

uninstall:
	@$(as_root)
	@$(call has,dkms,dkms)
	@if [ -d /sys/module/$(NAME) ]; then modprobe -r $(NAME); fi
	@$(remove_all)

tools:
	$(MAKE) -C bpf O=$(TOOLS) all
	@echo "built $(TOOLS)/sockmap-check and $(TOOLS)/sockmap-attach"

# dpkg wants a changelog; the version in it is dkms.conf's.
deb:
	@$(call has,dpkg-buildpackage,dpkg-dev)
	@missing=$$(dpkg-checkbuilddeps debian/control 2>&1) || \
		$(call die,$${missing##*error: }: install them with 'sudo apt build-dep .')
	rm -rf $(DEB)
	mkdir -p $(DEBSRC)
	cp -r Kbuild README.md dkms.conf module bpf debian $(DEBSRC)/
	@printf '%s\n' 'sockmap-splice ($(VERSION)) unstable; urgency=medium' '' \
		'  * Release $(VERSION).' '' \
		" -- $$(sed -n 's/^Maintainer: //p' debian/control)  $$(date -R -r dkms.conf)" \
		>$(DEBSRC)/debian/changelog
	cd $(DEBSRC) && dpkg-buildpackage --no-sign
	@echo "built:"; ls $(DEB)/*.deb $(DEB)/*.dsc

demo:
	@tests/demo/demo.sh

test:
	@tests/run.sh

bench:
	@tests/bench/bench.sh

profile:
	@tests/bench/profile.sh

mutants:
	@tests/mutants/mutants.sh

kernels:
	@tests/vm/vm.sh kernels

table:
	@tests/vm/vm.sh table

clean:
	@[ ! -e $(KDIR)/Makefile ] || $(MAKE) -C $(KDIR) M=$(CURDIR) clean
	rm -rf $(CURDIR)/.cache/build

help:
	@echo 'make               build the module for the running kernel (KVER= or KDIR= for another)'
	@echo 'sudo make install  install it through dkms for the running kernel (KVER= for another)'
	@echo 'sudo make uninstall  unload it and remove it from every kernel'
	@echo 'make tools         build sockmap-check (is this machine affected?) and sockmap-attach'
	@echo 'make deb           build the Debian packages sockmap-splice-dkms and sockmap-splice-tools'
	@echo 'sudo make demo     watch io.Copy fail on a stock kernel, work with the module, fail again'
	@echo 'sudo make test     run the tests in guests; KERNELS= and CASES= narrow the run, KERNELS=all widens it'
	@echo 'sudo make bench    what splice costs beside read(2), by path and call size; writes chart and tables into the README'
	@echo 'sudo make profile  where the instructions go, by a QEMU plugin; writes a table into the README'
	@echo 'sudo make mutants  break the module in many ways, one at a time, and see whether the tests notice'
	@echo 'make kernels       the stock kernels that the tests know, those in .cache/, and what was last found'
	@echo 'make table         write what was last found on each kernel of KERNELS=all into the README'
	@echo 'make clean         remove what make built (the cache of demo and test is .cache/)'
