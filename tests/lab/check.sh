#!/bin/sh
# SPDX-License-Identifier: MIT
# Everything that `make check` checks.
#
#	check.sh [STAGE...]		default: all of them
#
# Stages run in the root that they need, quick ones first; one that fails does not keep the
# next from running. Results and logs are in build/check/. The last line on standard output counts them.
set -eu

lab=$(cd "$(dirname "$0")" && pwd)
cd "$lab/../.."

trixie="scripts userspace-sanitized clang-tidy checkpatch module-6.12 module-7.2"
bookworm="userspace-debian12 module-6.1"
guests="vm"

# wanted STAGE... - those of the given stages that were asked for.
asked=" $* "
wanted() {
	for stage in "$@"; do
		case $asked in
		"  " | *" $stage "*) printf '%s ' "$stage" ;;
		esac
	done
}

# run ROOT STAGE... - a root's failure to run at all shows as stages without a result.
run() {
	root=$1
	shift
	# Ended with us, also where only this script is told to end.
	[ $# -eq 0 ] || setpriv --pdeathsig TERM "$lab/enter.sh" "$root" -- python3 -m lab.check "$@" || true
}

if [ "$(id -u)" != 0 ]; then
	echo "Entering the lab's roots needs to be root: run this as root, or with sudo." >&2
	exit 1
fi
"$lab/bootstrap.sh"
mkdir -p build/check
rm -f build/check/*.json
# shellcheck disable=SC2046,SC2086 # lists
{
	run trixie $(wanted $trixie)
	run bookworm $(wanted $bookworm)
	run trixie $(wanted $guests)
	"$lab/enter.sh" trixie -- python3 -m lab.check --summary $(wanted $trixie $bookworm $guests)
}
