#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes sure that the lab's Debian roots are there, in a cache outside the work tree.
#
#	bootstrap.sh [ROOT...]		default: every recipe in roots/
#
# A root is named by the sha256 of all that decides its contents, so that a changed recipe makes a new
# root and an unchanged one costs nothing, not even a network connection. A root appears by a
# rename: an interrupted build leaves nothing that could be mistaken for a good one.
set -eu

lab=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lab/cache.sh
. "$lab/cache.sh"

prepare_machine() {
	if [ "$(id -u)" != 0 ]; then
		echo "Building a root needs to be root: run this as root, or with sudo." >&2
		exit 1
	fi
	say "asking apt for package lists"
	apt-get update -qq
	missing=
	command -v mmdebstrap >/dev/null || missing=mmdebstrap
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
	if [ -n "$missing" ]; then
		say "installing $missing"
		# shellcheck disable=SC2086 # a list
		DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq --yes --no-install-recommends $missing >"$cache/apt.log" 2>&1 ||
			{ cat "$cache/apt.log" >&2; exit 1; }
	fi
}

build() {
	name=$1 root=$2
	say "building the $name root (a few minutes, once): $root"
	prepare_machine
	mirror=$("$lab/mirror.sh")
	tmp=$root.new.$$
	# What an interrupted build before us left behind. (We hold the lock.)
	rm -rf --one-file-system "$cache/roots/$name-"*.new.*
	trap 'rm -rf --one-file-system "$tmp" "$tmp.apt"' EXIT
	trap 'exit 130' INT TERM HUP
	say "installing packages from $mirror"
	if ! "$lab/roots/build.sh" "$lab/roots/$name.recipe" "$mirror" "$tmp" >"$root.log" 2>&1; then
		tail -n 40 "$root.log" >&2
		say "the $name root could not be built; the whole log: $root.log"
		exit 1
	fi
	mv "$tmp" "$root"
	# Superseded ones cost a gigabyte each; another work tree may still use a young one.
	find "$cache/roots" "$cache/images" -mindepth 1 -maxdepth 1 -mtime +14 \
		-exec rm -rf --one-file-system {} + 2>/dev/null || true
	say "the $name root is ready ($(du -sm "$root" | cut -f1) MB)"
}

# shellcheck disable=SC2046 # a list
[ $# -gt 0 ] || set -- $(root_names)
mkdir -p "$cache/roots"
for name in "$@"; do
	root=$(root_path "$name")
	[ ! -d "$root" ] || continue
	# One builder at a time: a second one waits, then finds the root.
	(
		flock 9
		[ -d "$root" ] || build "$name" "$root"
	) 9>"$cache/lock"
done
