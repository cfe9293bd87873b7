# SPDX-License-Identifier: MIT
"""The two programs of README.md: what a newcomer copies runs, and every frame arrives."""

import socket
import struct
import sys

from lab import paths

HELLO, WATCH, EVENT_STREAM_ADDED = 1, 5, 130
WATCH_STREAMS = 2
SECONDS = 60


def watch_streams(path):
    """A connection to the daemon that hears of streams (include/bufshare_client_protocol.h)."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(SECONDS)
    client.connect(str(path))
    client.send(struct.pack("<4IQ64s", HELLO, 1, 0, 0, 0, b"test_readme"))
    client.recv(65536)
    client.send(struct.pack("<4I2I", WATCH, 2, 0, 0, WATCH_STREAMS, 0))
    client.recv(65536)
    return client


def test_first_programs(lab, kernel, tmp_path):
    library = paths.VM_BUILD / "client" / "lib"
    lab.run([sys.executable, paths.TREE / "tests" / "spec" / "check_samples.py",
             paths.TREE / "README.md", "2", tmp_path, "--", "cc", "-std=gnu11", "-Wall",
             "-Wextra", "-Werror", f"-I{paths.TREE / 'client' / 'include'}",
             library / "libbufshare.so", f"-Wl,-rpath,{library}"])

    # No /dev/udmabuf here: the host's program gets the guest's RAM.
    daemon = lab.daemon(vms=["vm0"], arguments=["--trust=uid=0"])
    vm = lab.vm(kernel, daemon=daemon.sockets["vm0"], modules=["virtio_bufshare"],
                files={"usr/local/bin/first": tmp_path / "sample0"})
    with watch_streams(daemon.client_socket) as streams:
        guest = vm.spawn("first")
        while struct.unpack_from("<I", streams.recv(65536))[0] != EVENT_STREAM_ADDED:
            pass
    host = lab.run([tmp_path / "sample1"], timeout=SECONDS,
                   env={"BUFSHARE": str(daemon.client_socket)})

    # memset() writes the frame's number into each byte of the pixel.
    expected = [f"frame {n}: {n:02x}{n:02x}{n:02x}{n:02x}" for n in range(256)]
    assert host.stdout.decode().splitlines() == expected
    assert guest.wait() == 0
