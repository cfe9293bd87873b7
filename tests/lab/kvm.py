# SPDX-License-Identifier: MIT
"""Decides between KVM and emulation.

/dev/kvm can exist and still not run an ordinary guest. So a guest is booted on it, once after each boot
of this machine, and has to reach its agent within seconds.
"""

import os
import pathlib

from . import paths
from .process import ProcessDied, Timeout

PROBE_SECONDS = 5
EMULATION = "tcg,thread=multi"


def _verdict_file():
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return paths.CACHE / f"accel-{boot}"


def _probe():
    # Imported here: a VM asks this module which accelerator to use.
    from .vm import Vm  # pylint: disable=import-outside-toplevel

    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATION
    vm = Vm("6.12", name="kvm-probe", memory="256M", accel="kvm", overlay=None)
    try:
        vm.start(timeout=PROBE_SECONDS)
        return "kvm"
    except (Timeout, ProcessDied):
        print("lab: /dev/kvm does not run a guest here: using emulation", flush=True)
        return EMULATION
    finally:
        vm.stop()


def accelerator():
    """QEMU's -accel argument for this machine; BUFSHARE_ACCEL overrides."""
    if os.environ.get("BUFSHARE_ACCEL"):
        return os.environ["BUFSHARE_ACCEL"]
    file = _verdict_file()
    if not file.exists():
        for old in paths.CACHE.glob("accel-*"):
            if not old.name.startswith(file.name):
                old.unlink(missing_ok=True)
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        temporary.write_text(_probe(), encoding="ascii")
        temporary.rename(file)
    return file.read_text(encoding="ascii")
