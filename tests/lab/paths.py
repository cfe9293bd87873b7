# SPDX-License-Identifier: MIT
"""Where things are: the work tree, the build folders, the cache."""

import os
import pathlib

LAB = pathlib.Path(__file__).resolve().parent
TREE = LAB.parent.parent
BUILD = TREE / "build"
# User space as guests and VM tests run it: built in the trixie root, without sanitizers.
VM_BUILD = BUILD / "vm"
CLIENT = VM_BUILD / "client" / "bufshare"
CACHE = pathlib.Path(os.environ.get("BUFSHARE_CACHE", "/var/cache/bufshare"))


def module(series):
    """The guest driver compiled for a kernel series ("6.12")."""
    return BUILD / "module" / series / "guest-driver" / "virtio_bufshare.ko"
