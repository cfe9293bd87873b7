# SPDX-License-Identifier: MIT
"""A client of the daemon's socket that does just what a test tells it (include/bufshare_client_protocol.h)."""

import array
import os
import socket
import struct
import threading

HELLO, BUFFER_GET, BUFFER_PUT = 1, 16, 18
STREAM_JOIN, FRAME_RELEASE = 32, 34
EVENT_REMOVED, EVENT_FRAME, EVENT_STREAM_ENDED = 129, 132, 133
REMOVED_DESTROYED = 1
HEADER = struct.Struct("<IIII")
FRAME = struct.Struct("<II16sQQQII")
MESSAGE_MAX, MAX_FDS = 65536, 16
ACCESS_READ, PATH_DMABUF, PATH_RAM = 1, 1, 2


class Refused(Exception):
    """A reply with a status other than OK; .status is enum bufshare_msg_status."""

    def __init__(self, status, text):
        super().__init__(f"status {status}: {text}")
        self.status = status


class RawClient:
    """Connected and greeted. Requests wait for their reply; events that come meanwhile are kept."""

    def __init__(self, path, name="test"):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(30)
        self.sock.connect(str(path))
        self.serial = 0
        self.events = []
        self.request(HELLO, struct.pack("<Q64s", 0, name.encode()))

    def _receive(self):
        space = socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize)
        data, ancillary, _flags, _address = self.sock.recvmsg(MESSAGE_MAX, space)
        for _level, _kind, payload in ancillary:
            fds = array.array("i")
            fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
            for fd in fds:
                os.close(fd)  # a test that holds a buffer needs no memory of it
        if not data:
            raise ConnectionError("the daemon closed the connection")
        return data

    def request(self, kind, payload):
        self.serial += 1
        self.sock.sendall(HEADER.pack(kind, self.serial, 0, 0) + payload)
        while True:
            data = self._receive()
            _kind, serial, status, _fds = HEADER.unpack_from(data)
            if serial == 0:
                self.events.append(data)
                continue
            assert serial == self.serial
            if status:
                text = data[HEADER.size:].split(b"\0")[0].decode(errors="replace")
                raise Refused(status, text)
            return data[HEADER.size:]

    def event(self):
        """The next event: (type, payload)."""
        data = self.events.pop(0) if self.events else self._receive()
        return HEADER.unpack_from(data)[0], data[HEADER.size:]

    def get(self, uuid, paths=PATH_RAM):
        self.request(BUFFER_GET, struct.pack("<16sII", uuid, ACCESS_READ, paths))

    def put(self, uuid):
        self.request(BUFFER_PUT, uuid)

    def join(self, owner, name):
        reply = self.request(STREAM_JOIN, struct.pack("<64s64sII", owner.encode(), name.encode(), 0, 0))
        return struct.unpack_from("<I", reply)[0]

    def release(self, consumer, sequence):
        self.request(FRAME_RELEASE, struct.pack("<IIQ", consumer, 0, sequence))

    def close(self):
        self.sock.close()


class Consumer(threading.Thread):
    """Joins a stream and gives its frames back: at once, but those that keep() names only with a later one."""

    def __init__(self, path, owner, name, keep):
        super().__init__(daemon=True)
        self.client = RawClient(path)
        self.client.sock.settimeout(None)
        self.keep = keep
        self.sequences = []
        self.problem = None
        self.number = self.client.join(owner, name)
        self.start()

    def run(self):
        kept = []
        try:
            while True:
                kind, payload = self.client.event()
                if kind != EVENT_FRAME:
                    continue
                sequence = FRAME.unpack_from(payload)[3]
                self.sequences.append(sequence)
                for earlier in kept:
                    self.client.release(self.number, earlier)
                kept = [sequence] if self.keep(sequence) else []
                if not kept:
                    self.client.release(self.number, sequence)
        except (OSError, ConnectionError):
            pass  # closed, by us or by the daemon
        except Exception as problem:  # for the test to see: a thread's exception goes nowhere
            self.problem = problem

    def finish(self):
        """Ends the thread; returns the sequence numbers of all frames."""
        self.client.sock.shutdown(socket.SHUT_RDWR)
        self.join(30)
        assert not self.is_alive()
        self.client.close()
        if self.problem:
            raise self.problem
        return self.sequences
