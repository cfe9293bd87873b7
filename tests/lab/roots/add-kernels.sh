#!/bin/sh
# SPDX-License-Identifier: MIT
# mmdebstrap customize hook: adds kernels and kernel headers to a root.
#
#	add-kernels.sh ROOT RECIPE
#
# The packages are unpacked, not installed: an installed kernel image drags in systemd, an
# initramfs generator and 100 MB of drivers, and 6.12's headers drag in the image.
# /lab/headers and /lab/kernels in the root list "series release", for those who look for them.
set -eu

root=$1 recipe=$2
# shellcheck source=tests/lab/roots/trixie.recipe
. "$recipe"

# newest SERIES - the release (uname -r) of the newest kernel of a series, amd64 flavour.
newest() {
	chroot "$root" apt-cache pkgnames linux-headers- |
		sed -n "s/^linux-headers-\\($1\\.[0-9]*\\(+deb[0-9]*\\)\\{0,1\\}\\(-[0-9]*\\)\\{0,1\\}-amd64\\)\$/\\1/p" |
		sort -V | tail -n 1
}

# unpack NAME... - those of the named packages that exist, into /lab/tree.
unpack() {
	rm -rf "$root/lab/tree" "$root/lab/debs"
	mkdir "$root/lab/tree" "$root/lab/debs"
	for name in "$@"; do
		chroot "$root" apt-cache show "$name" >/dev/null 2>&1 || continue
		# shellcheck disable=SC2016 # the inner shell's variable
		chroot "$root" sh -c 'cd /lab/debs && apt-get download -qq -o APT::Sandbox::User=root "$1"' - "$name"
	done
	for deb in "$root"/lab/debs/*.deb; do
		echo "kernel ${deb##*/}" >>"$root/lab/packages"
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root/lab/tree"
	done
	rm -rf "$root/lab/tree/usr/share" "$root/lab/debs"
	# As in an installed system: /lib is /usr/lib.
	if [ -d "$root/lab/tree/lib" ]; then
		mkdir -p "$root/lab/tree/usr/lib"
		cp -a "$root/lab/tree/lib/." "$root/lab/tree/usr/lib/"
		rm -rf "$root/lab/tree/lib"
	fi
}

mkdir -p "$root/lab"
for series in $HEADERS; do
	release=$(newest "$series")
	if [ -z "$release" ]; then
		echo "The Debian mirror has no kernel headers of series $series (any more): adapt $recipe." >&2
		exit 1
	fi
	echo "lab: kernel headers $release" >&2
	kbuild=$(chroot "$root" apt-cache show "linux-headers-$release" |
		sed -n 's/^Depends:.*\(linux-kbuild-[^ ,]*\).*/\1/p' | head -n 1)
	unpack "linux-headers-$release" "linux-headers-${release%-amd64}-common" "$kbuild"
	cp -a "$root/lab/tree/usr/." "$root/usr/"
	echo "$series $release" >>"$root/lab/headers"
done

for series in $KERNELS; do
	# The image must be that of the headers, or our module would not load.
	release=$(sed -n "s/^$series //p" "$root/lab/headers")
	echo "lab: kernel $release" >&2
	# One package until 7.1; since then split.
	unpack "linux-image-$release" "linux-base-$release" "linux-modules-$release" "linux-binary-$release"
	from=$root/lab/tree/usr/lib/modules/$release
	to=$root/usr/lib/modules/$release
	mkdir -p "$to/kernel"
	if [ -e "$from/vmlinuz" ]; then
		cp "$from/vmlinuz" "$from/config" "$to/"
	else
		cp "$root/lab/tree/boot/vmlinuz-$release" "$to/vmlinuz"
		cp "$root/lab/tree/boot/config-$release" "$to/config"
	fi
	cp "$from"/modules.builtin* "$from/modules.order" "$to/"
	for path in $GUEST_MODULES; do
		(cd "$from/kernel" && find . -path "./$path*" -name '*.ko*' -exec cp --parents -t "$to/kernel" {} +)
	done
	chroot "$root" depmod "$release"
	echo "$series $release" >>"$root/lab/kernels"
done

if [ -n "$CHECKPATCH_FROM" ]; then
	echo "lab: checkpatch of $CHECKPATCH_FROM" >&2
	unpack "$CHECKPATCH_FROM"
	mkdir "$root/lab/checkpatch"
	# With the root's xz: this machine may have none.
	chroot "$root" tar -x -J -C /lab/checkpatch --strip-components=2 \
		-f "/lab/tree/usr/src/$CHECKPATCH_FROM.tar.xz" "$CHECKPATCH_FROM/scripts/checkpatch.pl" \
		"$CHECKPATCH_FROM/scripts/spelling.txt" "$CHECKPATCH_FROM/scripts/const_structs.checkpatch"
fi
rm -rf "$root/lab/tree"
