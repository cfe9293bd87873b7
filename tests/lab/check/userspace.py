# SPDX-License-Identifier: MIT
"""Builds user space and runs meson's tests: with sanitizers, and with Debian 12's tool chain."""

import json

from .. import paths
from .stage import Stage

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}
GOOD = ("OK", "EXPECTEDFAIL")


def _build_and_test(stage, folder, *options, env=None):
    build = paths.BUILD / folder
    if not (build / "build.ninja").exists():
        status, log = stage.run(["meson", "setup", build, "-Dwerror=true", "-Dtests=enabled", *options], f"{stage.name}-setup")
        if status:
            stage.failed(f"{stage.name}: meson setup", log)
            return
    status, log = stage.run(["ninja", "-C", build, "all", "meson-test-prereq"], f"{stage.name}-build")
    stage.verdict(status == 0, f"{stage.name}: build", log)
    if status:
        return
    report = build / "meson-logs" / "testlog.json"
    report.unlink(missing_ok=True)
    _, log = stage.run(["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs"],
                       f"{stage.name}-tests", env)
    if not report.exists():
        stage.failed(f"{stage.name}: meson test", log)
        return
    results = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    for result in results:
        name = f"{stage.name}: {result['name']}"
        if result["result"] == "SKIP":
            stage.skipped(name)
        else:
            stage.verdict(result["result"] in GOOD, f"{name} ({result['result']})",
                          result.get("stdout", "") + result.get("stderr", ""))
    if not results:
        stage.failed(f"{stage.name}: meson test", "meson knows of no test")


def sanitized():
    with Stage("userspace-sanitized") as stage:
        _build_and_test(stage, "sanitized", "-Db_sanitize=address,undefined", "-Db_lundef=false",
                        env=SANITIZERS)


def debian12():
    with Stage("userspace-debian12") as stage:
        _build_and_test(stage, "debian12")
