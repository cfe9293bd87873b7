#!/bin/sh
# SPDX-License-Identifier: MIT
# The inner half of enter.sh: process 1 of new namespaces, still outside of the root.
# Lays out the mounts, then becomes the root's own process 1.
set -eu

root=$1 anchor=$2 tree=$3 cache=$4 workdir=$5
shift 5

mount -t tmpfs -o mode=755 bufshare-lab "$anchor"
mkdir "$anchor/upper" "$anchor/work" "$anchor/root"
mount -t overlay -o "lowerdir=$root,upperdir=$anchor/upper,workdir=$anchor/work" bufshare-lab "$anchor/root"
new=$anchor/root
mount -t proc proc "$new/proc"
mount --rbind /sys "$new/sys"
mount --rbind /dev "$new/dev"
mount -t tmpfs tmpfs "$new/run"
mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
for path in "$cache" "$tree"; do
	mkdir -p "$new$path"
	mount --bind "$path" "$new$path"
done
# libfuzzer, sanitizers and QEMU want their memory files there; a bare container has none.
[ -d "$new/dev/shm" ] || mkdir "$new/dev/shm"

# The interpreter is the root's, and so is everything from here on.
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
	BUFSHARE_CACHE="$cache" BUFSHARE_ROOT="$root" BUFSHARE_ACCEL="${BUFSHARE_ACCEL:-}" \
	PYTHONPATH="$tree/tests" PYTHONDONTWRITEBYTECODE=1 \
	chroot "$new" python3 "$tree/tests/lab/init.py" "$workdir" "$@"
