#!/bin/sh
# SPDX-License-Identifier: MIT
# Says which Debian packages a native build lacks, all at once.
set -eu

missing=
need() {
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}

need gcc command -v cc
need libc6-dev test -e /usr/include/stdio.h
need meson command -v meson
need ninja-build command -v ninja
need pkgconf command -v pkg-config
need python3 command -v python3
need libjson-c-dev pkg-config --exists json-c
need libpng-dev pkg-config --exists libpng
need uuid-dev pkg-config --exists uuid
if [ -n "$missing" ]; then
	echo "Building here needs packages that are not installed. On Debian, as root:" >&2
	echo "	apt install$missing" >&2
	exit 1
fi
pkg-config --exists cmocka ||
	echo "Built without tests: they need libcmocka-dev (make check brings its own)."
