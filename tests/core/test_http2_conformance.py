"""RFC 9113 over a socket, frame by frame, against an application that answers at once.

What tests/http2 says of the protocol object holds when each frame is a read of its own and the
response may be on its way already: an early answer must not hide the client's mistake.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import hpack
import pytest
from core_harness import running

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
PROTOCOL, FLOW_CONTROL, STREAM_CLOSED, FRAME_SIZE, REFUSED, COMPRESSION = 1, 3, 5, 6, 7, 9
END_STREAM, END_HEADERS, PADDED, HAS_PRIORITY = 1, 4, 8, 0x20

GET = [(':method', 'GET'), (':scheme', 'http'), (':authority', 'test'), (':path', '/')]
POST = [(':method', 'POST'), *GET[1:]]


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b'') -> bytes:
    return len(payload).to_bytes(3, 'big') + bytes((kind, flags)) + stream_id.to_bytes(4, 'big') + payload


def block(fields: Any = GET) -> bytes:
    """A header block that does not touch the dynamic table: it can be used anywhere."""
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields], huffman=False)


def headers(stream_id: int, fields: Any = GET, flags: int = END_STREAM | END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream_id, block(fields))


def setting(key: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack('>HI', key, value))


def window(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, struct.pack('>I', increment))


OPEN = headers(1, POST, END_HEADERS)
LARGEST = 2**31 - 1
SHUT = setting(4, 0)

# name: (frames, error code, 'stream' or 'connection'). A connection error will do for a stream's
# (RFC 9113 5.4.2), not the other way round.
ERRORS: dict[str, tuple[list[bytes], int, str]] = {
    '4.2 large DATA': ([OPEN, frame(DATA, 0, 1, bytes(16385))], FRAME_SIZE, 'stream'),
    '4.2 large HEADERS': ([frame(HEADERS, 5, 1, bytes(16385))], FRAME_SIZE, 'connection'),
    '4.3 bad block': ([frame(HEADERS, 5, 1, b'\x40\x01a')], COMPRESSION, 'connection'),
    '4.3 PRIORITY in a block': (
        [headers(1, flags=END_STREAM), frame(PRIORITY, 0, 1, bytes(5))],
        PROTOCOL,
        'connection',
    ),
    '4.3 other HEADERS in a block': ([headers(1, flags=END_STREAM), headers(3)], PROTOCOL, 'connection'),
    '5.1 idle DATA': ([frame(DATA, 1, 1, b'test')], PROTOCOL, 'connection'),
    '5.1 idle RST_STREAM': ([frame(RST_STREAM, 0, 1, bytes(4))], PROTOCOL, 'connection'),
    '5.1 idle WINDOW_UPDATE': ([window(1, 100)], PROTOCOL, 'connection'),
    '5.1 idle CONTINUATION': ([frame(CONTINUATION, 4, 1, block())], PROTOCOL, 'connection'),
    '5.1 half-closed DATA': ([headers(1), frame(DATA, 1, 1, b'test')], STREAM_CLOSED, 'stream'),
    '5.1 half-closed HEADERS': ([headers(1), headers(1)], STREAM_CLOSED, 'stream'),
    '5.1 half-closed, waiting': ([SHUT, headers(1), headers(1)], STREAM_CLOSED, 'stream'),
    '5.1 reset DATA': (
        [OPEN, frame(RST_STREAM, 0, 1, bytes(4)), frame(DATA, 1, 1, b'x')],
        STREAM_CLOSED,
        'stream',
    ),
    '5.1 reset HEADERS': ([OPEN, frame(RST_STREAM, 0, 1, bytes(4)), headers(1)], STREAM_CLOSED, 'stream'),
    '5.1.1 even': ([headers(2)], PROTOCOL, 'connection'),
    '5.1.1 smaller': ([headers(5), headers(3)], PROTOCOL, 'connection'),
    '5.3.1 HEADERS on itself': ([frame(HEADERS, 0x25, 1, b'\0\0\0\1\xff' + block())], PROTOCOL, 'stream'),
    '5.3.1 PRIORITY on itself': ([frame(PRIORITY, 0, 1, b'\0\0\0\1\xff')], PROTOCOL, 'stream'),
    '6.1 DATA on 0': ([frame(DATA, 1, 0, b'x')], PROTOCOL, 'connection'),
    '6.1 DATA padding': ([OPEN, frame(DATA, PADDED | 1, 1, b'\x06test')], PROTOCOL, 'connection'),
    '6.2 HEADERS padding': ([frame(HEADERS, PADDED | 5, 1, b'\xff' + block())], PROTOCOL, 'connection'),
    '6.2 HEADERS on 0': ([frame(HEADERS, 5, 0, block())], PROTOCOL, 'connection'),
    '6.3 PRIORITY on 0': ([frame(PRIORITY, 0, 0, bytes(5))], PROTOCOL, 'connection'),
    '6.3 PRIORITY length': ([headers(1), frame(PRIORITY, 0, 1, bytes(4))], FRAME_SIZE, 'stream'),
    '6.4 RST_STREAM length': ([OPEN, frame(RST_STREAM, 0, 1, bytes(3))], FRAME_SIZE, 'connection'),
    '6.5 SETTINGS on 1': ([frame(SETTINGS, 0, 1, b'')], PROTOCOL, 'connection'),
    '6.5 SETTINGS length': ([frame(SETTINGS, 0, 0, bytes(3))], FRAME_SIZE, 'connection'),
    '6.5 SETTINGS acknowledged with a payload': ([frame(SETTINGS, 1, 0, bytes(6))], FRAME_SIZE, 'connection'),
    '6.5.2 ENABLE_PUSH': ([setting(2, 2)], PROTOCOL, 'connection'),
    '6.5.2 INITIAL_WINDOW_SIZE': ([setting(4, 2**31)], FLOW_CONTROL, 'connection'),
    '6.5.2 MAX_FRAME_SIZE': ([setting(5, 16383)], PROTOCOL, 'connection'),
    '6.6 PUSH_PROMISE': (
        [headers(1), frame(PUSH_PROMISE, 4, 1, b'\0\0\0\2' + block())],
        PROTOCOL,
        'connection',
    ),
    '6.7 PING on 1': ([frame(PING, 0, 1, bytes(8))], PROTOCOL, 'connection'),
    '6.7 PING length': ([frame(PING, 0, 0, bytes(6))], FRAME_SIZE, 'connection'),
    '6.8 GOAWAY on 1': ([frame(GOAWAY, 0, 1, bytes(8))], PROTOCOL, 'connection'),
    '6.9 nothing, connection': ([window(0, 0)], PROTOCOL, 'connection'),
    '6.9 nothing, stream': ([OPEN, window(1, 0)], PROTOCOL, 'stream'),
    '6.9 length': ([frame(WINDOW_UPDATE, 0, 0, bytes(3))], FRAME_SIZE, 'connection'),
    '6.9.1 too much, connection': ([window(0, LARGEST), window(0, LARGEST)], FLOW_CONTROL, 'connection'),
    '6.9.1 too much, stream': ([OPEN, window(1, LARGEST), window(1, LARGEST)], FLOW_CONTROL, 'stream'),
    '6.10 CONTINUATION after the end': (
        [headers(1), frame(CONTINUATION, 4, 1, block())],
        PROTOCOL,
        'connection',
    ),
    '6.10 CONTINUATION on 0': (
        [headers(1, flags=END_STREAM), frame(CONTINUATION, 4, 0, block())],
        PROTOCOL,
        'connection',
    ),
    '8.1 second HEADERS': ([OPEN, headers(1, [('x-t', '1')], END_HEADERS)], PROTOCOL, 'stream'),
    '8.1 pseudo-field in trailers': ([OPEN, headers(1, [(':method', 'GET')])], PROTOCOL, 'stream'),
    '8.2 upper case': ([headers(1, [*GET, ('X-TEST', 'ok')])], PROTOCOL, 'stream'),
    '8.2.2 connection': ([headers(1, [*GET, ('connection', 'keep-alive')])], PROTOCOL, 'stream'),
    '8.2.2 te': ([headers(1, [*GET, ('te', 'trailers, deflate')])], PROTOCOL, 'stream'),
    '8.3 unknown pseudo-field': ([headers(1, [(':test', 'ok'), *GET])], PROTOCOL, 'stream'),
    '8.3 response pseudo-field': ([headers(1, [*GET, (':status', '200')])], PROTOCOL, 'stream'),
    '8.3 pseudo-field after a field': ([headers(1, [*GET[:3], ('a', 'b'), GET[3]])], PROTOCOL, 'stream'),
    '8.3.1 empty path': ([headers(1, [*GET[:3], (':path', '')])], PROTOCOL, 'stream'),
    '8.3.1 no method': ([headers(1, GET[1:])], PROTOCOL, 'stream'),
    '8.3.1 path twice': ([headers(1, [*GET, GET[3]])], PROTOCOL, 'stream'),
    '8.1.1 content-length of one DATA': (
        [headers(1, [*POST, ('content-length', '1')], END_HEADERS), frame(DATA, 1, 1, b'test')],
        PROTOCOL,
        'stream',
    ),
    '8.1.1 content-length of two DATA': (
        [
            headers(1, [*POST, ('content-length', '1')], END_HEADERS),
            frame(DATA, 0, 1, b'x'),
            frame(DATA, 1, 1, b'y'),
        ],
        PROTOCOL,
        'stream',
    ),
}


class Wire:
    """Frames out, each in a packet of its own; frames in."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, 1, 0))

    def send(self, frames: list[bytes]) -> None:
        for each in frames:
            try:
                self.sock.sendall(each)
            except OSError:
                return  # closed already: what it said before is what counts

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = b''
        while True:
            while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3], 'big'):
                try:
                    more = self.sock.recv(65536)
                except ConnectionResetError:
                    return
                if not more:
                    return
                data += more
            end = 9 + int.from_bytes(data[:3], 'big')
            yield data[3], data[4], int.from_bytes(data[5:9], 'big'), data[9:end]
            data = data[end:]


@pytest.fixture(scope='module', params=['answers at once', 'reads first'])
def server(request: Any) -> Iterator[Any]:
    def handler(stream: Any) -> None:
        if request.param == 'reads first':
            while stream.read():
                pass
        stream.respond(200, [(b'content-type', b'text/plain')], b'hello')

    with running(handler) as server:
        yield server


@pytest.fixture
def wire(server: Any) -> Iterator[Wire]:
    with server.connect(5) as sock:
        yield Wire(sock)


@pytest.mark.parametrize('name', ERRORS)
def test_errors(wire: Wire, name: str) -> None:
    frames, code, kind = ERRORS[name]
    wire.send(frames)
    reset = None
    for found, _, _, payload in wire.frames():
        if found == GOAWAY:
            assert struct.unpack('>II', payload[:8])[1] == code
            break
        if found == RST_STREAM and kind == 'stream':
            reset = struct.unpack('>I', payload)[0]
            assert reset == code
            return
    else:
        pytest.fail('the connection was closed without a word')
    assert all(found != HEADERS for found, *_ in wire.frames()), 'GOAWAY, then the end'


@pytest.mark.parametrize('kind', [DATA, HEADERS])
def test_frames_after_the_exchange(wire: Wire, kind: int) -> None:
    wire.send([headers(1)])
    frames = wire.frames()
    assert any(found == DATA and flags & 1 for found, flags, *_ in frames)
    wire.send([frame(kind, 5, 1, block() if kind == HEADERS else b'test')])
    assert [struct.unpack('>II', payload[:8])[1] for found, _, _, payload in frames if found == GOAWAY] == [
        STREAM_CLOSED
    ]


ALIVE: dict[str, list[bytes]] = {
    'unknown frame': [frame(0x16, 0, 0, b'x')],
    'PRIORITY on idle, closed and lower streams': [
        frame(PRIORITY, 0, 3, bytes(5)),
        headers(1),
        frame(PRIORITY, 0, 1, bytes(5)),
    ],
    'unknown setting': [setting(0xFF, 1)],
    'RST_STREAM with an unknown code': [SHUT, headers(1), frame(RST_STREAM, 0, 1, b'\0\0\0\xff')],
    'GOAWAY with an unknown code, stream open': [
        SHUT,
        headers(1),
        frame(GOAWAY, 0, 0, b'\0\0\0\0\0\0\0\xff'),
    ],
    'WINDOW_UPDATE of the connection': [window(0, 1)],
    'DATA of the largest size': [OPEN, frame(DATA, 1, 1, bytes(16384))],
    'padded HEADERS with priority': [
        frame(HEADERS, 0x2D, 1, b'\4' + bytes(4) + b'\xff' + block() + bytes(4))
    ],
    'body after an early answer': [OPEN, frame(DATA, 0, 1, b'test'), frame(DATA, 1, 1, b'test')],
}


@pytest.mark.parametrize('name', ALIVE)
def test_what_is_allowed(wire: Wire, name: str) -> None:
    wire.send([*ALIVE[name], frame(PING, 0, 0, b'answer!!')])
    for found, flags, _, payload in wire.frames():
        assert found != GOAWAY
        if found == PING and flags == 1 and payload == b'answer!!':
            return
    pytest.fail('closed')


def test_settings_that_change_a_window_under_way(wire: Wire) -> None:
    wire.send([setting(4, 3), headers(1)])
    frames = wire.frames()
    assert next(f for f in frames if f[0] == DATA)[3] == b'hel'
    wire.send([setting(4, 2), window(1, 2)])
    assert next(f for f in frames if f[0] == DATA)[3] == b'l', 'it had been below zero'


def test_a_preface_that_is_none(server: Any) -> None:
    assert server.request(b'INVALID CONNECTION PREFACE\r\n\r\n').startswith(b'HTTP/1.1 400 ')


def test_more_streams_than_announced(server: Any) -> None:
    with server.connect(5) as sock:
        wire = Wire(sock)
        wire.send([SHUT, b''.join(headers(2 * number + 1) for number in range(201))])
        reset = next(f for f in wire.frames() if f[0] == RST_STREAM)
        assert (reset[2], reset[3]) == (401, b'\0\0\0\7')
