#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a command inside one of the lab's roots.
#
#	enter.sh ROOT -- COMMAND [ARGUMENT...]
#
# The command sees the work tree and the cache at their own paths, /dev, a new /proc, an empty
# /tmp and /run. What it writes to the root goes to memory and is gone afterwards. It runs in its own
# mount and process namespaces: when it ends, or this script is killed, no process and no
# mount of it is left. Exit status and SIGTERM, SIGINT, SIGHUP are passed on.
set -eu

lab=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lab/cache.sh
. "$lab/cache.sh"
tree=$(cd "$lab/../.." && pwd)

usage() {
	echo "usage: $0 ROOT -- COMMAND [ARGUMENT...]   (ROOT: $(root_names | tr '\n' ' '))" >&2
	exit 2
}

if [ $# -lt 3 ] || [ "$2" != -- ] || [ ! -e "$lab/roots/$1.recipe" ]; then
	usage
fi
root=$(root_path "$1")
if [ ! -d "$root" ]; then
	echo "The $1 root is not built yet: run 'make lab'." >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "Entering a root needs to be root: run this as root, or with sudo." >&2
	exit 1
fi
shift 2
# For bootstrap.sh, which removes roots that nobody entered for long.
touch "$root"

# Where "/" is no mount point (we are in a plain chroot), a new mount namespace cannot be made private
# as a whole. Then a private mount point is made first, outside, and taken away at the end.
anchor=$cache/enter
mkdir -p "$anchor"
propagation=private
anchored=
if ! unshare --mount true 2>/dev/null; then
	propagation=unchanged
	anchor=$(mktemp -d "$cache/enter.XXXXXX")
	mount -t tmpfs -o mode=755 bufshare-lab "$anchor"
	mount --make-rprivate "$anchor"
	anchored=yes
fi

# shellcheck disable=SC2317 # called by the trap
leave() {
	if [ -n "$anchored" ]; then
		umount -l "$anchor" || true
		rmdir "$anchor" || true
	fi
}
trap leave EXIT

# A job in the background, so that this shell can pass signals on while it waits; but with
# our own standard input, which such a job would not have. It dies with this shell.
exec 3<&0
setpriv --pdeathsig KILL \
	unshare --mount --propagation "$propagation" --pid --fork --kill-child -- \
		sh "$lab/enter-inside.sh" "$root" "$anchor" "$tree" "$cache" "$PWD" "$@" <&3 3<&- &
child=$!
exec 3<&-

# shellcheck disable=SC2317 # called by the traps
pass_on() {
	inner=$(cat "/proc/$child/task/$child/children" 2>/dev/null || true)
	# shellcheck disable=SC2086
	kill -s "$1" ${inner:-$child} 2>/dev/null || true
}
trap 'pass_on TERM' TERM
trap 'pass_on INT' INT
trap 'pass_on HUP' HUP

# wait returns early when a signal arrives: until the child is gone, wait again.
while :; do
	status=0
	wait "$child" || status=$?
	kill -0 "$child" 2>/dev/null || break
done
exit "$status"
