#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiles the guest driver for one kernel series, inside a root that has its headers.
#
#	enter.sh trixie   -- tests/lab/build-module.sh 6.12|7.2 [MAKE-ARGUMENT...]
#	enter.sh bookworm -- tests/lab/build-module.sh 6.1      [MAKE-ARGUMENT...]
#
# The result: build/module/SERIES/guest-driver/virtio_bufshare.ko, or under $MODULE_BUILD/SERIES.
# Kbuild writes objects beside sources: it works on a copy there, and only files
# that changed are copied, so that an unchanged driver is not compiled again.
set -eu

series=$1
shift
tree=$(cd "$(dirname "$0")/../.." && pwd)
target=${MODULE_BUILD:-$tree/build/module}/$series
release=$(sed -n "s/^$series //p" /lab/headers)
if [ -z "$release" ]; then
	echo "This root has no kernel headers of series $series." >&2
	exit 1
fi

for part in guest-driver include; do
	cd "$tree/$part"
	find . -type f | while read -r file; do
		cmp -s "$file" "$target/$part/$file" || {
			mkdir -p "$target/$part/${file%/*}"
			cp "$file" "$target/$part/$file"
		}
	done
	# What was renamed or removed must not be compiled on.
	cd "$target/$part"
	find . -type f \( -name '*.c' ! -name '*.mod.c' -o -name '*.h' -o -name Kbuild -o -name Makefile \) |
		while read -r file; do
			[ -e "$tree/$part/$file" ] || rm "$file"
		done
done

# BTF for the module needs pahole and the kernel's own BTF; nothing here reads it.
exec make -C "/usr/lib/modules/$release/build" M="$target/guest-driver" \
	CONFIG_DEBUG_INFO_BTF_MODULES= "$@" modules
