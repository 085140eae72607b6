# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Boots a guest. Always under TCG: a /dev/kvm that exists is no proof that it boots
# this kernel, and results have to be comparable. TCG is single-threaded (with two
# virtual CPUs all the same, which take turns) because with threads Debian 12's QEMU 7.2 runs
# stale code while ftrace patches it, which oopses kernels that have no bug; to use a second
# core, run a second guest. The CPU has no cmpxchg16b because QEMU 7.2 now and then leaves
# rubbish in the flags after it: 4 of 65 boots oopsed in code that has no bug, with EFLAGS such
# as adb88f42, and none of 100 without it. The kernel's console and the results have a
# serial port each, so that printk never tears a line of the results. On a busy host the timer
# interrupt may be too late for the kernel's test whether it works (no_timer_check).
#
# The machine parallel-amd64 has four CPUs that run at once, to meet races that need it. Its QEMU
# is the build chroot's, Debian 13's QEMU 10, which has given no false oops so far. Its kernel
# isn't to calibrate the delay loop of each CPU, which can't succeed on a busy host, nor to check
# the clock of a CPU that is late. There is no such machine for arm64: emulated on amd64 it has
# the memory order of amd64, so it would show nothing more.

# An oops ends the guest.
DYING="oops=panic panic=-1"

emulator_package() {
	case $1 in
	amd64) echo qemu-system-x86 ;;
	arm64) echo qemu-system-arm ;;
	esac
}

# Sets MACHINE (QEMU's arguments) and PORTS (the kernel's parameters) for an architecture or
# parallel-amd64.
machine_for() {
	local machine=$1 dir=$2
	# shellcheck disable=SC2054 # commas are QEMU's
	case $machine in
	amd64 | parallel-amd64)
		MACHINE=(qemu-system-x86_64 -cpu max,-cx16 -serial "file:$dir/console.log"
			-serial "file:$dir/result.log")
		PORTS="console=ttyS0 results=ttyS1 no_timer_check" ;;
	arm64)
		MACHINE=(qemu-system-aarch64 -M virt -cpu cortex-a57 -serial "file:$dir/console.log"
			-chardev "file,id=results,path=$dir/result.log" -device pci-serial,chardev=results)
		PORTS="console=ttyAMA0 results=ttyS0" ;;
	*) die "no guest for $machine" ;;
	esac
	if is_parallel "$machine"; then
		chroot_command
		MACHINE=("${CHROOT_COMMAND[@]}" "${MACHINE[@]}" -accel "tcg,thread=multi" -smp 4)
		PORTS+=" lpj=10000000 tsc=reliable"
	else
		MACHINE+=(-accel "tcg,thread=single" -smp 2)
	fi
}

# Becomes the guest that a kernel and DIR/initrd make, for LIMIT seconds at most; what
# follows PARAMETERS is for QEMU. It leaves its kernel's words in DIR/console.log and its
# job's in DIR/result.log.
guest_exec() {
	local machine=$1 kernel=$2 dir=$3 limit=$4 parameters=$5
	shift 5
	machine_for "$machine" "$dir"
	machine_exec "$dir" "$limit" -kernel "$kernel" -initrd "$dir/initrd" \
		-append "$PORTS $DYING $parameters" "$@"
}

# Becomes the machine that machine_for has set.
machine_exec() {
	local dir=$1 limit=$2
	shift 2
	: >"$dir/console.log"
	: >"$dir/result.log"
	exec setpriv --pdeathsig TERM timeout --kill-after=5 "$limit" \
		"${MACHINE[@]}" -m 2G -nodefaults -display none -no-reboot "$@" \
		</dev/null >"$dir/qemu.log" 2>&1
}

# What is left to see of a guest that died.
last_words() {
	tail -n 40 "$1/console.log" "$1/qemu.log" | tr -d '\r' | sed 's/^/    /'
}

# The exit status of a guest's job; nothing when it never came to its end.
job_status() {
	tr -d '\r' <"$1/result.log" | sed -n 's/^# job ended: //p' | tail -n 1
}

# What a guest's job printed.
job_output() {
	tr -d '\r' <"$1/result.log" | sed '/^# job ended: /d'
}

# What no kernel may say on its own. A WARNING isn't here: stock kernels give some, and
# the cases' runner tells theirs from ours. Of the races that KCSAN finds, ours count.
KERNEL_DEATH='Oops|BUG:|KASAN|unable to handle|Kernel panic|general protection fault|blocked for more than [0-9]+ seconds|rcu.*(stall|self-detected)'

kernel_complaints() {
	grep -aE "$KERNEL_DEATH" "$1/console.log" | awk '!/KCSAN: / || /\[sockmap_splice\]/' | tr -d '\r' | sort -u -k 3 | head -n 5 || true
}
