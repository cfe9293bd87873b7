# SPDX-License-Identifier: MIT
"""The lab itself: a guest boots, runs commands, and loads what our driver builds on."""


def test_boots(lab, kernel):
    vm = lab.vm(kernel, overlay=None)
    assert vm.run("uname -r").stdout.decode().startswith(f"{kernel}.")


def test_commands(lab):
    vm = lab.vm(overlay=None)
    everything = bytes(range(256)) * 4096
    assert vm.run("cat", everything).stdout == everything
    result = vm.run("echo said >&2; exit 3", check=False)
    assert result == (3, b"", b"said\n")

    slow = vm.spawn("echo up; cat; exec sleep 1000")
    slow.wait_output(rb"up\n")
    assert vm.run("echo meanwhile").stdout == b"meanwhile\n"
    slow.write(b"to you")
    slow.wait_output(rb"to you")
    slow.kill()
    assert slow.wait() == 128 + 15


def test_reset(lab):
    vm = lab.vm(overlay=None)
    vm.run("touch /tmp/before")
    vm.reset()
    vm.run("! test -e /tmp/before")


def test_drivers(lab, kernel):
    vm = lab.vm(kernel, overlay=None, modules=["vivid", "vgem", "virtio_dma_buf"])
    nodes = "/dev/video0 /dev/udmabuf /dev/dma_heap/system /dev/dri/renderD128"
    vm.run(f"ls {nodes} && test -d /sys/kernel/debug/dma_buf && test -d /sys/kernel/tracing/events")
