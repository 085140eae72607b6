# SPDX-License-Identifier: GPL-2.0
#
# From symbols ("address name [module]") and counts ("address # reader's others'"), sorted together
# by address, to microseconds per MiB of each function: the reading thread's and all others'.

$2 != "#" {
	name = $2 " " $3
	next
}
$1 < "ffff" { name = "user -" }
{
	reader[name] += $3
	others[name] += $4
}

END {
	for (name in reader)
		printf "%s %s %d %.3f %.3f %s\n", path, arm, block, reader[name] / 1000 / mib,
			others[name] / 1000 / mib, name
}
