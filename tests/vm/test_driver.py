# SPDX-License-Identifier: MIT
"""The guest driver: its kselftest programs, and what they cannot do from inside the guest alone."""

import fcntl
import os
import re
import shutil
import signal
import struct
import subprocess

import pytest

from lab import paths
from lab.image import releases
from raw_client import EVENT_FRAME, EVENT_REMOVED, EVENT_STREAM_ENDED, FRAME, REMOVED_DESTROYED, Consumer, RawClient

KSELFTEST = paths.TREE / "tests" / "kselftest"
DRIVER = "/sys/bus/virtio/drivers/virtio_bufshare"
# What the kernel says when something of ours is broken; oops=panic ends the guest as well.
COMPLAINTS = re.compile(r"^.*(?:WARNING: |BUG: |Oops|UBSAN|KASAN|refcount_t|INFO: task|list_(?:add|del) "
                        r"corruption|general protection).*$", re.MULTILINE)


@pytest.fixture
def exporter(kernel):
    """The test exporter's module for this kernel (tests/kselftest/module)."""
    folder = paths.BUILD / "module" / kernel / "test-exporter"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for source in (KSELFTEST / "module").iterdir():
            target = folder / source.name
            if not target.exists() or target.read_bytes() != source.read_bytes():
                shutil.copy(source, target)
        subprocess.run(["make", "-C", f"/usr/lib/modules/{releases()[kernel]}/build", f"M={folder}",
                        "CONFIG_DEBUG_INFO_BTF_MODULES=", "KCFLAGS=-Werror", "modules"],
                       check=True, capture_output=True, timeout=120)
    return folder / "bufshare_test_exporter.ko"


class Machine:
    """A guest with driver and test exporter, and its daemon."""

    def __init__(self, lab, kernel, exporter, modules=(), **arguments):
        self.daemon = lab.daemon(vms=["vm0"], arguments=["--trust=uid=0"])
        self.vm = lab.vm(kernel, daemon=self.daemon.sockets["vm0"],
                         modules=[*modules, "virtio_bufshare"], **arguments)
        self.vm.push(exporter, "/tmp/exporter.ko")
        self.run("insmod /tmp/exporter.ko")
        self.device = self.run(f"basename {DRIVER}/virtio*").strip()

    def run(self, script, **arguments):
        return self.vm.run(script, **arguments).stdout.decode()

    def tap(self, program, timeout=120):
        """Runs a TAP program; fails with the lines that are not ok."""
        result = self.vm.run(program, check=False, timeout=timeout)
        output = result.stdout.decode(errors="replace")
        print(output)
        bad = re.findall(r"^(?:not ok|Bail out!).*\n(?:#.*\n)*", output, re.MULTILINE)
        plan = re.search(r"^1\.\.(\d+)$", output, re.MULTILINE)
        assert not bad, "".join(bad)
        assert plan and result.status == 0, f"{program} ended early with {result.status}:\n{output[-500:]}"
        assert len(re.findall(r"^ok ", output, re.MULTILINE)) == int(plan[1])
        return output

    def hold(self, count, *arguments):
        """Starts hold_buffers; returns it and the UUIDs of its buffers."""
        holder = self.vm.spawn(" ".join(["exec", "hold_buffers", str(count), *arguments]))
        holder.wait_output(rb"(?m)^stream " if arguments else rb"(?m)^ready\n", timeout=120)
        return holder, [bytes.fromhex(one.decode())
                        for one in re.findall(rb"^uuid (\w+)$", bytes(holder.stdout), re.MULTILINE)]

    def mapped(self):
        """How many dma-bufs of the test exporter the driver keeps mapped."""
        return int(re.search(r"^mapped (\d+)", self.run("hold_buffers --stats"))[1])

    def trace(self, event):
        """Starts to tell of a tracepoint of the driver."""
        self.run(f"echo 1 >/sys/kernel/tracing/events/bufshare/{event}/enable")
        # Not cat: busybox' splices, and holds the lock of its output pipe while it waits.
        return self.vm.spawn("exec dd bs=4096 if=/sys/kernel/tracing/trace_pipe")

    def parameter(self, name, value):
        """Sets a parameter of the driver."""
        self.run(f"echo {value} >/sys/module/virtio_bufshare/parameters/{name}")

    def unbind(self):
        self.run(f"echo {self.device} >{DRIVER}/unbind")

    def bind(self):
        self.run(f"echo {self.device} >{DRIVER}/bind && test -c /dev/bufshare0")

    def check_clean(self, mapped=0):
        """The kernel has nothing to complain of, and nothing is left behind."""
        complaints = COMPLAINTS.findall(self.run("dmesg"))
        assert not complaints, "\n".join(complaints)
        assert self.mapped() == mapped


@pytest.fixture
def machine(lab, kernel, exporter):
    return Machine(lab, kernel, exporter)


@pytest.mark.parametrize("program", ["test_ioctl", "test_load"])
def test_kselftest(machine, program):
    machine.tap(program)
    machine.check_clean()


def test_kselftest_export(lab, kernel, exporter):
    machine = Machine(lab, kernel, exporter, modules=["vivid"])
    output = machine.tap("test_export")
    assert "SKIP" not in output
    machine.check_clean()


def test_kselftest_stream(machine):
    program = machine.vm.spawn("exec test_stream")
    program.wait_output(rb"(?m)^# stream is there\n")
    consumer = Consumer(machine.daemon.client_socket, "vm0", "kselftest", lambda n: n % 10 == 9)
    assert program.wait() == 0, program.stdout.decode()
    assert b"SKIP" not in program.stdout and b"not ok" not in program.stdout
    sequences = consumer.finish()
    assert sequences == sorted(set(sequences)) and sequences[-1] == 69
    machine.check_clean()


def test_pages_stay_while_the_host_uses_them(machine):
    holder, uuids = machine.hold(3)
    client = RawClient(machine.daemon.client_socket)
    client.get(uuids[0])
    client.get(uuids[2])
    idle = machine.trace("bufshare_idle")

    holder.kill(signal.SIGKILL)
    holder.wait()
    assert machine.mapped() == 2, "the host still uses two"
    table = machine.run("cat /sys/kernel/debug/virtio_bufshare/bufshare0/buffers")
    assert table.count(" draining ") == 2

    client.put(uuids[2])
    idle.wait_output(rb"bufshare_idle.*%s" % _uuid_text(uuids[2]))
    assert machine.mapped() == 1
    client.close()  # a client's death gives back what it held
    idle.wait_output(rb"bufshare_idle.*%s" % _uuid_text(uuids[0]))
    machine.check_clean()


def _uuid_text(uuid):
    digits = uuid.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])).encode()


def test_unbind_with_open_files(machine):
    holder, uuids = machine.hold(3)
    client = RawClient(machine.daemon.client_socket)
    client.get(uuids[0])
    machine.unbind()
    assert holder.wait() == 0
    said = holder.stdout.decode().splitlines()
    assert "event type=3 value=0 sequence=0" in said and "hangup" in said
    assert "ioctl: No such device" in said
    # The device was reset: what the host still has does not keep the pages any more.
    machine.check_clean()

    machine.bind()
    machine.tap("test_ioctl")
    machine.check_clean()


def _removed(client, uuid):
    """Waits until the client is told that a buffer's owner ended it."""
    while True:
        kind, payload = client.event()
        if kind == EVENT_REMOVED and payload.startswith(uuid):
            return struct.unpack_from("<I", payload, len(uuid))[0] == REMOVED_DESTROYED


def test_unbind_waits_for_the_host(machine):
    """Whoever uses a page on the host is told, and has time to give it back, before it is the guest's."""
    machine.parameter("farewell_timeout", 120)
    holder, uuids = machine.hold(2, "farewell")
    client = RawClient(machine.daemon.client_socket)
    client.join("vm0", "farewell")
    client.get(uuids[0])
    holder.wait_output(rb"(?m)^ready\n")
    idle = machine.trace("bufshare_idle")
    unbinding = machine.vm.spawn(f"echo {machine.device} >{DRIVER}/unbind")
    kinds = set()
    while EVENT_STREAM_ENDED not in kinds:
        kinds.add(client.event()[0])
    assert _removed(client, uuids[0])
    assert holder.wait() == 0, "the owner need not wait"
    # Frames in flight are use, too: both buffers are pinned still.
    assert machine.mapped() == 2
    client.put(uuids[0])
    client.close()
    for uuid in uuids:
        idle.wait_output(rb"bufshare_idle.*%s" % _uuid_text(uuid))
    assert unbinding.wait() == 0
    machine.run("! dmesg | grep 'the host may use'")
    machine.check_clean()


def test_unbind_does_not_wait_for_ever(machine):
    machine.parameter("farewell_timeout", 1)
    _holder, uuids = machine.hold(3)
    client = RawClient(machine.daemon.client_socket)
    client.get(uuids[0])
    client.get(uuids[1])
    machine.unbind()
    assert _removed(client, uuids[1])
    machine.run("dmesg | grep 'while the host may use 2 buffers'")
    machine.check_clean()


def test_unbind_says_farewell_though_an_exporter_pins_slowly(machine):
    machine.parameter("farewell_timeout", 1)
    _holder, uuids = machine.hold(2)
    client = RawClient(machine.daemon.client_socket)
    client.get(uuids[0])
    slow_pin = "/sys/module/bufshare_test_exporter/parameters/slow_pin"
    pinning = machine.vm.spawn("exec grep -m1 'pinning slowly' /dev/kmsg")
    machine.run(f"echo 1 >{slow_pin}")
    late = machine.vm.spawn("exec hold_buffers 1")
    assert pinning.wait() == 0
    idle = machine.trace("bufshare_idle")
    unbinding = machine.vm.spawn(f"echo {machine.device} >{DRIVER}/unbind")
    assert _removed(client, uuids[0]), "while the exporter pins"
    client.put(uuids[0])
    for uuid in uuids:
        idle.wait_output(rb"bufshare_idle.*%s" % _uuid_text(uuid))
    machine.run(f"echo 0 >{slow_pin}")
    assert unbinding.wait() == 0
    assert late.wait() == 1 and b"No such device" in bytes(late.stderr), late.stderr
    machine.run("! dmesg | grep 'the host may use'")
    machine.check_clean()


def test_shutdown_while_an_exporter_pins(machine):
    _holder, uuids = machine.hold(1)
    client = RawClient(machine.daemon.client_socket)
    client.get(uuids[0])
    slow_pin = "/sys/module/bufshare_test_exporter/parameters/slow_pin"
    pinning = machine.vm.spawn("exec grep -m1 'pinning slowly' /dev/kmsg")
    machine.run(f"echo 1 >{slow_pin}")
    machine.vm.spawn("exec hold_buffers 1")
    assert pinning.wait() == 0
    machine.vm.spawn("poweroff -f")
    assert _removed(client, uuids[0]), "by the driver: not only when the machine has ended"


def test_shutdown_says_farewell(machine):
    _holder, uuids = machine.hold(1)
    client = RawClient(machine.daemon.client_socket)
    client.get(uuids[0])
    machine.vm.spawn("poweroff -f")
    assert _removed(client, uuids[0]), "by the driver: not only when the machine has ended"


def test_unbind_while_requests_fault(machine):
    program = machine.vm.spawn("exec fault gate")
    program.wait_output(rb"(?m)^# blocked\n")
    machine.unbind()
    program.write(b"\n")
    assert program.wait() == 0, program.stdout.decode()
    machine.check_clean()
    machine.bind()
    machine.tap("test_ioctl")


def test_each_event_is_read_once(machine):
    program = machine.vm.spawn("exec fault read")
    program.wait_output(rb"(?m)^# streams are there\n")
    released = machine.trace("bufshare_release")
    consumers = [Consumer(machine.daemon.client_socket, "vm0", name, lambda n: False) for name in "AB"]
    for stream in (1, 2):
        released.wait_output(rb"bufshare_release: .*stream=%d sequence=7" % stream)
    program.write(b"\n")
    assert program.wait() == 0, program.stdout.decode()
    for consumer in consumers:
        assert consumer.finish() == [7]
    machine.check_clean()


def test_limits_of_a_file(machine):
    machine.parameter("max_buffers_per_file", 2)
    one, _ = machine.hold(2)
    machine.hold(2)
    many = machine.vm.run("hold_buffers 3", check=False)
    assert many.status == 1 and b"quota exceeded" in many.stderr
    machine.parameter("max_buffers_per_file", 0)
    machine.parameter("max_bytes_per_file", 3 * 4096)
    many = machine.vm.run("hold_buffers 4", check=False)
    assert many.status == 1 and b"quota exceeded" in many.stderr
    machine.hold(3)
    one.write(b"2\n")
    one.wait_output(rb"(?m)^unexported 2\n")
    machine.parameter("max_bytes_per_file", 0)
    machine.check_clean(mapped=5)


def test_unload(machine):
    holder, uuids = machine.hold(2)
    client = RawClient(machine.daemon.client_socket)
    client.get(uuids[0])
    assert machine.vm.run("rmmod virtio_bufshare", check=False).status != 0, "a file is open"
    holder.kill(signal.SIGKILL)
    holder.wait()
    assert machine.mapped() == 1
    machine.run("rmmod virtio_bufshare")
    machine.check_clean()
    machine.run("modprobe virtio_bufshare && test -c /dev/bufshare0")
    machine.tap("test_ioctl")


def test_unbind_under_load(lab, kernel, exporter):
    machine = Machine(lab, kernel, exporter, smp=2, memory="1G")
    for _ in range(5):
        load = machine.vm.spawn("exec test_load")
        load.wait_output(rb"(?m)^ok 1 ")
        machine.unbind()
        load.wait()
        machine.bind()
    machine.tap("test_load")
    machine.check_clean()


def test_resync(machine):
    """More events than the daemon keeps, while the guest stands still."""
    count, frames = 400, 64
    holder, uuids = machine.hold(count)
    client = RawClient(machine.daemon.client_socket)
    for uuid in uuids:
        client.get(uuid)
    holder.write(b"%d\n" % count)
    holder.wait_output(rb"(?m)^unexported %d\n" % count)
    assert machine.mapped() == count

    publisher, _ = machine.hold(frames, "resync")
    number = client.join("vm0", "resync")
    frames_left = frames
    while frames_left:
        kind, payload = client.event()
        if kind == EVENT_FRAME:
            assert FRAME.unpack_from(payload)[0] == number
            frames_left -= 1

    resync = machine.trace("bufshare_resync")
    machine.vm.qmp.command("stop")
    client.close()  # gives back 400 buffers and 64 frames at once
    # The daemon has done that when it answers the next client.
    RawClient(machine.daemon.client_socket).close()
    machine.vm.qmp.command("cont")

    resync.wait_output(rb"bufshare_resync: ")
    publisher.wait_output(rb"type=1 value=0 sequence=%d\n" % frames)
    released = re.findall(rb"type=1 value=0 sequence=(\d+)", bytes(publisher.stdout))
    assert sorted(map(int, released)) == list(range(1, frames + 1)), "each frame comes back once"
    # The buffers were asked for before the streams: they are idle by now.
    machine.check_clean(mapped=frames)


def test_device_that_does_not_answer(machine):
    machine.run("echo 2 >/sys/module/virtio_bufshare/parameters/request_timeout")
    holder, _ = machine.hold(1)
    pid = machine.daemon.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        late = machine.vm.run("hold_buffers 1", check=False)
        assert late.status == 1 and b"Input/output error" in late.stderr
        machine.run("dmesg | grep 'did not answer a request in time'")
        holder.wait_output(rb"(?m)^read: Input/output error\n")
    finally:
        os.kill(pid, signal.SIGCONT)
    again = machine.vm.run("hold_buffers 1", check=False, timeout=5)
    assert again.status == 1 and b"Input/output error" in again.stderr, "a dead device stays dead"
    # The pages that it knows stay pinned, though their file is closed, until it is reset.
    assert machine.mapped() == 2
    machine.unbind()
    machine.check_clean()
    machine.bind()
    machine.tap("test_ioctl")
    machine.check_clean()


@pytest.mark.parametrize("arguments, extra, reason", [
    ("intel_iommu=on", ("-device", "intel-iommu"), "behind an IOMMU"),
    ("swiotlb=force", (), "bounce buffers"),
], ids=["iommu", "swiotlb"])
def test_refuses_addresses_that_mean_nothing(lab, kernel, arguments, extra, reason):
    daemon = lab.daemon(vms=["vm0"])
    vm = lab.vm(kernel, daemon=daemon.sockets["vm0"], kernel_arguments=arguments, extra=extra)
    vm.run(f"modprobe virtio_bufshare; test ! -e /dev/bufshare0 && dmesg | grep '{reason}'")
    assert not COMPLAINTS.findall(vm.run("dmesg").stdout.decode())


def test_refuses_to_suspend(machine):
    result = machine.vm.run("echo freeze >/sys/power/state", check=False)
    assert result.status != 0
    machine.run("dmesg | grep 'cannot suspend while the host may use shared buffers'")
    machine.tap("test_ioctl")
    machine.check_clean()


@pytest.mark.parametrize("daemon_dies", [False, True], ids=["daemon-lives", "daemon-dies"])
def test_unplug(machine, lab, daemon_dies):
    machine.run("echo 2 >/sys/module/virtio_bufshare/parameters/request_timeout")
    holder, uuids = machine.hold(3)
    client = RawClient(machine.daemon.client_socket)
    client.get(uuids[1])
    if daemon_dies:
        machine.daemon.process.kill()
    machine.vm.detach()
    assert holder.wait() == 0
    assert "event type=3 value=0 sequence=0" in holder.stdout.decode().splitlines()
    machine.check_clean()
    machine.run("test ! -e /dev/bufshare0")

    daemon = lab.daemon(vms=["vm0"], name="second")
    # The driver says this once the node is there: for the first device, then for the second.
    plugged = machine.vm.spawn("exec grep -m2 'is \"vm0\" on the host' /dev/kmsg")
    machine.vm.attach(daemon.sockets["vm0"])
    assert plugged.wait() == 0
    machine.tap("test_ioctl")
    machine.check_clean()
