# SPDX-License-Identifier: MIT
"""Whole machines, stock QEMU: two on one daemon, reset, pause, death, and the shapes that guest RAM can have."""

import json
import re
import struct
import uuid

import pytest

from lab import paths
from lab.agent import CommandFailed
from raw_client import RawClient, Refused

REMOVED = 129
REASON_RESET, REASON_OWNER_GONE = 2, 3
NOT_FOUND, SUSPENDED = 4, 9
GIB = 1 << 30
MARKER = "0123456789abcdef"


def daemon_for(lab, *vms):
    daemon = lab.daemon(vms=vms, arguments=["--trust=uid=0:rw"])
    lab.environment = {"BUFSHARE": str(daemon.client_socket)}
    return daemon


def host(lab, *arguments):
    return json.loads(lab.client(*arguments, "--json", env=lab.environment).stdout)


def export(vm, size="64K"):
    """Shares memory with MARKER at its end; returns the command that holds it, and the buffer's UUID."""
    end = int(size[:-1]) * {"K": 1 << 10, "M": 1 << 20}[size[-1]] - 8
    command = vm.spawn(f"exec bufshare export --size={end + 8} --marker={end}:{MARKER} --json")
    command.wait_output(rb"\n", timeout=120)
    return command, json.loads(command.stdout)["uuid"], end


def removal(client, name):
    """Waits until the client is told that the buffer is no more; returns why."""
    while True:
        kind, payload = client.event()
        if kind == REMOVED and payload[:16] == uuid.UUID(name).bytes:
            return struct.unpack_from("<I", payload, 16)[0]


def check_same_pages(lab, name, end):
    assert host(lab, "peek", name, str(end), "8")["data"] == MARKER


def test_two_guests(lab):
    daemon = daemon_for(lab, "old", "new")
    old = lab.vm("6.12", name="old", daemon=daemon.sockets["old"], modules=["virtio_bufshare"])
    new = lab.vm("7.2", name="new", daemon=daemon.sockets["new"], modules=["virtio_bufshare"])
    exports = {vm: export(vm) for vm in (old, new)}
    assert {(one["owner"], one["uuid"]) for one in host(lab, "list")["buffers"]} == \
        {(vm.name, exports[vm][1]) for vm in exports}
    for vm, (_, name, end) in exports.items():
        check_same_pages(lab, name, end)
        # Each sees its own, and the other's name means nothing to it.
        assert [one["uuid"] for one in json.loads(vm.run("bufshare list --json").stdout)["buffers"]] == [name]
    with pytest.raises(CommandFailed):
        old.run(f"bufshare show {exports[new][1]}")

    client = RawClient(daemon.client_socket)
    for _, name, _ in exports.values():
        client.get(uuid.UUID(name).bytes)
    old.kill()
    assert removal(client, exports[old][1]) == REASON_OWNER_GONE
    # The other one does not even notice.
    check_same_pages(lab, exports[new][1], exports[new][2])
    assert export(new)[1] != exports[new][1]
    client.close()


def test_reset(lab, kernel):
    """A button is pressed while the host uses a buffer and a stream."""
    daemon = daemon_for(lab, "vm0")
    vm = lab.vm(kernel, daemon=daemon.sockets["vm0"], modules=["virtio_bufshare"])
    _, name, _ = export(vm)
    client = RawClient(daemon.client_socket)
    client.get(uuid.UUID(name).bytes)
    for _ in range(2):
        vm.reset()
        assert removal(client, name) == REASON_RESET
        with pytest.raises(Refused) as refusal:
            client.get(uuid.UUID(name).bytes)
        assert refusal.value.status == NOT_FOUND
        _, name, end = export(vm)
        check_same_pages(lab, name, end)
        client.get(uuid.UUID(name).bytes)
    client.close()


def test_pause(lab):
    """A paused guest's buffers stay, but nobody new gets them until it runs."""
    daemon = daemon_for(lab, "vm0")
    vm = lab.vm(daemon=daemon.sockets["vm0"], modules=["virtio_bufshare"])
    _, name, end = export(vm)
    client = RawClient(daemon.client_socket)
    client.get(uuid.UUID(name).bytes)
    vm.qmp.command("stop")
    with pytest.raises(Refused) as refusal:
        client.get(uuid.UUID(name).bytes)
    assert refusal.value.status == SUSPENDED
    vm.qmp.command("cont")
    assert len(json.loads(vm.run("bufshare list --json").stdout)["buffers"]) == 1
    check_same_pages(lab, name, end)
    assert host(lab, "list")["buffers"][0]["uuid"] == name
    client.close()


def test_killed_and_started_again(lab):
    """The VMM dies in the middle of a stream; its next life comes to the same socket."""
    daemon = daemon_for(lab, "vm0")
    for _ in range(2):
        vm = lab.vm(daemon=daemon.sockets["vm0"], modules=["vivid", "virtio_bufshare"])
        capture = lab.process([paths.CLIENT, "capture", "vm0/camera", "--wait", "--frames=0",
                               "--every=0", "--json"], "capture", env=lab.environment)
        vm.spawn("exec bufshare publish --width=320 --height=180 --wait-listener")
        client = RawClient(daemon.client_socket)
        number = None
        while number is None:
            try:
                number = client.join("vm0", "camera")
            except Refused:
                vm.run("true")  # a round trip through the guest: its publisher is getting there
        for _ in range(3):
            client.event()
        vm.kill()
        assert capture.wait() == 0
        assert host(lab, "list") == {"buffers": [], "streams": []}
        client.close()
    assert daemon.process.running()


def test_private_memory(lab):
    """share=off: the device cannot work; the log says why, and others are not disturbed."""
    daemon = daemon_for(lab, "private", "shared")
    private = lab.vm(name="private", daemon=daemon.sockets["private"], share=False)
    waits = private.spawn("modprobe virtio_bufshare request_timeout=1")
    shared = lab.vm(name="shared", daemon=daemon.sockets["shared"], modules=["virtio_bufshare"])
    _, name, end = export(shared)
    check_same_pages(lab, name, end)
    waits.wait()
    assert "does not start" in private.run("dmesg").stdout.decode()
    assert re.search(r"private: .*share=on", daemon.log_text())


def test_memory_above_4g(lab):
    """The pc machine with 6 GiB: two regions, and memory whose file offset is not its address."""
    daemon = daemon_for(lab, "vm0")
    vm = lab.vm(daemon=daemon.sockets["vm0"], modules=["virtio_bufshare"], machine="pc", memory="6G")
    _, name, end = export(vm, "256K")
    inside = json.loads(vm.run(f"bufshare show {name} --extents --json").stdout)["ranges"]
    outside = host(lab, "show", name, "--extents")["ranges"]
    assert inside[0]["address"] >= 4 * GIB
    assert [(one["address"] - GIB, one["length"]) for one in inside] == \
        [(one["offset"], one["length"]) for one in outside]
    check_same_pages(lab, name, end)


def test_microvm(lab):
    """A machine without firmware, HPET and PM timer: the clock's only calibration fails on a busy host."""
    daemon = daemon_for(lab, "vm0")
    vm = lab.vm(daemon=daemon.sockets["vm0"], modules=["virtio_bufshare"],
                machine="microvm,pcie=on,pit=on,pic=on,rtc=on", kernel_arguments="tsc_early_khz=1000000")
    _, name, end = export(vm)
    check_same_pages(lab, name, end)


def test_memory_hotplug(lab):
    """More memory regions than the message for a whole table can name, each a file of its own."""
    dimms, size = 10, 128 << 20
    daemon = daemon_for(lab, "vm0")
    vm = lab.vm(daemon=daemon.sockets["vm0"], modules=["virtio_bufshare"],
                memory="512M,slots=16,maxmem=4G", kernel_arguments="memhp_default_state=online")
    _, early, early_end = export(vm)
    for number in range(dimms):
        vm.qmp.command("object-add", **{"qom-type": "memory-backend-memfd", "id": f"more{number}",
                                        "size": size, "share": True})
        vm.qmp.command("device_add", driver="pc-dimm", id=f"dimm{number}", memdev=f"more{number}")
    vm.run("until test $(awk '/MemTotal/ { print $2 }' /proc/meminfo) -gt "
           f"{(dimms * size) >> 10}; do :; done")
    check_same_pages(lab, early, early_end)
    # More than the machine had at first: a part of it lies in the new memory.
    _, name, end = export(vm, "700M")
    inside = json.loads(vm.run(f"bufshare show {name} --extents --json").stdout)["ranges"]
    assert any(one["address"] >= 4 * GIB for one in inside)
    check_same_pages(lab, name, end)
    assert len({one["memfd"] for one in host(lab, "show", name, "--extents")["ranges"]}) > 2
