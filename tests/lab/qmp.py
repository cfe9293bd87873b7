# SPDX-License-Identifier: MIT
"""A small client of QEMU's control protocol."""

import json
import time

from .process import ProcessDied, wait_readable


class QmpError(Exception):
    """QEMU refused a command."""


class Qmp:
    """sock: connected to QEMU's monitor; qemu: its Process."""

    def __init__(self, sock, qemu):
        self.sock = sock
        self.qemu = qemu
        self.buffer = b""
        self.events = []
        self._receive(10, "QEMU's greeting")
        self.command("qmp_capabilities")

    def _receive(self, timeout, what):
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            wait_readable([self.sock], deadline, what)
            data = self.sock.recv(65536)
            if not data:
                raise ProcessDied(f"QEMU ended during: {what}\n{self.qemu.log_text()[-4000:]}")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def command(self, name, timeout=30, **arguments):
        """Runs a command with QMP's own argument names (hyphens: **{"a-b": 1}). Returns its result."""
        request = {"execute": name, "arguments": arguments}
        self.sock.sendall(json.dumps(request).encode())
        while True:
            reply = self._receive(timeout, name)
            if "event" in reply:
                self.events.append(reply)
            elif "error" in reply:
                raise QmpError(f"{name}: {reply['error']['desc']}")
            else:
                return reply["return"]

    def wait_event(self, name, timeout=30):
        """Waits for an event (one that came earlier counts) and takes it off the list."""
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            self.events.append(self._receive(timeout, f"QEMU's event {name}"))
