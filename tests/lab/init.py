# SPDX-License-Identifier: MIT
"""Process 1 of an entered root: runs one command, passes signals on, ends with its status.

A process 1 ignores every signal that it has no handler for, and inherits all orphans: neither is
anything that an ordinary command copes with. When this one ends, the kernel kills what is left.
"""

import os
import signal
import sys


def main():
    workdir, command = sys.argv[1], sys.argv[2:]
    passed_on = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    # Blocked until the child is known: none may fall between fork and handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)
    child = os.fork()
    if child == 0:
        for number in passed_on + (signal.SIGQUIT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
        os.chdir(workdir if os.path.isdir(workdir) else "/")
        try:
            os.execvp(command[0], command)
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)
            os._exit(127)

    def pass_on(number, _frame):
        try:
            os.kill(child, number)
        except ProcessLookupError:
            pass  # it ended just now; the wait below says how

    for number in passed_on:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


sys.exit(main())
