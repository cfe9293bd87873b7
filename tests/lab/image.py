# SPDX-License-Identifier: MIT
"""Makes guest images: a kernel and an initramfs, inside the trixie root, from its own files.

The initramfs is two archives laid end to end. The base (busybox, libraries, kernel modules, the
agent) is cached by content. The overlay (our module, our programs) is small and made for each run,
so that a guest never runs yesterday's build.
"""

import fcntl
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import paths
from .cpio import Cpio

# What a guest may load by name; modules these need come along.
MODULES = ("virtio_pci", "virtio_console", "virtio_dma_buf", "vivid", "vgem", "virtio_gpu")
PROGRAMS = ("/usr/bin/v4l2-ctl",)
GUEST = paths.LAB / "guest"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def releases():
    """{series: release} of the kernels in this root, such as {"6.12": "6.12.107+deb13-amd64"}."""
    with open("/lab/kernels", encoding="ascii") as file:
        return dict(line.split() for line in file)


def libraries(program):
    """The shared libraries that a program loads, as paths in this root."""
    result = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    if "not found" in result.stdout:
        raise RuntimeError(f"{program} needs a library that is not there:\n{result.stdout}")
    return re.findall(r"(?:=> |^\s+)(/\S+) \(0x", result.stdout, re.MULTILINE)


def _plain(name):
    """A module's name from its file: "kernel/drivers/a-b.ko.xz" is "a_b"."""
    return os.path.basename(name).split(".ko")[0].replace("-", "_")


def _with_dependencies(release, wanted):
    folder = pathlib.Path("/usr/lib/modules", release)
    needs, files = {}, {}
    for line in (folder / "modules.dep").read_text().splitlines():
        name, _, rest = line.partition(":")
        files[_plain(name)] = name
        needs[_plain(name)] = [_plain(other) for other in rest.split()]
    built_in = {_plain(line) for line in (folder / "modules.builtin").read_text().splitlines()}
    chosen, queue = set(), [name for name in wanted if name not in built_in]
    while queue:
        name = queue.pop()
        if name not in files:
            raise RuntimeError(f"kernel {release} has no module {name}")
        if name not in chosen:
            chosen.add(name)
            queue.extend(needs[name])
    return sorted(files[name] for name in chosen)


class Image:
    """A bootable guest of one kernel series: .kernel and .base are files, .modules a folder."""

    def __init__(self, series):
        self.series = series
        self.release = releases()[series]
        self.kernel = pathlib.Path("/usr/lib/modules", self.release, "vmlinuz")
        key = hashlib.sha256(os.environ["BUFSHARE_ROOT"].encode())
        for source in (__file__, paths.LAB / "cpio.py", GUEST / "init", GUEST / "agent.c"):
            key.update(pathlib.Path(source).read_bytes())
        self.folder = paths.CACHE / "images" / f"{series}-{key.hexdigest()[:16]}"
        self.base = self.folder / "base.cpio"
        self.modules = self.folder / "modules"
        if not self.folder.is_dir():
            self._build()
        os.utime(self.folder)  # as enter.sh does with roots: this one is in use

    def _build(self):
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with open(self.folder.parent / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.folder.is_dir():
                return
            print(f"lab: making the guest image of kernel {self.release}", flush=True)
            with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix="new.") as name:
                folder = pathlib.Path(name, "image")
                folder.mkdir()
                self._stage_modules(folder / "modules" / "lib" / "modules" / self.release)
                self._write_base(folder)
                folder.rename(self.folder)

    def _stage_modules(self, folder):
        source = pathlib.Path("/usr/lib/modules", self.release)
        for name in _with_dependencies(self.release, MODULES):
            target = folder / name.removesuffix(".xz")
            target.parent.mkdir(parents=True, exist_ok=True)
            data = (source / name).read_bytes()
            # Unpacked here, once: in an emulated guest that costs seconds.
            target.write_bytes(lzma.decompress(data) if name.endswith(".xz") else data)
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            shutil.copy(source / name, folder / name)
        _depmod(folder.parents[2], self.release)

    def _write_base(self, folder):
        agent = folder / "agent"
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", agent,
                        GUEST / "agent.c"], check=True)
        with open(folder / "base.cpio", "wb") as file, Cpio(file) as cpio:
            for name in ("dev", "proc", "sys", "run", "tmp", "root", "etc", "usr/bin",
                         LIBRARIES, "usr/lib64", "usr/local/bin"):
                cpio.directory(name)
            # Until devtmpfs is there, the kernel needs a console for process 1.
            cpio.character_device("dev/console", 5, 1)
            for name in ("bin", "lib", "lib64"):
                cpio.symlink(name, f"usr/{name}")
            for name in ("sbin", "usr/sbin"):
                cpio.symlink(name, "/usr/bin")
            cpio.copy("usr/bin/busybox", "/usr/bin/busybox")
            applets = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True)
            for name in applets.stdout.split():
                if name != "busybox":
                    cpio.symlink(f"usr/bin/{name}", "busybox")
            cpio.data("init", (GUEST / "init").read_bytes(), 0o755)
            cpio.copy("usr/bin/agent", agent)
            cpio.data("etc/passwd", b"root::0:0:root:/root:/bin/sh\n")
            needed = set(libraries(agent))
            for program in PROGRAMS:
                cpio.copy(f"usr/bin/{os.path.basename(program)}", program)
                needed.update(libraries(program))
            for library in sorted(needed):
                cpio.copy(_library_path(library), os.path.realpath(library))
            _add_tree(cpio, folder / "modules")

    def overlay(self, file, files=None, modules=()):
        """Writes an overlay archive to an open file.

        files: {path in the guest: path here}; shared libraries that these need come along.
        modules: our own .ko files; `modprobe` in the guest finds them and what they need.
        """
        with tempfile.TemporaryDirectory() as name, Cpio(file) as cpio:
            if modules:
                staged = pathlib.Path(name)
                target = staged / "lib" / "modules" / self.release
                shutil.copytree(self.modules, staged, dirs_exist_ok=True)
                (target / "extra").mkdir()
                for module in modules:
                    shutil.copy(module, target / "extra")
                _depmod(staged, self.release)
                for path in [*target.glob("modules.*"), *(target / "extra").iterdir()]:
                    cpio.copy(f"usr/{path.relative_to(staged)}", path)
            needed = {}
            for inside, outside in (files or {}).items():
                cpio.copy(inside, outside)
                if _is_elf(outside):
                    # Ours come by name from the build folder: under the name that the loader asks for.
                    needed.update({_library_path(library): os.path.realpath(library)
                                   for library in libraries(outside)})
            for inside in sorted(set(needed) - set(files or {})):
                cpio.copy(inside, needed[inside])


def _library_path(library):
    if os.path.basename(library).startswith("ld-linux"):
        return f"usr/lib64/{os.path.basename(library)}"
    return f"{LIBRARIES}/{os.path.basename(library)}"


def _is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def _add_tree(cpio, folder):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            cpio.copy(f"usr/{path.relative_to(folder)}", path)


def _depmod(base, release):
    subprocess.run(["depmod", "-b", base, release], check=True)
