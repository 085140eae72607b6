# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A machine with Secure Boot, as Debian's users have it: firmware that trusts Microsoft's keys,
# Debian's signed shim, GRUB and kernel (the first two are the chroot's Debian's). Such a kernel
# is locked down and asks for a module's signature, by a key of its own or of the list that the
# owner enrols keys in (MOK). That takes a human at the console, so it's written here
# into the variables that the firmware keeps.

OVMF=usr/share/OVMF
MOK=/var/lib/dkms/mok.pub
# Whose keys these are is written beside each, and nobody reads it.
MOK_OWNER=6a9df0c6-3a14-4c1c-9d5b-0d8f6b1c2e57

# What openssl says of the key that dkms has made.
mok_says() {
	on_machine openssl x509 -inform DER -in "$MOK" "$@"
}

# A signature names its key by the certificate's serial number.
case_signed() {
	local signer key serial
	expect_module "$RUNNING" "$VERSION"
	signer=$(module_says signer)
	[ -n "$signer" ] || fail "the module isn't signed"
	key=$(module_says sig_key | tr -d :)
	serial=$(mok_says -noout -serial | sed 's/^serial=//')
	mok_says -noout -subject -nameopt multiline | grep -xE " *commonName *= $signer" ||
		fail "the module is signed by $signer, which isn't the name in $MOK"
	[ "$key" = "$serial" ] || fail "the module is signed with the key $key, $MOK is $serial"
}

# Before dkms 3 it was left to the user.
case_not_signed() {
	local signer
	expect_module "$RUNNING" "$VERSION"
	signer=$(module_says signer)
	[ -z "$signer" ] || fail "the module is signed by $signer"
	! on_machine ls "$MOK" || fail "dkms has made a key"
}

case_key_unknown() {
	boot_securely unknown
}

case_key_enrolled() {
	boot_securely enrolled
}

# Boots the running kernel on a machine where dkms's key is "unknown" or "enrolled".
boot_securely() {
	local key=$1 guest=$DIR/guest-key-$1
	expect_module "$RUNNING" "$VERSION"
	mkdir -p "$guest/disk"
	make_initrd "$guest/disk/initrd" secure-boot-job
	make_variables "$key" "$WORK/variables"
	make_boot_disk "$guest/disk" "key=$key"
	(secure_guest_exec "$guest" "$GUEST_LIMIT") || echo "qemu ended with status $?"
	discard "$guest/disk"
	judge_guest "$guest" "a module is loaded or refused that shouldn't be, or nothing is secure"
}

# What the firmware keeps: Microsoft's keys, and perhaps dkms's.
make_variables() {
	local key=$1 variables=$2
	cp "$CHROOT/$OVMF/OVMF_VARS_4M.ms.fd" "$variables"
	[ "$key" = enrolled ] || return 0
	mok_says -outform PEM >"$WORK/mok.pem"
	in_chroot virt-fw-vars --inplace "$variables" --add-mok "$MOK_OWNER" "$WORK/mok.pem"
}

# Fills the directory that the guest sees as its disk.
make_boot_disk() {
	local disk=$1 parameters=$2 loaders=$CHROOT/$BUILD_ARCH/usr/lib
	mkdir -p "$disk"/EFI/{BOOT,debian}
	cp "$loaders/shim/shimx64.efi.signed" "$disk/EFI/BOOT/BOOTX64.EFI"
	cp "$loaders/grub/x86_64-efi-signed/grubx64.efi.signed" "$disk/EFI/BOOT/grubx64.efi"
	cp "$(vmlinuz_of "$RUNNING")" "$disk/vmlinuz"
	machine_for "$BUILD_ARCH" "$WORK"
	printf '%s\n' "linux /vmlinuz $PORTS $DYING $parameters" "initrd /initrd" boot \
		>"$disk/EFI/debian/grub.cfg"
}

# Only code in system management mode may write to where the firmware keeps its keys.
secure_guest_exec() {
	local dir=$1 limit=$2 code=$CHROOT/$OVMF/OVMF_CODE_4M.secboot.fd
	machine_for "$BUILD_ARCH" "$dir"
	machine_exec "$dir" "$limit" -machine q35,smm=on \
		-global driver=cfi.pflash01,property=secure,value=on \
		-drive "if=pflash,unit=0,format=raw,readonly=on,file=$code" \
		-drive "if=pflash,unit=1,format=raw,file=$WORK/variables" \
		-drive "if=virtio,format=raw,readonly=on,file=fat:$dir/disk"
}
