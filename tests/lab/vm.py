# SPDX-License-Identifier: MIT
"""Test guests: a QEMU process, its guest's console, agent and QMP monitor."""

import json
import pathlib
import shlex
import shutil
import socket
import tempfile
import time

from . import kvm, paths
from .agent import Agent
from .image import Image
from .process import Process
from .qmp import Qmp

BOOT_SECONDS = 60
KERNEL_ARGUMENTS = "console=ttyS0 loglevel=7 panic=-1 oops=panic printk.time=1 no_timer_check " \
    "mitigations=off tsc=reliable random.trust_cpu=on"


def our_files():
    """{path in the guest: path here} of our programs and tests, as built for VM tests."""
    files = {}
    if (paths.VM_BUILD / "client" / "bufshare").exists():
        files["usr/local/bin/bufshare"] = paths.VM_BUILD / "client" / "bufshare"
    for path in sorted((paths.VM_BUILD / "tests" / "kselftest").glob("*")):
        if not path.is_file():
            continue
        with open(path, "rb") as file:
            if file.read(4) == b"\x7fELF":
                files[f"usr/local/bin/{path.name}"] = path
    return files


def our_modules(series):
    module = paths.module(series)
    return [module] if module.exists() else []


class Vm:
    """A guest, not yet started.

    series: kernel series, "6.12" or "7.2"
    name: for messages and files
    folder: where console and QEMU's log go (default: a new temporary one)
    daemon: socket path of a vhost-user-bufshare to attach the device to, or None
    modules: modules that the guest loads before its first command
    files: {path in the guest: path here}, besides our own programs
    overlay: "ours" brings our module and programs; None brings nothing of ours
    memory, share: guest RAM, a memfd ("512M", or with QEMU's slots=,maxmem= behind it); share=False is
        the mistake that users make
    extra: further QEMU arguments
    """

    def __init__(self, series="6.12", name="vm0", folder=None, daemon=None, modules=(), files=None,
                 overlay="ours", memory="512M", share=True, machine="q35", smp=1, accel=None,
                 queue_count=2, config_size=64, kernel_arguments="", extra=()):
        self.series = series
        self.name = name
        self.temporary = None
        if folder is None:
            folder = self.temporary = tempfile.mkdtemp(prefix=f"{name}.")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.console_file = self.folder / f"{name}.console"
        self.log = self.folder / f"{name}.qemu.log"
        self.console_file.touch()
        self.log.touch()
        self.image = Image(series)
        self.modules = modules
        self.files = files or {}
        self.overlay = overlay
        self.accel = accel
        self.kernel_arguments = kernel_arguments
        self.process = self.agent = self.qmp = None
        self.boot_seconds = None
        self.devices = [
            "-machine", f"{machine},memory-backend=mem", "-m", memory, "-smp", str(smp),
            "-object", f"memory-backend-memfd,id=mem,size={memory.split(',')[0]},share={'on' if share else 'off'}",
            "-device", "virtio-serial-pci,id=lab-serial,max_ports=2",
            "-device", "virtserialport,bus=lab-serial.0,nr=1,chardev=agent,name=lab.agent",
        ]
        self.device = {"driver": "vhost-user-test-device-pci", "id": "bufshare", "virtio-id": 37,
                       "num_vqs": queue_count, "config_size": config_size, "chardev": "bufshare"}
        if machine.startswith("q35"):
            # Nothing can be plugged into q35's own bus while it runs.
            self.devices += ["-device", "pcie-root-port,id=slot0,chassis=1"]
            self.device["bus"] = "slot0"
        if daemon:
            self.devices += ["-chardev", f"socket,id=bufshare,path={daemon}",
                             "-device", json.dumps(self.device)]
        self.devices += list(extra)

    def _initramfs(self):
        target = self.folder / f"{self.name}.initramfs"
        shutil.copyfile(self.image.base, target)
        files, modules = dict(self.files), []
        if self.overlay == "ours":
            files = {**our_files(), **files}
            modules = our_modules(self.series)
        with open(target, "r+b") as file:
            file.seek(0, 2)
            self.image.overlay(file, files, modules)
        return target

    def start(self, timeout=BOOT_SECONDS):
        """Boots; returns when the agent is ready for commands."""
        began = time.monotonic()
        accel = self.accel or kvm.accelerator()
        agent, qemu_agent = socket.socketpair()
        monitor, qemu_monitor = socket.socketpair()
        arguments = f"{KERNEL_ARGUMENTS} {self.kernel_arguments}"
        if self.modules:
            arguments += f" lab.modules={','.join(self.modules)}"
        argv = [
            "qemu-system-x86_64", "-name", self.name, "-nodefaults", "-no-user-config",
            "-display", "none", "-no-reboot", "-accel", accel,
            "-cpu", "host" if accel.startswith("kvm") else "max",
            "-kernel", self.image.kernel, "-initrd", self._initramfs(), "-append", arguments,
            "-chardev", f"file,id=console,path={self.console_file}", "-serial", "chardev:console",
            "-chardev", f"socket,id=agent,fd={qemu_agent.fileno()}",
            "-chardev", f"socket,id=qmp,fd={qemu_monitor.fileno()}", "-mon", "chardev=qmp,mode=control",
            *self.devices,
        ]
        self.log.write_text(" ".join(shlex.quote(str(word)) for word in argv) + "\n", encoding="utf-8")
        self.process = Process(argv, self.name, self.log,
                               pass_fds=(qemu_agent.fileno(), qemu_monitor.fileno()))
        qemu_agent.close()
        qemu_monitor.close()
        self.qmp = Qmp(monitor, self.process)
        self.agent = Agent(agent, self.process)
        self.agent.pump(lambda: self.agent.ready, timeout, f"{self.name} to boot")
        self.boot_seconds = time.monotonic() - began
        return self

    def run(self, script, data=b"", timeout=60, check=True):
        """Runs a shell script in the guest; see Agent.run()."""
        return self.agent.run(script, data, timeout, check)

    def spawn(self, script):
        """Starts a shell script in the guest; returns a Command to wait for, feed or kill."""
        return self.agent.start(script)

    def push(self, source, target, mode="755"):
        """Copies a file into the guest."""
        data = pathlib.Path(source).read_bytes()
        self.run(f"cat >{shlex.quote(target)} && chmod {mode} {shlex.quote(target)}", data)

    def pull(self, source, target=None):
        """Returns a guest file's contents; writes them to the file `target` if one is named."""
        data = self.run(f"cat {shlex.quote(source)}").stdout
        if target is not None:
            pathlib.Path(target).write_bytes(data)
        return data

    def console(self):
        return self.console_file.read_text(encoding="utf-8", errors="replace")

    def describe(self):
        """What a person wants to see when this guest failed."""
        console = "\n".join(self.console().splitlines()[-60:])
        log = self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
        return f"--- console of {self.name} ({self.series}) ---\n{console}\n--- QEMU ---\n{log}"

    def reset(self, timeout=BOOT_SECONDS):
        """Resets the machine as a person at its button would; returns when it is up again."""
        self.qmp.events.clear()
        # Otherwise a reboot ends QEMU, which is how a panic is noticed. (The firmware does a second one.)
        self.qmp.command("set-action", reboot="reset")
        self.qmp.command("system_reset")
        self.qmp.wait_event("RESET")
        self.agent.restarted()
        self.agent.pump(lambda: self.agent.ready, timeout, f"{self.name} to boot again")
        self.qmp.command("set-action", reboot="shutdown")

    def attach(self, daemon):
        """Plugs the device in while the guest runs; daemon: the VM's socket path."""
        address = {"type": "unix", "data": {"path": str(daemon)}}
        self.qmp.command("chardev-add", id="bufshare", backend={
            "type": "socket", "data": {"addr": address, "server": False}})
        self.qmp.command("device_add", **self.device)

    def detach(self, timeout=30):
        """Unplugs the device, with the guest's consent; also after the daemon's death."""
        self.qmp.command("device_del", id="bufshare")
        while self.qmp.wait_event("DEVICE_DELETED", timeout)["data"].get("device") != "bufshare":
            pass
        self.qmp.command("chardev-remove", id="bufshare")

    def shutdown(self, timeout=20):
        """Lets the guest power itself off; returns QEMU's exit status."""
        self.spawn("poweroff -f")
        return self.process.wait(timeout)

    def kill(self):
        """Ends QEMU as a crash would."""
        return self.process.kill()

    def stop(self):
        """Ends QEMU and gives back everything that this object holds; safe to repeat."""
        if self.process:
            self.process.stop(timeout=2)
        for connection in (self.agent, self.qmp):
            if connection:
                connection.sock.close()
        (self.folder / f"{self.name}.initramfs").unlink(missing_ok=True)
        if self.temporary:
            shutil.rmtree(self.temporary, ignore_errors=True)
