# SPDX-License-Identifier: MIT
"""python3 -m lab - makes the guest images that are not cached yet."""

from .image import Image, releases

for series in releases():
    Image(series)
