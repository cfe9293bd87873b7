# SPDX-License-Identifier: MIT
"""Compiles the guest driver for each kernel, W=1 and sparse, and holds it to the kernel's style."""

import os
import shutil

from .. import paths
from .stage import FOLDER, Stage

# These say something of the root (a compiler's point release), nothing of the driver.
NOT_OURS = ("the compiler differs from the one used to build the kernel",
            "pahole version differs from the one used to build the kernel")
# An out-of-tree driver for several kernels compares versions, and cannot use what only the newest has.
CHECKPATCH_IGNORES = "LINUX_VERSION_CODE,ALLOC_WITH_SIZEOF,FILE_PATH_CHANGES"
# What checkpatch cannot know of two kinds of files: event definitions are macros laid out as all of the
# kernel's are, and KERNEL_VERSION() is no constant on the wrong side.
CHECKPATCH_EXCEPTIONS = {
    "_trace.h": "OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT",
    "compat.h": "CONSTANT_COMPARISON",
}


def compile_for(series):
    with Stage(f"module-{series}") as stage:
        # Afresh: an object file that is already there would keep its warnings to itself.
        folder = FOLDER / "module"
        shutil.rmtree(folder / series, ignore_errors=True)
        status, log = stage.run([paths.LAB / "build-module.sh", series, "W=1", "C=2",
                                 f"-j{os.cpu_count()}"], stage.name, {"MODULE_BUILD": str(folder)})
        if "sparse is not available or not up to date" in log:
            stage.skipped(f"sparse over the driver for kernel {series}:",
                          "newer kernels' headers want a newer sparse than this root's")
        warnings = [line for line in log.splitlines()
                    if ("warning:" in line or "error:" in line)
                    and not any(known in line for known in NOT_OURS)]
        stage.verdict(status == 0 and not warnings, f"driver for kernel {series}",
                      "\n".join(warnings) or log)


def checkpatch():
    with Stage("checkpatch") as stage:
        folder = paths.TREE / "guest-driver"
        for path in sorted([*folder.rglob("*.c"), *folder.rglob("*.h"),
                            paths.TREE / "include" / "virtio_bufshare.h"]):
            name = path.relative_to(paths.TREE)
            ignores = [CHECKPATCH_IGNORES] + [types for suffix, types in CHECKPATCH_EXCEPTIONS.items()
                                              if path.name.endswith(suffix)]
            status, log = stage.run(["perl", "/lab/checkpatch/checkpatch.pl", "--no-tree", "--strict", "--no-summary", "--show-types",
                                     "--ignore", ",".join(ignores), "--file", name],
                                    f"checkpatch-{path.name}")
            stage.verdict(status == 0, f"checkpatch {name}", log)
