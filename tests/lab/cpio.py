# SPDX-License-Identifier: MIT
"""Writes cpio archives of the "newc" kind, which Linux unpacks as its first file system.

Archives may be laid end to end; a later one adds to and replaces files of an earlier one.
Everything belongs to root and has time 0: the same contents give the same bytes.
"""

import os
import stat


class Cpio:
    def __init__(self, file):
        self.file = file
        self.inode = 0
        self.directories = {""}

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self._entry("TRAILER!!!", 0, b"")
            self.file.write(b"\0" * (-self.file.tell() % 512))

    def _entry(self, name, mode, data, rdev=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self.file.write(header + b"\0" * (-len(header) % 4))
        self.file.write(data + b"\0" * (-len(data) % 4))

    def directory(self, path):
        path = path.strip("/")
        if path in self.directories:
            return
        self.directory(os.path.dirname(path))
        self.directories.add(path)
        self._entry(path, stat.S_IFDIR | 0o755, b"")

    def data(self, path, data, mode=0o644):
        path = path.strip("/")
        self.directory(os.path.dirname(path))
        self._entry(path, stat.S_IFREG | mode, data)

    def copy(self, path, source):
        mode = 0o755 if os.access(source, os.X_OK) else 0o644
        with open(source, "rb") as file:
            self.data(path, file.read(), mode)

    def symlink(self, path, target):
        path = path.strip("/")
        self.directory(os.path.dirname(path))
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path, major, minor):
        path = path.strip("/")
        self.directory(os.path.dirname(path))
        self._entry(path, stat.S_IFCHR | 0o600, b"", (major, minor))
