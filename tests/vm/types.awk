# SPDX-License-Identifier: GPL-2.0
#
# Whether two programs agree on the kernel's types: reads the types that a kernel was
# built with and then those that a module was, both as C from "bpftool btf dump", and
# prints the name of each struct, union or enum of the module that the kernel defines
# otherwise. As every type named in one is compared itself, equal text is an equal layout.
# WANTED names, with blanks between, types that must be among those compared. Several
# files of the kernel may have different types of one name: one of them must be it.

function end_of_definition()
{
	gsub(/___[0-9]+/, "", text)
	if (FNR == NR) {
		kernels[name, text] = 1
		known[name] = 1
	} else if (name in known) {
		compared[name] = 1
		if (!((name, text) in kernels))
			print name " differs"
	}
	name = ""
}

/^(struct|union|enum) [A-Za-z0-9_]+ \{$/ {
	name = $1 " " $2
	sub(/___[0-9]+$/, "", name)
	text = ""
	next
}

name != "" { text = text $0 "\n" }
name != "" && /^}/ { end_of_definition() }

END {
	count = split(wanted, names, " ")
	for (i = 1; i <= count; i++)
		if (!(("struct " names[i]) in compared))
			print "struct " names[i] " isn't in both"
	for (name in compared)
		total++
	print total + 0 " types compared" >"/dev/stderr"
}
