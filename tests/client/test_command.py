# SPDX-License-Identifier: MIT
"""The bufshare command on the host: what it prints, what it refuses, how it ends.

usage: test_command.py BUFSHARE [unittest's arguments]
"""

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

import fake_daemon as fake
from fake_daemon import FakeDaemon, UUID_TEXT

BUFSHARE = None
SECONDS = 30


def run(*arguments, **options):
    return subprocess.run([BUFSHARE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=SECONDS, check=False, **options)


def read_png(path):
    """Width, height and rows of RGB bytes (PNG specification, sections 5, 9 and 11)."""
    with open(path, "rb") as f:
        data = f.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, pixels, width, height = 8, b"", 0, 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8:at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            width, height, *rest = struct.unpack(">IIBBBBB", body)
            assert rest == [8, 2, 0, 0, 0]
        elif kind == b"IDAT":
            pixels += body
        at += length + 12
    pixels = zlib.decompress(pixels)
    rows, above = [], bytes(width * 3)
    for y in range(height):
        start = y * (width * 3 + 1)
        above = unfilter(pixels[start], pixels[start + 1:start + 1 + width * 3], above)
        rows.append(above)
    return width, height, rows


def unfilter(kind, row, above):
    out = bytearray()
    for i, byte in enumerate(row):
        left = out[i - 3] if i >= 3 else 0
        corner = above[i - 3] if i >= 3 else 0
        up = above[i]
        guess = left + up - corner
        paeth = min((left, up, corner), key=lambda one: abs(guess - one))
        out.append((byte + (0, left, up, (left + up) // 2, paeth)[kind]) & 255)
    return bytes(out)


class Ahead(FakeDaemon):
    """Another frame is there before the last one is released."""

    def answer(self, kind, serial, packet):
        if kind == fake.JOIN:
            self.frame()
            self.frame()
        if kind == fake.RELEASE:
            self.frame()
        super().answer(kind, serial, packet)


class Flood(FakeDaemon):
    """Streams come without a pause."""

    def answer(self, kind, serial, packet):
        super().answer(kind, serial, packet)
        if kind == fake.WATCH:
            self.seen.release()
            while True:
                self.event(fake.STREAM_ADDED, fake.stream_info())


class Stuck(FakeDaemon):
    """It never answers a request for a buffer."""

    def answer(self, kind, serial, packet):
        if kind != fake.GET:
            super().answer(kind, serial, packet)


class Refuses(FakeDaemon):
    WORDS = b"uid 77 is no client of this daemon: start it with --trust uid=77"

    def answer(self, kind, serial, packet):
        self.refuse(kind, serial, fake.NOT_PERMITTED, self.WORDS)


class Signals(unittest.TestCase):
    def interrupt(self, daemon, signum, arguments, requests):
        with daemon, tempfile.TemporaryDirectory() as folder:
            command = subprocess.Popen([BUFSHARE, *arguments, "-c", daemon.path], cwd=folder,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for _ in range(requests):
                self.assertTrue(daemon.seen.acquire(timeout=SECONDS))
            command.send_signal(signum)
            try:
                _, words = command.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                command.kill()
                command.communicate()
                self.fail(f"{arguments} goes on after {signum!r}")
            return command.returncode, words

    def test_capture_of_a_producer_that_is_ahead(self):
        for signum in (signal.SIGINT, signal.SIGTERM):
            status, words = self.interrupt(
                Ahead(), signum, ["capture", "vm0/camera", "--frames=0", "--every=0"], 50)
            self.assertEqual((status, words), (0, b""))

    def test_capture_interrupted_before_its_number(self):
        status, _ = self.interrupt(
            Ahead(), signal.SIGTERM, ["capture", "vm0/camera", "--frames=1G", "--every=0"], 50)
        self.assertEqual(status, 1)

    def test_capture_of_a_buffer(self):
        status, _ = self.interrupt(Stuck(), signal.SIGTERM, ["capture", UUID_TEXT], 1)
        self.assertEqual(status, -signal.SIGTERM)

    def test_watch_in_a_flood(self):
        status, words = self.interrupt(Flood(), signal.SIGTERM, ["watch"], 1)
        self.assertEqual((status, words), (0, b""))


class Output(unittest.TestCase):
    def test_full(self):
        with FakeDaemon() as daemon:
            for line in (["list"], ["list", "--json"], ["stats"], ["show", UUID_TEXT],
                         ["peek", UUID_TEXT, "0", "4"], ["--version"], ["--help"],
                         ["list", "--help"]):
                with open("/dev/full", "wb") as full, self.subTest(line=line):
                    command = subprocess.run(
                        [BUFSHARE, *line], stdout=full, stderr=subprocess.PIPE, check=False,
                        env={**os.environ, "BUFSHARE": daemon.path}, timeout=SECONDS)
                    self.assertEqual(command.returncode, 1)
                    self.assertIn(b"standard output", command.stderr)

    def test_watch_ends_when_nobody_can_hear(self):
        with Flood() as daemon, open("/dev/full", "wb") as full:
            command = subprocess.run([BUFSHARE, "watch", "-c", daemon.path], stdout=full,
                                     stderr=subprocess.PIPE, check=False, timeout=SECONDS)
            self.assertEqual(command.returncode, 1)

    def test_list_and_show(self):
        description = fake.desc(64, 16, "XR24", [(0, 256)], user_len=3)
        with FakeDaemon(description=description, user=b"abc") as daemon:
            at = ("--json", "-c", daemon.path)
            listed = json.loads(run("list", *at).stdout)
            self.assertEqual([one["uuid"] for one in listed["buffers"]], [UUID_TEXT])
            self.assertEqual(listed["buffers"][0]["user_data_bytes"], 3)
            self.assertEqual(listed["streams"][0]["name"], "camera")
            shown = json.loads(run("show", UUID_TEXT, *at).stdout)
            self.assertEqual(shown["image"]["fourcc"], "XR24")
            self.assertEqual(shown["user_data"], b"abc".hex())
            self.assertIn(b"616263", run("show", UUID_TEXT, "-c", daemon.path).stdout)
            extents = json.loads(run("show", UUID_TEXT, "--extents", *at).stdout)["ranges"]
            self.assertEqual(extents, [{"offset": 0, "length": 4096, "memfd": 0}])
            self.assertEqual(json.loads(run("stats", *at).stdout)["extents"], 3)

    def test_peek_and_poke(self):
        with FakeDaemon(b"0123456789") as daemon:
            at = ("-c", daemon.path)
            self.assertEqual(run("peek", UUID_TEXT, "2", "3", *at).stdout, b"323334\n")
            self.assertEqual(run("poke", UUID_TEXT, "1", "beef", *at).returncode, 0)
            self.assertEqual(os.pread(daemon.memory, 4, 0), b"0\xbe\xef3")
            for offset, length in (("4096", "1"), ("4095", "2"), ("17179869184G", "1")):
                self.assertEqual(run("peek", UUID_TEXT, offset, length, *at).returncode in (1, 2),
                                 True)

    def test_watch(self):
        class Some(FakeDaemon):
            def answer(self, kind, serial, packet):
                super().answer(kind, serial, packet)
                if kind == fake.WATCH:
                    self.event(fake.BUFFER_ADDED, self.info())
                    self.event(fake.BUFFER_REMOVED, fake.UUID + struct.pack("<II", 2, 0))
                    self.event(fake.STREAM_ADDED, fake.stream_info())
                    self.event(fake.STREAM_REMOVED, fake.stream_info())
                    self.event(fake.RESYNC)

        for arguments in ([], ["--json"]):
            with Some() as daemon:
                command = subprocess.Popen([BUFSHARE, "watch", "-c", daemon.path, *arguments],
                                           stdout=subprocess.PIPE)
                lines = [command.stdout.readline().decode() for _ in range(5)]
                command.terminate()
                self.assertEqual(command.wait(SECONDS), 0)
                command.stdout.close()
            if arguments:
                events = [json.loads(line) for line in lines]
                self.assertEqual([one["event"] for one in events],
                                 ["buffer-added", "buffer-removed", "stream-added",
                                  "stream-removed", "resync"])
                self.assertEqual(events[0]["buffer"]["uuid"], UUID_TEXT)
                self.assertEqual(events[1]["reason"], "reset")
                self.assertEqual(events[2]["stream"]["owner"], "vm0")
            else:
                self.assertEqual(lines, [f"buffer-added {UUID_TEXT} vm0 -\n",
                                         f"buffer-removed {UUID_TEXT} reset\n",
                                         "stream-added vm0/camera\n",
                                         "stream-removed vm0/camera\n", "resync\n"])


class Pictures(unittest.TestCase):
    def capture(self, daemon, folder, *arguments):
        return run("capture", *arguments, f"--out={folder}", "-c", daemon.path)

    def test_pixels(self):
        width, height, stride = 5, 3, 32
        pixels = [[((x * 40 + y) & 255, (y * 80) & 255, (x * y * 9) & 255) for x in range(width)]
                  for y in range(height)]
        memory = b"".join(
            b"".join(bytes((b, g, r, 7)) for r, g, b in row).ljust(stride, b"\xaa") for row in pixels)
        description = fake.desc(width, height, "XR24", [(64, stride)])
        with FakeDaemon(bytes(64) + memory, description) as daemon, \
                tempfile.TemporaryDirectory() as folder:
            result = self.capture(daemon, folder, UUID_TEXT)
            self.assertEqual(result.returncode, 0, result.stderr)
            got = read_png(f"{folder}/{UUID_TEXT}-000001.png")
            self.assertEqual(got, (width, height, [bytes(sum(row, ())) for row in pixels]))

    def test_frames_of_a_stream(self):
        description = fake.desc(2, 2, "R8  ", [(0, 2)])
        with Ahead(b"\x01\x02\x03\x04", description) as daemon, \
                tempfile.TemporaryDirectory() as folder:
            result = self.capture(daemon, folder, "vm0/camera", "--frames=5", "--every=2", "--json")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(sorted(os.listdir(folder)),
                             [f"camera-00000{n}.png" for n in (1, 3, 5)])
            self.assertEqual(read_png(f"{folder}/camera-000005.png")[2],
                             [b"\x01" * 3 + b"\x02" * 3, b"\x03" * 3 + b"\x04" * 3])
            self.assertEqual(json.loads(result.stdout)["frames_received"], 5)

    def test_too_wide_for_a_png(self):
        width = 1000001
        description = fake.desc(width, 1, "R8  ", [(0, width)])
        with FakeDaemon(bytes(width), description) as daemon, \
                tempfile.TemporaryDirectory() as folder:
            result = self.capture(daemon, folder, UUID_TEXT)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"1000000", result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1)
            self.assertEqual(os.listdir(folder), [])

    def test_no_picture(self):
        with FakeDaemon() as daemon, tempfile.TemporaryDirectory() as folder:
            result = self.capture(daemon, folder, UUID_TEXT)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"--format=raw", result.stderr)
            self.assertEqual(self.capture(daemon, folder, UUID_TEXT, "--format=raw").returncode, 0)
            self.assertEqual(os.path.getsize(f"{folder}/{UUID_TEXT}-000001.raw"), 4096)


class Refusals(unittest.TestCase):
    def test_words_of_the_daemon(self):
        with Refuses() as daemon:
            for line in (["list"], ["stats"], ["watch"], ["show", UUID_TEXT]):
                result = run(*line, "-c", daemon.path)
                self.assertEqual(result.returncode, 1)
                self.assertIn(Refuses.WORDS, result.stderr)

    def test_words_without_control_characters(self):
        class Rude(Refuses):
            WORDS = b"no\x1b[2J\nway"

        with Rude() as daemon:
            result = run("list", "-c", daemon.path)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"no?[2J?way", result.stderr)

    def test_names_without_control_characters(self):
        class Rude(FakeDaemon):
            def info(self):
                return fake.buffer_info(owner=b"vm\x1b[2J")

        with Rude() as daemon:
            result = run("list", "-c", daemon.path)
            self.assertEqual(result.returncode, 1)
            self.assertNotIn(b"\x1b", result.stdout + result.stderr)

    def test_nothing_there(self):
        result = run("list", "-c", "/nonexistent/socket")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"/nonexistent/socket: ", result.stderr)

    def test_no_such_buffer(self):
        other = "00000000-0000-4000-8000-000000000000"
        with FakeDaemon() as daemon:
            for line in (["show", other], ["peek", other, "0", "1"], ["poke", other, "0", "00"],
                         ["capture", other]):
                result = run(*line, "-c", daemon.path)
                self.assertEqual(result.returncode, 1, line)
                self.assertIn(b"no such buffer", result.stderr)

    def test_verbs_of_a_guest(self):
        with FakeDaemon() as daemon:
            for line in (["export", "--size=4096"], ["publish"]):
                result = run(*line, "-c", daemon.path)
                self.assertEqual(result.returncode, 1, line)
                self.assertIn(b"only in a guest", result.stderr)

    def test_command_lines(self):
        for line in ("", "frobnicate", "--frobnicate",
                     "list x", "list --frobnicate", "list --connect",
                     "stats x", "watch x",
                     "show", "show x", f"show {UUID_TEXT} {UUID_TEXT}",
                     "capture", "capture x", "capture /x", "capture x/", "capture a/b c/d",
                     "capture a/b --frames=-1", "capture a/b --frames=1x", "capture a/b --every=x",
                     "capture a/b --format=gif", "capture a/b --timeout=0",
                     "capture a/b --timeout=86401", f"capture {'x' * 64}/b", f"capture a/{'x' * 64}",
                     "peek", f"peek {UUID_TEXT}", f"peek {UUID_TEXT} 0", f"peek {UUID_TEXT} 0 0",
                     f"peek {UUID_TEXT} 0 1048577", f"peek {UUID_TEXT} x 1", "peek x 0 1",
                     f"peek {UUID_TEXT} 0 1 1",
                     f"poke {UUID_TEXT} 0", f"poke {UUID_TEXT} 0 0", f"poke {UUID_TEXT} 0 xx",
                     f"poke {UUID_TEXT} -1 00", f"poke {UUID_TEXT} 99999999999999999999 00",
                     "export", "export --size=0", "export --size=17179869184G",
                     "export --width=0 --height=1 --format=R8", "export --width=4 --size=4096",
                     "export --height=4 --size=4096", "export --format=XR24",
                     "export --width=65537 --height=1 --format=R8", "export --format=XR24X",
                     "export --size=4096 --marker=1", "export --size=4096 --marker=0:0",
                     "export --size=4096 --peek=0", "export --size=4096 --peek=0:0",
                     "export --size=4M --peek=0:1048577",
                     f"export --size=4096 --user-data={'x' * 1025}",
                     "export --size=4096 --seconds=0", "export --size=4096 x",
                     "publish x", "publish --width=0", "publish --buffers=0",
                     "publish --buffers=33", "publish --frames=0", "publish --timeout=0",
                     "publish --format=X"):
            with self.subTest(line=line):
                # Where there is nothing: it is the line that is refused.
                result = run(*line.split(), env={**os.environ, "BUFSHARE": "/nonexistent"})
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertNotEqual(result.stderr, b"")
                self.assertEqual(result.stdout, b"")

    def test_help(self):
        for verb in ("list", "show", "stats", "watch", "capture", "peek", "poke", "export",
                     "publish"):
            result = run(verb, "--help")
            self.assertEqual(result.returncode, 0)
            self.assertIn(b"--connect=PATH", result.stdout)


if __name__ == "__main__":
    BUFSHARE = os.path.abspath(sys.argv.pop(1))
    unittest.main()
