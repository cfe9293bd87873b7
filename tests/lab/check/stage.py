# SPDX-License-Identifier: MIT
"""A stage of `make check`: counts results, keeps logs, leaves a JSON file for the summary."""

import json
import os
import subprocess
import time

from .. import paths

FOLDER = paths.BUILD / "check"
TAIL_LINES = 40


class Stage:
    """with Stage("name") as stage: stage.passed("what"), stage.failed("what", "log text")

    An exception in the block is a failure of the stage, not of the whole check.
    """

    def __init__(self, name):
        self.name = name
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.failures = []
        self.began = time.monotonic()
        FOLDER.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        print(f"check: {self.name} ...", flush=True)
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception):
            self.failed(self.name, f"{kind.__name__}: {error}")
        elif error is not None:
            return False
        if not self.counts["passed"] and not self.counts["failed"]:
            self.failed(self.name, "nothing was there to check")
        seconds = round(time.monotonic() - self.began, 1)
        result = {"stage": self.name, "seconds": seconds, "failures": self.failures, **self.counts}
        (FOLDER / f"{self.name}.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
        print(f"check: {self.name}: {counted(self.counts)} ({seconds:.0f} s)", flush=True)
        return True

    def passed(self, _what):
        self.counts["passed"] += 1

    def skipped(self, what, why=""):
        self.counts["skipped"] += 1
        print(f"check: skipped: {what} {why}", flush=True)

    def failed(self, what, log=""):
        self.counts["failed"] += 1
        self.failures.append(what)
        tail = "\n".join(f"    {line}" for line in log.splitlines()[-TAIL_LINES:])
        print(f"check: FAILED: {what}\n{tail}", flush=True)

    def verdict(self, good, what, log=""):
        if good:
            self.passed(what)
        else:
            self.failed(what, log)

    def run(self, argv, log_name, env=None):
        """Runs a command; returns (exit status, output). The output stays in build/check/LOG_NAME."""
        result = subprocess.run([str(word) for word in argv], cwd=paths.TREE, check=False,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        text = result.stdout.decode(errors="replace")
        (FOLDER / f"{log_name}.log").write_text(text, encoding="utf-8")
        return result.returncode, text


def counted(counts):
    """"N passed, N failed", and the skipped ones if there are any."""
    line = f"{counts['passed']} passed, {counts['failed']} failed"
    return f"{line}, {counts['skipped']} skipped" if counts["skipped"] else line
