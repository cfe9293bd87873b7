# shellcheck shell=sh disable=SC2154
# SPDX-License-Identifier: MIT
# Where the lab keeps what it built. Sourced; wants $lab, the folder of this file.

cache=${BUFSHARE_CACHE:-/var/cache/bufshare}

say() {
	echo "lab: $*" >&2
}

root_names() {
	for recipe in "$lab"/roots/*.recipe; do
		recipe=${recipe##*/}
		echo "${recipe%.recipe}"
	done
}

# root_path NAME - where the root of that recipe is, or will be.
root_path() {
	key=$(cat "$lab/roots/$1.recipe" "$lab/roots/build.sh" "$lab/roots/add-kernels.sh" |
		sha256sum | cut -c1-16)
	echo "$cache/roots/$1-$key"
}
