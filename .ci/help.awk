# Prints the targets of a Makefile: "##@ group" lines as headings, "target: ... ## text" lines below them.
BEGIN { FS = ":.*## "; print "usage: make <target> [NAME=value ...]" }
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^[a-z-]+:.*## / { printf "  %-15s %s\n", $1, $2 }
