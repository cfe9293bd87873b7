# SPDX-License-Identifier: MIT
"""Looks at sources without running them: clang-tidy, shellcheck, mandoc."""

import concurrent.futures
import json
import os
import subprocess

from .. import paths
from .stage import Stage

BUILD = paths.BUILD / "tidy"


def tidy():
    with Stage("clang-tidy") as stage:
        if not (BUILD / "build.ninja").exists():
            status, log = stage.run(["meson", "setup", BUILD, "-Dtests=enabled"], "clang-tidy-setup", {"CC": "clang"})
            if status:
                stage.failed("clang-tidy: meson setup", log)
                return
        # Generated headers, if there are any, come by a build; a broken one is another stage's failure.
        stage.run(["ninja", "-C", BUILD, "-k0"], "clang-tidy-build")
        commands = json.loads((BUILD / "compile_commands.json").read_text(encoding="utf-8"))
        sources = {os.path.normpath(os.path.join(one["directory"], one["file"])) for one in commands}
        # What is installed. Tests ignore results on purpose, to see what comes of it.
        sources = sorted(source for source in sources
                         if source.startswith((f"{paths.TREE}/host-backend/", f"{paths.TREE}/client/")))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = {source: pool.submit(stage.run, ["clang-tidy", "--quiet", "-p", BUILD, source],
                                        "clang-tidy-" + source.replace("/", "-").lstrip("-"))
                    for source in sources}
            for source, job in jobs.items():
                status, log = job.result()
                stage.verdict(status == 0, f"clang-tidy {os.path.relpath(source, paths.TREE)}", log)


def _tracked(*patterns):
    listing = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
                              "--exclude-standard", "--", *patterns],
                             cwd=paths.TREE, capture_output=True, check=True)
    return sorted(name for name in listing.stdout.decode().split("\0") if name)


def scripts():
    with Stage("scripts") as stage:
        for name in _tracked("*.sh", "*/init", ".ci/run"):
            status, log = stage.run(["shellcheck", "-x", name], "shellcheck-" + name.replace("/", "-"))
            stage.verdict(status == 0, f"shellcheck {name}", log)
        for name in _tracked("*.[1-8]"):
            status, log = stage.run(["mandoc", "-T", "lint", "-W", "warning", name],
                                    "mandoc-" + name.replace("/", "-"))
            stage.verdict(status == 0, f"mandoc {name}", log)
