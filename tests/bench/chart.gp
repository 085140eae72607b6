# SPDX-License-Identifier: GPL-2.0
#
# Draws chart.svg: `data` is what chart.jq printed, `out` the file to write.

stats data using 0 nooutput
kernels = STATS_blocks
set terminal svg size 960, 380 * kernels font "sans,12" background "white"
set output out
set multiplot layout kernels, 1 title "MB/s from the first send to the last byte, 64 KiB a call; in the bars: against read(2)" font ",13"
set style data boxes
set style fill solid 0.85 noborder
set boxwidth 0.9
set xrange [-1:23]
set yrange [0:*]
set grid ytics
set key outside right top
set ylabel "MB/s, one instruction a nanosecond"
set xtics ("plain TCP" 2, "tx-msg-ingress" 8, "rx-verdict-ingress" 14, "rx-verdict-pass" 20) nomirror

arms = "read splice-read splice-null proxy-read proxy-splice"
titles = "'read' 'splice, then read' 'splice, /dev/null' 'proxy: read, write' 'proxy: splice'"
colours = "0x9aa5b1 0x2b6cb0 0x63b3ed 0xd6bcfa 0x6b46c1"
# Five bars for each path, and a gap.
place(i) = int(i / 5) * 6 + int(i) % 5
of_arm(i, arm) = int(i) % 5 == arm

do for [k = 0:kernels - 1] {
	stats data index k using (name = strcol(1), 0) nooutput
	set title name
	plot for [a = 0:4] data index k using \
		(of_arm($0, a) ? place($0) : NaN):4 linecolor rgb int(word(colours, a + 1)) title word(titles, a + 1), \
		data index k using (place($0)):4:5 with labels offset 0, -0.8 font ",9" textcolor "white" notitle
}
unset multiplot
