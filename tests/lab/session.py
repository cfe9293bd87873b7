# SPDX-License-Identifier: MIT
"""One test's machines: what it starts here is stopped when it ends, whatever way that is."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from . import paths
from .daemon import Daemon
from .process import Process
from .vm import Vm


class Session:
    """with Session("name") as lab: lab.daemon(...), lab.vm(...), lab.process(...)

    Logs stay in build/lab/NAME; sockets are in a short temporary folder, for their paths' sake.
    """

    def __init__(self, name):
        self.logs = paths.BUILD / "lab" / name
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lab."))
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            print(self.describe(), file=sys.stderr, flush=True)
        self.stop()

    def daemon(self, **arguments):
        """Starts a Daemon."""
        daemon = Daemon(self.folder, **arguments)
        self.started.append(daemon)
        return daemon

    def vm(self, series="6.12", start=True, **arguments):
        """Starts a Vm."""
        vm = Vm(series, folder=self.folder, **arguments)
        self.started.append(vm)
        return vm.start() if start else vm

    def process(self, argv, name, **arguments):
        """Starts a program on the host; its output is in the returned Process' log."""
        process = Process(argv, name, self.folder / f"{name}.log", **arguments)
        self.started.append(process)
        return process

    def run(self, argv, timeout=60, check=True, **arguments):
        """Runs a program on the host to its end; returns subprocess' result, output as bytes."""
        return subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=timeout, check=check, **arguments)

    def client(self, *arguments, **options):
        """Runs the bufshare command on the host."""
        return self.run([paths.CLIENT, *arguments], **options)

    def describe(self):
        """Consoles and logs, for the report of a failed test."""
        parts = []
        for one in self.started:
            if isinstance(one, Process):
                parts.append(f"--- output of {one.name} ---\n{one.log_text()[-4000:]}")
            else:
                parts.append(one.describe())
        return "\n".join(parts)

    def stop(self):
        errors = []
        while self.started:
            try:
                self.started.pop().stop()
            except Exception as error:  # the others must be stopped all the same
                errors.append(error)
        for path in self.folder.iterdir():
            if path.is_file() and not path.name.endswith(".initramfs"):
                shutil.copy(path, self.logs)
        shutil.rmtree(self.folder, ignore_errors=True)
        if errors:
            raise errors[0]
