# SPDX-License-Identifier: GPL-2.0
#
# What became of each case that a guest was asked to run: reads the list of names and
# then the guest's KTAP, prints "VERDICT<tab>NAME<tab>REMARK" per case, and after a
# failed one its diagnostics as lines that begin with a tab. Diagnostics stand before
# the result they belong to. A case without a result is a failed one.

FNR == NR {
	asked[++count] = $0
	next
}

{ sub(/\r$/, "") }

/^# guest problem: / {
	problems[++problem_count] = substr($0, length("# guest problem: ") + 1)
	next
}

/^# / {
	said = said "\t" substr($0, 3) "\n"
	next
}

/^(not )?ok [0-9]+ / {
	verdict = /^not/ ? "fail" : "pass"
	sub(/^(not )?ok [0-9]+ (- )?/, "")
	remark = ""
	if (i = index($0, " # SKIP")) {
		verdict = "skip"
		remark = substr($0, i + length(" # SKIP "))
		$0 = substr($0, 1, i - 1)
	}
	verdicts[$0] = verdict
	remarks[$0] = remark
	diagnostics[$0] = said
	said = ""
}

END {
	for (i = 1; i <= count; i++) {
		name = asked[i]
		if (!(name in verdicts))
			print "fail\t" name "\tno result" (missing++ ? "" : ", the guest ended before or in it")
		else
			print verdicts[name] "\t" name "\t" remarks[name]
		if (!(name in verdicts) && missing == 1 || verdicts[name] == "fail")
			printf "%s", name in verdicts ? diagnostics[name] : said
	}
	for (i = 1; i <= problem_count; i++)
		print "fail\tguest\t" problems[i]
}
