# SPDX-License-Identifier: GPL-2.0
#
# How the tables and the chart look things up in results.json.

def row($path; $arm; $pages; $block):
	.rows[] | select(.path == $path and .arm == $arm and .pages == $pages and .block == $block);
def us($path; $arm; $pages; $block): row($path; $arm; $pages; $block) | .us.median;
def reader_us($path; $arm; $pages; $block): row($path; $arm; $pages; $block) | .reader_us.median;
def mb_s: 1048576 / .;
def sockmap_paths: ["tx-msg-ingress", "rx-verdict-ingress", "rx-verdict-pass"];
def paths: ["plain"] + sockmap_paths;
def arms: ["read", "splice-read", "splice-null", "proxy-read", "proxy-splice"];
# As a word for a column: what an arm is compared with.
def against: if startswith("proxy") then "proxy-read" else "read" end;
def two: (. * 100 | round) as $n | "\($n / 100 | floor).\($n % 100 / 10 | floor)\($n % 10)";
def kernel_name: .kernel | sub("-cloud-amd64$"; "");
