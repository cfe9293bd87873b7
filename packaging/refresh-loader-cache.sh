#!/bin/sh
# SPDX-License-Identifier: MIT
# Run by `meson install`, except into a DESTDIR. Only root can, and only root need.
[ "$(id -u)" -ne 0 ] || PATH=$PATH:/usr/sbin:/sbin ldconfig
