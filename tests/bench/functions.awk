# SPDX-License-Identifier: GPL-2.0
#
# From symbols ("address name [module]") and counts ("address # instructions"), sorted together by
# address, to microseconds per MiB of each function.

$2 != "#" {
	name = $2 " " $3
	next
}
$1 < "ffff" { name = "user -" }
{ count[name] += $3 }

END {
	for (name in count)
		printf "%s %s %.3f %s\n", path, arm, count[name] / 1000 / mib, name
}
