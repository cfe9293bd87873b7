# SPDX-License-Identifier: MIT
"""python3 -m lab.check STAGE... - runs stages in the root that this is in.

python3 -m lab.check --summary STAGE... - adds up what those stages left behind.
"""

import json
import sys

from . import lint, module, userspace, vm
from .stage import FOLDER, counted

STAGES = {
    "scripts": lint.scripts,
    "userspace-sanitized": userspace.sanitized,
    "userspace-debian12": userspace.debian12,
    "clang-tidy": lint.tidy,
    "checkpatch": module.checkpatch,
    "module-6.1": lambda: module.compile_for("6.1"),
    "module-6.12": lambda: module.compile_for("6.12"),
    "module-7.2": lambda: module.compile_for("7.2"),
    "vm": vm.vm,
}


def summary(names):
    total = {"passed": 0, "failed": 0, "skipped": 0}
    print(f"\n{'stage':24}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    failures = []
    for name in names:
        try:
            result = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        except OSError:
            result = {"passed": 0, "failed": 1, "skipped": 0, "seconds": 0,
                      "failures": [f"{name}: did not run to its end"]}
        for key in total:
            total[key] += result[key]
        failures += result["failures"]
        print(f"{name:24}{result['passed']:8}{result['failed']:8}{result['skipped']:9}{result['seconds']:9.0f}")
    for failure in failures:
        print(f"FAILED: {failure}")
    print(counted(total))
    return 1 if total["failed"] or not total["passed"] else 0


def main(arguments):
    if arguments[:1] == ["--summary"]:
        return summary(arguments[1:])
    for name in arguments:
        STAGES[name]()
    return 0


sys.exit(main(sys.argv[1:]))
