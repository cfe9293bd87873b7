#!/bin/sh
# SPDX-License-Identifier: MIT
# Prints the address of the Debian archive that this machine's apt uses.
# Needs package lists (apt-get update): only they say which of several sources is Debian's own.
set -eu

# shellcheck disable=SC2016 # apt's variables
uri=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
	sed -n 's/^Debian|Debian|//p' | head -n 1)
if [ -z "$uri" ]; then
	echo "apt on this machine has no Debian archive configured (see /etc/apt/sources.list)." >&2
	exit 1
fi
echo "$uri"
