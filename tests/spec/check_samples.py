#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds and links the sample programs (```c blocks) of a Markdown file.

usage: check_samples.py FILE.md COUNT [FOLDER] -- COMPILER ARGUMENT...
COUNT is how many there have to be, so that a sample that is no longer found is seen.
FOLDER keeps the programs: sample0, sample1, ...
"""

import os
import re
import subprocess
import sys
import tempfile


def main():
    dashes = sys.argv.index("--")
    path, count, *folder = sys.argv[1:dashes]
    command = sys.argv[dashes + 1:]
    with open(path, encoding="utf-8") as f:
        text = f.read()
    failed = 0
    blocks = list(re.finditer(r"^```c\n(.*?)^```$", text, flags=re.S | re.M))
    if len(blocks) != int(count):
        print(f"{path} has {len(blocks)} samples and not {count}")
        failed += 1
    with tempfile.TemporaryDirectory() as tmp:
        for i, block in enumerate(blocks):
            line = text.count("\n", 0, block.start(1)) + 1
            source = os.path.join(tmp, f"sample{i}.c")
            with open(source, "w", encoding="utf-8") as f:
                f.write(f'#line {line} "{path}"\n{block.group(1)}')
            # The libraries come after what needs them.
            program = os.path.join(folder[0] if folder else tmp, f"sample{i}")
            r = subprocess.run([command[0], "-o", program, source, *command[1:]], check=False)
            print(f"{'not ok' if r.returncode else 'ok'} - the sample at line {line}")
            failed += r.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
