# SPDX-License-Identifier: GPL-2.0
#
# One block of lines for each kernel, by the clock "instructions", at 64 KiB: kernel, path, arm,
# MB/s, and what that is of read(2). gnuplot takes blocks apart at two empty lines.

include "lib";

def block:
	. as $run |
	[paths[] as $path | arms[] as $arm |
		us($path; $arm; "gift"; 65536) as $is | us($path; $arm | against; "gift"; 65536) as $of |
		[($run | kernel_name), $path, $arm, ($is | mb_s), ($of / $is | two)] | @tsv] |
	join("\n");

[.[] | select(.clock == "instructions")] | sort_by(.kernel | [scan("[0-9]+") | tonumber]) |
map(block) | join("\n\n\n")
