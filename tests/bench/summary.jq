# SPDX-License-Identifier: GPL-2.0
#
# From samples to medians with their spread, per MiB, for each kernel and clock.

def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def rounded: . * 100 | round / 100;
def spread: { median: (median | rounded), min: (min | rounded), max: (max | rounded) };
def per_mib($samples; f): [$samples[] | f * 1048576 / .bytes];

def row:
	. as $samples | .[0] | {
		path, arm, pages, block,
		us: per_mib($samples; .ns / 1000) | spread,
		reader_us: per_mib($samples; .cpu_ns / 1000) | spread,
		syscalls: per_mib($samples; .syscalls) | median | rounded,
		gifted: per_mib($samples; .gifted) | median | rounded,
		copied: per_mib($samples; .copied) | median | rounded,
		pipe_buffers: per_mib($samples; .buffers) | median | rounded
	};

group_by([.kernel, .clock]) | map({
	kernel: .[0].kernel, clock: .[0].clock, date: .[0].date, commit: .[0].commit,
	samples: length,
	unit: "per MiB of the stream; us: from end to end; reader_us: CPU time of the reading thread",
	rows: group_by([.path, .pages, .block, .arm]) | map(row)
})
