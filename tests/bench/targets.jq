# SPDX-License-Identifier: GPL-2.0
#
# What was to be reached, and what was: a table of the README with a column for each kernel.
# Figures are ratios by the clock "instructions" for tx-msg-ingress, rx-verdict-ingress and
# rx-verdict-pass unless said otherwise, the worst of 64 KiB, 256 KiB and 1 MiB a call, and in
# brackets what the kernel's own splice reaches on plain TCP. In bold is what missed.

include "lib";

def large: [65536, 262144, 1048576];

# How many times as long `other` takes as `arm`.
def gain($path; $arm; $other; $pages; $block):
	us($path; $other; "gift"; $block) / us($path; $arm; $pages; $block);
def reader_part($path; $arm; $other; $block):
	reader_us($path; $arm; "gift"; $block) / reader_us($path; $other; "gift"; $block);
def of_plain($path; $block):
	. as $run | ["splice-read", "splice-null"] | map(. as $arm |
		$run | reader_us($path; $arm; "gift"; $block) / reader_us("plain"; $arm; "gift"; $block)) | max;
# All such arms together: what is asked for is smaller than by how much one of them varies.
def loaded:
	. as $run | [["splice-read", "splice-null", "proxy-splice"][] as $arm | large[] as $block |
		$run | [reader_us("plain"; $arm; "gift"; $block), reader_us("plain"; $arm; "none"; $block)]] |
	(map(.[0]) | add) / (map(.[1]) | add);
def plain_gain($block): gain("plain"; "proxy-splice"; "proxy-read"; "gift"; $block);
def per_buffer($path; $block): row($path; "splice-null"; "gift"; $block) | .gifted / .pipe_buffers / 1024;
def copied($path): [.rows[] | select(.path == $path and .pages == "gift" and (.arm | test("splice"))) | .copied] | max;

def at_least($n): if . * 100 >= $n * 100 - 0.5 then two else "**\(two)**" end;
def at_most($n): if . * 100 < $n * 100 + 0.5 then two else "**\(two)**" end;
def each(f): sockmap_paths | map(f) | join(", ");
def each_and_plain(f; aim): each(f | aim) + " (\("plain" | f | two))";
# The worst of the large calls; `f` takes a block.
def least(f): [large[] as $b | $b | f] | min;
def most(f): [large[] as $b | $b | f] | max;

def lines($wall): . as $run | [
	["splice, read: at least 1.00 of read", each_and_plain(. as $p | $run | least(. as $b | $run | gain($p; "splice-read"; "read"; "gift"; $b)); at_least(1))],
	["the same by the wall clock: at least 0.95", if $wall then each_and_plain(. as $p | least(. as $b | $wall | gain($p; "splice-read"; "read"; "gift"; $b)); at_least(0.95)) else "–" end],
	["reading thread, splice and /dev/null: at most 0.50 of read", each_and_plain(. as $p | most(. as $b | $run | reader_part($p; "splice-null"; "read"; $b)); at_most(0.5))],
	["reading thread, splice and read: at most 1.15 of read", each_and_plain(. as $p | most(. as $b | $run | reader_part($p; "splice-read"; "read"; $b)); at_most(1.15))],
	["reading thread, proxy by splice: at most 0.80 of the one that reads and writes", each_and_plain(. as $p | most(. as $b | $run | reader_part($p; "proxy-splice"; "proxy-read"; $b)); at_most(0.8))],
	["proxy by splice: at least 1.25 of the one that reads and writes (rx-verdict-pass: no such aim)", each(. as $p | least(. as $b | $run | gain($p; "proxy-splice"; "proxy-read"; "gift"; $b)) | if $p == "rx-verdict-pass" then two else at_least(1.25) end) + " (\($run | least(. as $b | $run | plain_gain($b)) | two))"],
	["what the proxy gains by splice, of what it gains on plain TCP: at least 1.00", each(. as $p | least(. as $b | $run | gain($p; "proxy-splice"; "proxy-read"; "gift"; $b) / plain_gain($b)) | at_least(1))],
	["reading thread, splice from sockmap sockets: at most 1.05 of splice from plain TCP", each(. as $p | most(. as $b | $run | of_plain($p; $b)) | at_most(1.05))],
	["reading thread, splice from plain TCP with the module: at most 1.01 of without (sum of arms and sizes)", ($run | loaded | at_most(1.01))],
	["bytes copied by the module: none", each(. as $p | $run | copied($p) | if . == 0 then "0" else "**\(.)**" end)],
	["KiB in a pipe buffer: at least 16", each(. as $p | least(. as $b | $run | per_buffer($p; $b)) | at_least(16))],
	["splice, read: against `copy=1` (upstream's series: 1.54)", each(. as $p | least(. as $b | $run | us($p; "splice-read"; "copy"; $b) / us($p; "splice-read"; "gift"; $b)) | two)]
];

. as $runs |
([.[] | select(.clock == "instructions")] | sort_by(.kernel | [scan("[0-9]+") | tonumber])) as $kernels |
($kernels | map(. as $run | lines([$runs[] | select(.clock == "wall" and .kernel == $run.kernel)] | first))) as $columns |
"",
"| aim | " + ($kernels | map(kernel_name) | join(" | ")) + " |",
"|---|" + ($kernels | map("---|") | join("")),
(range($columns[0] | length) as $i | "| \($columns[0][$i][0]) | " + ($columns | map(.[$i][1]) | join(" | ")) + " |")
