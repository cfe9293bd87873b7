#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds one root from its recipe with mmdebstrap.
#
#	build.sh RECIPE MIRROR TARGET
set -eu

recipe=$1 mirror=$2 target=$3
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lab/roots/trixie.recipe
. "$recipe"

conf=$target.apt
mkdir -p "$conf"
trap 'rm -rf "$conf"' EXIT

key=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$key" ] || key=/usr/share/keyrings/debian-archive-keyring.pgp
for suite in $SUITES; do
	echo "deb [signed-by=$key] $mirror $suite main"
done >"$conf/sources.list"

for name in $PREFER_BACKPORTS; do
	# shellcheck disable=SC2153 # not suite: one root, several suites
	printf 'Package: %s\nPin: release n=%s-backports\nPin-Priority: 700\n\n' "$name" "$SUITE"
done >"$conf/preferences"

# What this machine's apt needs to reach the mirror (a proxy, say), the root's apt needs as well.
{
	apt-config dump | grep -E '^Acquire::(http|https|Retries|Check-Valid-Until|Check-Date).* "..*";$' || true
	echo 'APT::Install-Recommends "false"; Acquire::Languages "none";'
} >"$conf/apt.conf"

# shellcheck disable=SC2086 # a list
include=$(echo $PACKAGES | tr ' ' ',')
mmdebstrap --quiet --mode=root --variant=minbase \
	--aptopt="$conf/apt.conf" \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--setup-hook="mkdir -p \"\$1/etc/apt/preferences.d\"" \
	--setup-hook="cp '$conf/preferences' \"\$1/etc/apt/preferences.d/lab\"" \
	--include="$include" \
	--customize-hook="mkdir -p \"\$1/lab\" && chroot \"\$1\" dpkg -l >\"\$1/lab/packages\"" \
	--customize-hook="sh '$here/add-kernels.sh' \"\$1\" '$recipe'" \
	"$SUITE" "$target" "$conf/sources.list"
