# SPDX-License-Identifier: MIT
"""How much of a shared file a process has accessed: the accessed bits of its page tables.

Whether a page is mapped would say too much: a fault maps its neighbours too, unread. Source: proc(5),
/proc/pid/clear_refs and "Referenced" of /proc/pid/smaps.
"""

import os
import pathlib
import re

PAGE = os.sysconf("SC_PAGE_SIZE")
MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")


def forget_accesses(pid):
    """Counting begins here."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("1\n", encoding="ascii")


def accessed(pid, file):
    """Pages accessed since then, in mappings of files whose name has `file` in it."""
    kilobytes, wanted = 0, False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
        if MAPPING.match(line):
            wanted = file in line
        elif wanted and line.startswith("Referenced:"):
            kilobytes += int(line.split()[1])
    return kilobytes * 1024 // PAGE
