# SPDX-License-Identifier: MIT
"""The dma-buf path of the host side, in a guest, because not every host's kernel has /dev/udmabuf."""

from lab import paths

PROGRAM = "test_client_udmabuf"


def test_udmabuf(lab, kernel):
    program = paths.VM_BUILD / "tests" / "client" / PROGRAM
    vm = lab.vm(kernel, files={f"usr/local/bin/{PROGRAM}": program})
    vm.run(f"ls /dev/udmabuf && {PROGRAM}", timeout=120)
