# SPDX-License-Identifier: MIT
"""The lab: starts daemons, guests and clients for tests, inside the trixie root."""

from .agent import Command, CommandFailed, Result
from .daemon import Daemon
from .image import Image
from .process import Process, ProcessDied, Timeout, wait_readable
from .qmp import QmpError
from .session import Session
from .vm import Vm

__all__ = ["Command", "CommandFailed", "Daemon", "Image", "Process", "ProcessDied", "QmpError",
           "Result", "Session", "Timeout", "Vm", "wait_readable"]
