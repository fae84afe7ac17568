"""A client that says exactly the frames it is told to, each in a packet of its own."""

from __future__ import annotations

import socket
import struct
from typing import Any, NamedTuple

import hpack

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
NO_ERROR, PROTOCOL, INTERNAL, FLOW_CONTROL, STREAM_CLOSED, FRAME_SIZE = 0, 1, 2, 3, 5, 6
REFUSED, CANCEL, COMPRESSION, CALM = 7, 8, 9, 11
END_STREAM, END_HEADERS, PADDED, HAS_PRIORITY = 1, 4, 8, 0x20
LARGEST_WINDOW = 2**31 - 1

Fields = list[tuple[str, str]]


class Frame(NamedTuple):
    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def ends(self) -> bool:
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    @property
    def code(self) -> int:
        """The error code of RST_STREAM and GOAWAY."""
        return int(struct.unpack_from('>I', self.payload, 0 if self.kind == RST_STREAM else 4)[0])


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b'') -> bytes:
    return len(payload).to_bytes(3, 'big') + bytes((kind, flags)) + stream_id.to_bytes(4, 'big') + payload


def block(fields: Fields, *, huffman: bool = False) -> bytes:
    """Return a header block that leaves the dynamic table alone, so that it can be sent at any time."""
    return hpack.Encoder().encode(
        [hpack.NeverIndexedHeaderTuple(*field) for field in fields], huffman=huffman
    )


def setting(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b''.join(struct.pack('>HI', *pair) for pair in pairs))


def window(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, struct.pack('>I', increment))


def ping(data: bytes = bytes(8), flags: int = 0) -> bytes:
    return frame(PING, flags, 0, data)


def reset(stream_id: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream_id, struct.pack('>I', code))


def goaway(last: int = 0, code: int = NO_ERROR, text: bytes = b'') -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack('>II', last, code) + text)


def priority(stream_id: int, depends_on: int = 0, weight: int = 255, *, exclusive: bool = False) -> bytes:
    return frame(PRIORITY, 0, stream_id, struct.pack('>IB', depends_on | exclusive << 31, weight))


class Wire:
    """One connection. `frames` are read one at a time; None is the end."""

    def __init__(self, sock: Any, *, greet: bool = True) -> None:
        self.sock = sock
        self._data = b''
        if greet:
            self.greet()

    def greet(self) -> None:
        """Exchange both prefaces and acknowledge both SETTINGS, as a client that waits for them."""
        self.send(PREFACE + setting((4, 65535)))
        mine = theirs = False
        while not (mine and theirs):
            found = self.next()
            assert found is not None, 'closed during the greeting'
            if found.kind == SETTINGS and found.flags & 1:
                mine = True
            elif found.kind == SETTINGS:
                theirs = True
                self.settings = dict(struct.iter_unpack('>HI', found.payload))
                self.send(frame(SETTINGS, 1, 0))

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # closed already: what was said before counts

    def next(self) -> Frame | None:
        while len(self._data) < 9 or len(self._data) < 9 + int.from_bytes(self._data[:3], 'big'):
            try:
                more = self.sock.recv(65536)
            except TimeoutError:
                raise AssertionError('nothing came in time') from None
            except (ConnectionError, OSError):
                return None
            if not more:
                return None
            self._data += more
        data = self._data
        end = 9 + int.from_bytes(data[:3], 'big')
        self._data = data[end:]
        return Frame(data[3], data[4], int.from_bytes(data[5:9], 'big'), data[9:end])

    def until(self, kind: int, flags: int = 0) -> Frame:
        """Return the next frame of this kind with these flags; skip the frames before it."""
        while (found := self.next()) is not None:
            if found.kind == kind and found.flags & flags == flags:
                return found
        raise AssertionError('closed')

    def until_ended(self) -> None:
        while (found := self.next()) is not None:
            if found.ends:
                return
        raise AssertionError('closed')

    def read_to_end(self) -> list[Frame]:
        frames = []
        while (found := self.next()) is not None:
            frames.append(found)
        return frames


def connect(port: int, context: Any = None, timeout: float = 30) -> Any:
    raw = socket.create_connection(('127.0.0.1', port), timeout=timeout)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw if context is None else context.wrap_socket(raw, server_hostname='localhost')
