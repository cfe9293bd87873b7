#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds what guests and VM tests run, inside the trixie root: user space without sanitizers in
# build/vm (a guest's libraries are this root's), the module for every kernel that boots.
set -eu

tree=$(cd "$(dirname "$0")/../.." && pwd)
cd "$tree"
[ -e build/vm/build.ninja ] || meson setup build/vm --buildtype=debugoptimized -Dwerror=true -Dtests=enabled
ninja -C build/vm
while read -r series _; do
	tests/lab/build-module.sh "$series" -j"$(nproc)"
done </lab/kernels
