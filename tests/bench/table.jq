# SPDX-License-Identifier: GPL-2.0
#
# The README's tables: medians at 64 KiB a call, by the clock "instructions", and their ratios by
# both clocks.

include "lib";

def titles: { "read": "read", "splice-read": "splice, read", "splice-null": "splice, /dev/null",
	"proxy-read": "proxy: read, write", "proxy-splice": "proxy: splice" };

def cell($path; $arm; $pages; f):
	(row($path; $arm; $pages; 65536) | f) as $is |
	(row($path; $arm | against; "gift"; 65536) | f) as $of |
	"\($is | round) (\($of / $is | two))";

def header: "| | " + (arms | map(titles[.]) | join(" | ")) + " | copy=1: splice, read |",
	"|---|---|---|---|---|---|---|";

def line($path; f): . as $run |
	"| \($path) | " + (arms | map(. as $arm | $run | cell($path; $arm; "gift"; f)) | join(" | ")) + " | " +
	(if $path == "plain" then "" else cell($path; "splice-read"; "copy"; f) end) + " |";

. as $runs |
[.[] | select(.clock == "instructions")] | sort_by(.kernel | [scan("[0-9]+") | tonumber]) | .[] | . as $run |
([$runs[] | select(.clock == "wall" and .kernel == $run.kernel)] | first) as $wall |
"",
"**\(kernel_name)** (\(.date), commit \(.commit)), µs per MiB from end to end, in brackets how many times as fast as `read` (proxies: as the proxy that reads and writes):",
"",
header,
(paths[] as $path | $run | line($path; .us.median)),
"",
"µs per MiB of the reading thread alone:",
"",
header,
(paths[] as $path | $run | line($path; .reader_us.median)),
(if $wall then
	"",
	"from end to end by the wall clock, under emulation:",
	"",
	header,
	(paths[] as $path | $wall | line($path; .us.median))
else empty end),
"",
(["msg-ingress", "skb-pass"] | map(. as $mode | ["instructions", "wall"] | map(. as $clock |
	first($runs[] | select(.clock == $clock and .kernel == $run.kernel)) |
	(first(.rows[] | select(.path == "go-" + $mode and .arm == "io.Copy")) | .us.median) as $is |
	(first(.rows[] | select(.path == "go-" + $mode and .arm == "read+write")) | .us.median) as $of |
	"\($is | round) against \($of | round) (\($of / $is | two), \($clock))") | "in " + $mode + " " + join(", ")) |
	"A Go proxy with `io.Copy`, µs per MiB against the same program forced to read and write: " + join("; ") + "."),
"",
"counted per MiB, splicing to a pipe and reading it: " + (sockmap_paths | map(. as $path | $run |
	row($path; "splice-read"; "gift"; 65536) |
	"\($path): \(.syscalls) system calls, \(.pipe_buffers) pipe buffers and page references, \(.copied) bytes copied") | join("; ")) + "."
