# SPDX-License-Identifier: MIT
"""The host's end of the guest agent (guest/agent.c says how the two talk)."""

import collections
import re
import socket
import struct
import time

from .process import ProcessDied, wait_readable

HELLO, RUN, INPUT, KILL, OUTPUT, ERRORS, EXIT = range(7)
HEADER = struct.Struct("<III")
CHUNK = 1 << 16


class CommandFailed(Exception):
    """A guest command ended with another status than 0."""


Result = collections.namedtuple("Result", "status stdout stderr")


class Command:
    """A command that runs in a guest. stdout and stderr grow while anything of that guest is waited for."""

    def __init__(self, agent, number, script):
        self.agent = agent
        self.number = number
        self.script = script
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.status = None

    def wait(self, timeout=60):
        """Waits for the end; returns the exit status (128 + n: killed by signal n)."""
        self.agent.pump(lambda: self.status is not None, timeout, f"guest command: {self.script}")
        return self.status

    def wait_output(self, pattern, timeout=60):
        """Waits until standard output matches a pattern (bytes); returns the match."""
        found = []

        def look():
            match = re.search(pattern, bytes(self.stdout))
            found[:] = [match] if match else []
            return match or self.status is not None

        self.agent.pump(look, timeout, f"{pattern!r} from guest command: {self.script}")
        if not found:
            raise CommandFailed(f"{self} ended before it printed {pattern!r}")
        return found[0]

    def write(self, data):
        """Feeds standard input."""
        for start in range(0, len(data), CHUNK):
            self.agent.send(self.number, INPUT, data[start:start + CHUNK])

    def close_input(self):
        self.agent.send(self.number, INPUT, b"")

    def kill(self, number=15):
        """Sends a signal to the command and its children."""
        self.agent.send(self.number, KILL, bytes([number]))

    def __str__(self):
        return (f"guest command {self.script!r}, status {self.status}\n"
                f"{self.stdout.decode(errors='replace')[-4000:]}"
                f"{self.stderr.decode(errors='replace')[-4000:]}")


class Agent:
    """sock: connected to the guest's port; guest: its Process (QEMU), whose end ends every wait."""

    def __init__(self, sock, guest):
        self.sock = sock
        self.guest = guest
        self.buffer = bytearray()
        self.commands = {}
        self.last = 0
        self.ready = False

    def restarted(self):
        """Forgets all commands: the guest was reset just now and cannot have said anything since."""
        self.ready = False
        self.commands.clear()
        self.buffer.clear()
        try:
            while self.sock.recv(1 << 20, socket.MSG_DONTWAIT):
                pass
        except BlockingIOError:
            pass

    def send(self, number, kind, payload):
        self.sock.sendall(HEADER.pack(number, kind, len(payload)) + payload)

    def pump(self, done, timeout, what):
        """Takes in what the guest says until done() is true."""
        deadline = time.monotonic() + timeout
        while not done():
            ready = wait_readable([self.sock, self.guest.pidfd], deadline, what)
            data = self.sock.recv(1 << 20) if self.sock in ready else b""
            if not data:
                raise ProcessDied(f"{self.guest.name} ended while waiting for {what}")
            self.buffer += data
            self._take_frames()

    def _take_frames(self):
        while len(self.buffer) >= HEADER.size:
            number, kind, length = HEADER.unpack_from(self.buffer)
            if len(self.buffer) < HEADER.size + length:
                return
            payload = bytes(self.buffer[HEADER.size:HEADER.size + length])
            del self.buffer[:HEADER.size + length]
            if kind == HELLO:
                self.ready = True
                continue
            command = self.commands[number]
            if kind == OUTPUT:
                command.stdout += payload
            elif kind == ERRORS:
                command.stderr += payload
            elif kind == EXIT:
                command.status = int.from_bytes(payload, "little")
                del self.commands[number]

    def start(self, script):
        """Starts a shell script; its standard input is open."""
        self.last += 1
        command = Command(self, self.last, script)
        self.commands[self.last] = command
        self.send(self.last, RUN, script.encode())
        return command

    def run(self, script, data=b"", timeout=60, check=True):
        """Runs a shell script to its end. Raises CommandFailed on another status than 0."""
        command = self.start(script)
        command.write(data)
        command.close_input()
        command.wait(timeout)
        if check and command.status:
            raise CommandFailed(str(command))
        return Result(command.status, bytes(command.stdout), bytes(command.stderr))
