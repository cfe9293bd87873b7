# SPDX-License-Identifier: MIT
"""Builds what guests run and tests it in guests."""

import os
import subprocess
import sys
import xml.etree.ElementTree

from .. import paths
from .stage import FOLDER, Stage


def vm():
    with Stage("vm") as stage:
        status, log = stage.run([paths.LAB / "build-vm.sh"], "vm-build")
        stage.verdict(status == 0, "build for guests", log)
        if status:
            return
        report = FOLDER / "vm.xml"
        report.unlink(missing_ok=True)
        # Straight to the terminal: these take minutes, and each line says how far they are.
        # A guest is one busy thread, so as many tests as there are CPUs run at once.
        subprocess.run([sys.executable, "-m", "pytest", "-v", "--tb=short",
                        "-n", str(os.cpu_count()), f"--junit-xml={report}", "tests/vm"],
                       cwd=paths.TREE, stdin=subprocess.DEVNULL, check=False)
        cases = list(xml.etree.ElementTree.parse(report).iter("testcase")) if report.exists() else []
        for case in cases:
            name = f"vm: {case.get('classname')}.{case.get('name')}"
            problem = next((case.find(kind) for kind in ("failure", "error")
                            if case.find(kind) is not None), None)
            if problem is not None:
                stage.failed(name, problem.get("message") or "")
            elif case.find("skipped") is not None:
                stage.skipped(name, case.find("skipped").get("message") or "")
            else:
                stage.passed(name)
        if not cases:
            stage.failed("pytest", "no VM test was found")
