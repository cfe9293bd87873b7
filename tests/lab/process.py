# SPDX-License-Identifier: MIT
"""Child processes that cannot be forgotten.

Each has its own session, dies with its parent by the kernel's hand, logs to a file, and is waited
for by its pidfd, so that a wait can end by other events too.
"""

import ctypes
import os
import select
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


class ProcessDied(Exception):
    """A process that was waited on ended before it did what was waited for."""


class Timeout(Exception):
    """What was waited for did not happen in time."""


def _die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def remaining(deadline, what):
    """Seconds until a deadline (time.monotonic()); raises Timeout when there are none left."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise Timeout(f"timed out waiting for {what}")
    return left


def wait_readable(fds, deadline, what):
    """Returns those of the fds (or objects with fileno()) that are readable, hung up included."""
    poll = select.poll()
    by_fd = {}
    for fd in fds:
        number = fd if isinstance(fd, int) else fd.fileno()
        by_fd[number] = fd
        poll.register(number, select.POLLIN)
    while True:
        events = poll.poll(remaining(deadline, what) * 1000)
        if events:
            return [by_fd[number] for number, _ in events]


class Process:
    """A running program.

    name: for messages; its output goes to the file `log`.
    pass_fds: descriptors that it inherits under their own numbers.
    """

    def __init__(self, argv, name, log, pass_fds=(), env=None, stdin=subprocess.DEVNULL):
        self.name = name
        self.log = log
        with open(log, "ab") as output:
            self.child = subprocess.Popen(
                [str(word) for word in argv], stdin=stdin, stdout=output, stderr=output,
                pass_fds=pass_fds, env={**os.environ, **(env or {})},
                start_new_session=True, preexec_fn=_die_with_parent)
        self.pid = self.child.pid
        self.pidfd = os.pidfd_open(self.pid)

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def running(self):
        return self.child.poll() is None

    def signal(self, number):
        """Sends a signal to the process alone, not to its children."""
        if self.running():
            os.kill(self.pid, number)

    def wait(self, timeout=10):
        """Waits for the end; returns the exit status (negative: the signal)."""
        if self.running():
            wait_readable([self.pidfd], time.monotonic() + timeout, f"{self.name} to end")
        return self.child.wait()

    def check_running(self):
        if not self.running():
            raise ProcessDied(f"{self.name} ended with status {self.child.returncode}:\n"
                              + self.log_text()[-4000:])

    def stop(self, timeout=5):
        """Ends it: politely, then not. Whatever it left in its process group goes too."""
        if self.pidfd < 0:
            return self.child.returncode
        try:
            self.signal(signal.SIGTERM)
            self.wait(timeout)
        except Timeout:
            pass
        self._kill_group()
        return self.child.wait()

    def kill(self):
        """Ends it at once, as a crash would."""
        self.signal(signal.SIGKILL)
        return self.child.wait()

    def _kill_group(self):
        # Its id is its group's id, and stays taken while anything is left in the group.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.close(self.pidfd)
        self.pidfd = -1
