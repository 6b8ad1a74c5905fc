# Prints the images that a pins file has for one target, name:tag@sha256:...,
# one a line. The file is written for readers of lines: docs/pins.md.
#
#   awk -v platform=linux/arm64 -v machine=board-a -v set="channel=beta a=b" \
#	-v loader=dind -f pinned-images.awk pins.json
#
# A variable that has the bundle's default is not in a target's name, and the
# platform may have another spelling there: where no target can be told to be
# the one, all are printed.

# How much of what was asked the target's name says; -1 where it is another.
function fits(name,    words, count, i, at, key, said, score)
{
	count = split(name, words, " ")
	if (words[1] != platform)
		return -1
	score = 0
	for (i = 2; i <= count; i++) {
		at = index(words[i], "=")
		if (at == 0) {
			if (i == 2 && words[i] != machine)
				return -1
			continue
		}
		key = substr(words[i], 1, at - 1)
		said = substr(words[i], at + 1)
		if (!(key in asked) || asked[key] != said)
			return -1
		score++
	}
	return score
}

BEGIN {
	settings = split(set, setting, " ")
	for (i = 1; i <= settings; i++) {
		at = index(setting[i], "=")
		asked[substr(setting[i], 1, at - 1)] = substr(setting[i], at + 1)
	}
	best = -1
}

/^    "[^"]*": \{$/ {
	split($0, quoted, "\"")
	score = fits(quoted[2])
	if (score > best)
		best = score
}

/^      "[a-z]*": / {
	split($0, quoted, "\"")
	counts = (quoted[2] == "images" || (quoted[2] == "dind" && loader == "dind"))
}

/^ *"reference": "[^"]*@sha256:[0-9a-f]*",?$/ && counts {
	split($0, quoted, "\"")
	references[++found] = quoted[4]
	scores[found] = score
}

END {
	for (i = 1; i <= found; i++)
		if (best == -1 || scores[i] == best)
			print references[i]
}
