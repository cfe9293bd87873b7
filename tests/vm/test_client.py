# SPDX-License-Identifier: MIT
"""The bufshare command: a guest's memory and a guest's camera, used on the host."""

import json

SIZE = 64 * 16 * 4
PIXELS = bytes(i * 7 % 256 for i in range(SIZE))


class Machine:
    """A guest, its daemon, and the host's command."""

    def __init__(self, lab, kernel):
        self.lab = lab
        self.daemon = lab.daemon(vms=["vm0"], arguments=["--trust=uid=0:rw"])
        self.vm = lab.vm(kernel, daemon=self.daemon.sockets["vm0"], modules=["virtio_bufshare"])

    def host(self, *arguments):
        return self.lab.client(*arguments, f"--connect={self.daemon.client_socket}").stdout

    def host_json(self, *arguments):
        return json.loads(self.host(*arguments, "--json"))


def exported(vm, source):
    export = vm.spawn(f"exec bufshare export {source} --width=64 --height=16 --format=XR24 "
                      "--input=/tmp/pixels --marker=16:0123456789abcdef --peek=0:8 --json")
    export.wait_output(rb"\n")
    return export, json.loads(export.stdout)


def test_export(lab, kernel, tmp_path):
    machine = Machine(lab, kernel)
    vm = machine.vm
    vm.run("cat >/tmp/pixels", PIXELS)
    for source in ("--heap=system", "--udmabuf"):
        export, buffer = exported(vm, source)
        uuid = buffer["uuid"]
        assert buffer["size"] == SIZE

        listed = machine.host_json("list")["buffers"]
        assert [one["uuid"] for one in listed] == [uuid]
        assert listed[0]["image"]["fourcc"] == "XR24"
        assert json.loads(vm.run("bufshare list --json").stdout)["buffers"][0]["uuid"] == uuid

        # The pages are the same: the guest's addresses are the offsets in its RAM.
        inside = json.loads(vm.run(f"bufshare show {uuid} --extents --json").stdout)["ranges"]
        outside = machine.host_json("show", uuid, "--extents")["ranges"]
        assert [(one["address"], one["length"]) for one in inside] == \
            [(one["offset"], one["length"]) for one in outside]

        # A marker of each side is read on the other.
        assert machine.host_json("peek", uuid, "16", "8")["data"] == "0123456789abcdef"
        machine.host("poke", uuid, "0", "fedcba9876543210")
        machine.host("capture", uuid, "--format=raw", f"--out={tmp_path}")
        raw = (tmp_path / f"{uuid}-000001.raw").read_bytes()
        assert raw[:8].hex() == "fedcba9876543210"
        assert raw[24:] == PIXELS[24:]
        machine.host("capture", uuid, f"--out={tmp_path}")
        assert (tmp_path / f"{uuid}-000001.png").read_bytes()[:4] == b"\x89PNG"

        export.kill()
        assert export.wait() == 0
        assert json.loads(export.stdout.splitlines()[-1])["data"] == "fedcba9876543210"
        assert machine.host_json("list")["buffers"] == []
        assert machine.host_json("stats")["buffers"] == 0


def test_export_ends_while_it_reads(lab):
    vm = Machine(lab, "6.12").vm
    # More than a pipe holds: when all of it is written, the command has begun to read.
    result = vm.run("mkfifo /tmp/pipe; bufshare export --size=1M --input=- </tmp/pipe & "
                    "exec 3>/tmp/pipe; head -c 131072 /dev/zero >&3; kill $!; wait $!", check=False)
    assert result.status == 128 + 15


def test_refusals(lab):
    vm = Machine(lab, "6.12").vm
    for line, words in (("show 00000000-0000-4000-8000-000000000000", b"no such buffer"),
                        ("watch", b"only on the host"),
                        ("capture vm0/camera", b"only on the host"),
                        ("export --size=4096 --peek=4096:1", b"beyond"),
                        ("export --heap=none --size=4096", b"/dev/dma_heap/none"),
                        ("publish --device=/dev/null", b"/dev/null")):
        result = vm.run(f"bufshare {line}", check=False)
        assert result.status == 1, line
        assert words in result.stderr, (line, result.stderr)
