# SPDX-License-Identifier: MIT
"""The daemon under test."""

import os
import time

from . import paths
from .process import Process, wait_readable, ProcessDied

READY_SECONDS = 20


class Daemon:
    """A running vhost-user-bufshare.

    folder: where its sockets and log go
    vms: names of the VMs that it serves
    arguments: further options
    program: the executable, by default that built for VM tests

    Its constructor returns when all sockets listen: the daemon says so on --ready-fd.
    """

    def __init__(self, folder, vms=("vm0",), arguments=(), program=None, name="daemon"):
        self.folder = folder
        self.name = name
        self.client_socket = folder / f"{name}.client"
        self.sockets = {vm: folder / f"{name}.{vm}" for vm in vms}
        reader, writer = os.pipe()
        argv = [program or paths.VM_BUILD / "host-backend" / "vhost-user-bufshare"]
        argv += [f"--socket-path={vm}={path}" for vm, path in self.sockets.items()]
        argv += [f"--client-socket={self.client_socket}", f"--ready-fd={writer}", *arguments]
        try:
            self.process = Process(argv, name, folder / f"{name}.log", pass_fds=(writer,))
        finally:
            os.close(writer)
        try:
            wait_readable([reader], time.monotonic() + READY_SECONDS, f"{name} to be ready")
            if not os.read(reader, 16).startswith(b"ready"):
                self.process.wait()
                raise ProcessDied(f"{name} did not become ready:\n{self.describe()}")
        except BaseException:
            self.process.stop()
            raise
        finally:
            os.close(reader)

    def log_text(self):
        return self.process.log_text()

    def describe(self):
        return f"--- log of {self.name} ---\n{self.log_text()[-4000:]}"

    def stop(self):
        return self.process.stop()
