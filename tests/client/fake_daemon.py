# SPDX-License-Identifier: MIT
"""A daemon for tests of the command: it says what a test wants, in the wire format of
include/bufshare_client_protocol.h, to one client at a time."""

import array
import fcntl
import os
import socket
import struct
import tempfile
import threading

HELLO, LIST_BUFFERS, LIST_STREAMS, STATS, WATCH = 1, 2, 3, 4, 5
GET, EXTENTS, PUT = 16, 17, 18
JOIN, LEAVE, RELEASE = 32, 33, 34
BUFFER_ADDED, BUFFER_REMOVED, STREAM_ADDED, STREAM_REMOVED = 128, 129, 130, 131
FRAME, STREAM_ENDED, RESYNC = 132, 133, 134
NOT_FOUND, NOT_PERMITTED = 4, 5

PAGE = 4096
UUID = bytes(range(1, 17))
UUID_TEXT = "01020304-0506-0708-090a-0b0c0d0e0f10"
STREAM = ("vm0", "camera")


def fourcc(text):
    return struct.unpack("<I", text.encode())[0]


def desc(width=0, height=0, code=None, planes=(), user_len=0):
    """struct virtio_bufshare_desc"""
    room = [*planes, *((0, 0),) * (4 - len(planes))]
    return struct.pack("<IIIIQ", width, height, fourcc(code) if code else 0, len(planes), 0) + \
        b"".join(struct.pack("<QII", offset, stride, 0) for offset, stride in room) + \
        struct.pack("<BBBBI", 0, 0, 0, 0, user_len)


def buffer_info(size=PAGE, description=None, owner=b"vm0"):
    return UUID + owner.ljust(64, b"\0") + struct.pack("<QIIII", size, 1, 2, 1, 0) + \
        (description or desc())


def stream_info(owner="vm0", name="camera"):
    return owner.encode().ljust(64, b"\0") + name.encode().ljust(64, b"\0") + \
        struct.pack("<IIQQ", 1, 0, 3, 3)


class FakeDaemon:
    """Serves until it is left.  What a subclass overrides is what it lies about."""

    def __init__(self, memory=b"", description=None, user=b""):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "client.sock")
        self.size = max(PAGE, -(-len(memory) // PAGE) * PAGE)
        self.description = description
        self.user = user
        self.sequence = 0
        self.seen = threading.Semaphore(0)  # released for each request after HELLO
        self.memory = os.memfd_create("memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.memory, self.size)
        os.pwrite(self.memory, memory, 0)
        fcntl.fcntl(self.memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.client = None
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        if self.client:
            try:
                self.client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join()
        self.listener.close()
        os.close(self.memory)
        self.folder.cleanup()

    def _run(self):
        while True:
            try:
                self.client, _ = self.listener.accept()
            except OSError:
                return
            with self.client:
                try:
                    while packet := self.client.recv(65536):
                        kind, serial = struct.unpack_from("<II", packet)
                        self.answer(kind, serial, packet)
                        if kind != HELLO:
                            self.seen.release()
                except OSError:
                    pass

    def send(self, kind, serial, body=b"", fds=(), status=0):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.client.sendmsg([struct.pack("<IIII", kind, serial, status, len(fds)) + body], control)

    def refuse(self, kind, serial, status, words):
        self.send(kind, serial, words.ljust(256, b"\0"), status=status)

    def event(self, kind, body=b""):
        self.send(kind, 0, body)

    def frame(self):
        self.sequence += 1
        self.event(FRAME, struct.pack("<II", 1, 0) + UUID +
                   struct.pack("<QQQII", self.sequence, 0, 0, 0, 0))

    def info(self):
        return buffer_info(self.size, self.description)

    def answer(self, kind, serial, packet):
        if kind == HELLO:
            self.send(kind, serial, struct.pack("<QII", 0, 3, 10))
        elif kind == LIST_BUFFERS:
            self.send(kind, serial, struct.pack("<QII", 0, 1, 0) + self.info())
        elif kind == LIST_STREAMS:
            self.send(kind, serial, struct.pack("<QII", 0, 1, 0) + stream_info(*STREAM))
        elif kind == STATS:
            self.send(kind, serial, struct.pack("<14Q", *range(14)))
        elif kind == GET:
            if packet[16:32] != UUID:
                self.refuse(kind, serial, NOT_FOUND, b"there is no such buffer for you")
                return
            access, = struct.unpack_from("<I", packet, 32)
            self.send(kind, serial, struct.pack("<II", 2, access) + self.info() + self.user,
                      [self.memory])
        elif kind == EXTENTS:
            self.send(kind, serial, struct.pack("<II", 1, 1) +
                      struct.pack("<QQII", 0, self.size, 0, 0))
        elif kind == JOIN:
            self.send(kind, serial, struct.pack("<II", 1, 0))
        else:
            self.send(kind, serial)
