"""What a client may send, and what must come of it: RFC 9113 and RFC 7541 from the server's chair.

The numbering is that of h2spec, the suite that implementations of the protocol are compared by, so that a
case there can be found here; the bytes and the checks are our own, and where h2spec lets a bare close pass
for a connection error, these ask for the GOAWAY before it.

A step is bytes, which are sent, or one of the waits; a fresh connection has exchanged SETTINGS already.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from h2_wire import (
    COMPRESSION,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL,
    FRAME_SIZE,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    LARGEST_WINDOW,
    PADDED,
    PING,
    PRIORITY,
    PROTOCOL,
    PUSH_PROMISE,
    REFUSED,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Fields,
    block,
    frame,
    goaway,
    ping,
    priority,
    reset,
    setting,
    window,
)

ENDED, ACKNOWLEDGED, SOME_DATA = 'ENDED', 'ACKNOWLEDGED', 'SOME_DATA'
"""Waits: for the end of a response, for our SETTINGS' acknowledgement, for a DATA frame."""


class Answer(NamedTuple):
    """A response on stream 1."""


class Pong(NamedTuple):
    """This PING is answered, and nothing is wrong."""

    data: bytes = bytes(8)


class PongOrEnd(NamedTuple):
    """Either is right: the PING's answer, or the end without an error."""


class DataOf(NamedTuple):
    """The next DATA frame has this length."""

    length: int


class Acknowledged(NamedTuple):
    """SETTINGS with ACK."""


class StreamFault(NamedTuple):
    """RST_STREAM, or a connection error in its place (RFC 9113 5.4.2), with one of these codes."""

    codes: tuple[int, ...]


class ConnectionFault(NamedTuple):
    """GOAWAY with one of these codes, then the end."""

    codes: tuple[int, ...]


class Case(NamedTuple):
    name: str
    steps: list[bytes | str]
    expected: NamedTuple


def stream_error(*codes: int) -> StreamFault:
    return StreamFault(codes)


def connection_error(*codes: int) -> ConnectionFault:
    return ConnectionFault(codes)


def request(path: str, *more: tuple[str, str], method: str = 'GET') -> Fields:
    return [
        (':method', method),
        (':scheme', 'http'),
        (':path', path),
        (':authority', 'localhost:8000'),
        *more,
    ]


def make_cases(path: str) -> list[Case]:
    """Return the cases for `path`, a page whose response has at least five bytes."""
    get, post = request(path), request(path, method='POST')
    extra = [('x-extra', 'x' * 4000)]

    def headers(fields: Fields, *, stream_id: int = 1, end: bool = True, whole: bool = True) -> bytes:
        flags = END_STREAM * end | END_HEADERS * whole
        return frame(HEADERS, flags, stream_id, block(fields, huffman=True))

    def data(payload: bytes, *, end: bool = True, stream_id: int = 1) -> bytes:
        return frame(DATA, END_STREAM * end, stream_id, payload)

    def more(fields: Fields, *, whole: bool = True, stream_id: int = 1) -> bytes:
        return frame(CONTINUATION, END_HEADERS * whole, stream_id, block(fields))

    def packed(*octets: bytes, before: bytes = b'') -> list[bytes | str]:
        return [frame(HEADERS, END_STREAM | END_HEADERS, 1, before + block(get) + b''.join(octets))]

    asks, opens = headers(get), headers(post, end=False)
    shut = setting((4, 0))
    whole = block(get)
    return [
        # Generic: what has to work.
        Case('generic/2/1 PRIORITY on an idle stream', [priority(1), ping()], Pong()),
        Case(
            'generic/2/2 WINDOW_UPDATE on a half-closed (remote) stream',
            [shut, asks, window(1, 1)],
            DataOf(1),
        ),
        Case(
            'generic/2/3 PRIORITY on a half-closed (remote) stream',
            [shut, asks, priority(1), window(1, 1)],
            DataOf(1),
        ),
        Case('generic/2/4 RST_STREAM on a half-closed (remote) stream', [asks, reset(1), ping()], Pong()),
        Case('generic/2/5 PRIORITY on a closed stream', [asks, ENDED, priority(1), ping()], Pong()),
        Case('generic/3.1/1 DATA', [opens, data(b'test')], Answer()),
        Case('generic/3.1/2 several DATA', [opens, data(b'test', end=False), data(b'test')], Answer()),
        Case(
            'generic/3.1/3 padded DATA',
            [opens, frame(DATA, END_STREAM | PADDED, 1, b'\6test' + bytes(6))],
            Answer(),
        ),
        Case('generic/3.2/1 HEADERS', [asks], Answer()),
        Case(
            'generic/3.2/2 padded HEADERS',
            [frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, b'\x08' + whole + bytes(8))],
            Answer(),
        ),
        Case(
            'generic/3.2/3 HEADERS with priority',
            [frame(HEADERS, END_STREAM | END_HEADERS | HAS_PRIORITY, 1, bytes(4) + b'\xff' + whole)],
            Answer(),
        ),
        Case('generic/3.3/1 PRIORITY of the least weight', [priority(1, weight=0), asks], Answer()),
        Case('generic/3.3/2 PRIORITY of the greatest weight', [priority(1), asks], Answer()),
        Case('generic/3.3/3 PRIORITY with a dependency', [priority(3, 1), asks], Answer()),
        Case('generic/3.3/4 PRIORITY, exclusive', [priority(1, exclusive=True), asks], Answer()),
        Case('generic/3.3/5 PRIORITY of an idle stream, then a lower one', [priority(3), asks], Answer()),
        Case('generic/3.4/1 RST_STREAM', [headers(get, end=False), reset(1), ping()], Pong()),
        Case(
            'generic/3.5/1 SETTINGS of all kinds',
            [setting((1, 4096), (2, 1), (3, 100), (4, 65535), (5, 16384), (6, 100))],
            Acknowledged(),
        ),
        Case('generic/3.7/1 PING', [ping(b'h2spec\0\0')], Pong(b'h2spec\0\0')),
        Case('generic/3.8/1 GOAWAY', [goaway(text=b'text'), ping()], PongOrEnd()),
        Case('generic/3.9/1 WINDOW_UPDATE of the connection', [window(0, 1), ping()], Pong()),
        Case('generic/3.9/2 WINDOW_UPDATE of a stream', [asks, window(1, 1)], Answer()),
        Case(
            'generic/3.10/1 CONTINUATION',
            [frame(HEADERS, END_STREAM, 1, whole[:5]), frame(CONTINUATION, END_HEADERS, 1, whole[5:])],
            Answer(),
        ),
        Case(
            'generic/3.10/2 several CONTINUATION',
            [
                frame(HEADERS, END_STREAM, 1, whole[:5]),
                frame(CONTINUATION, 0, 1, whole[5:10]),
                frame(CONTINUATION, END_HEADERS, 1, whole[10:]),
            ],
            Answer(),
        ),
        Case('generic/4/1 GET', [asks], Answer()),
        Case('generic/4/2 HEAD', [headers(request(path, method='HEAD'))], Answer()),
        Case('generic/4/3 POST', [opens, data(b'test')], Answer()),
        Case(
            'generic/4/4 POST with trailers',
            [
                headers(request(path, ('trailer', 'x-test'), method='POST'), end=False),
                data(b'test', end=False),
                headers([('x-test', 'ok')]),
            ],
            Answer(),
        ),
        Case('generic/5/1 indexed field', packed(b'\xba'), Answer()),
        Case('generic/5/2 indexing, known name', packed(b'\x7a\6h2spec'), Answer()),
        Case('generic/5/3 indexing, known name, Huffman', packed(b'\x7a\x84\x9c\x48\xac\xa4'), Answer()),
        Case('generic/5/4 indexing, new name', packed(b'\x40\6x-test\6h2spec'), Answer()),
        Case(
            'generic/5/5 indexing, new name, Huffman',
            packed(b'\x40\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4'),
            Answer(),
        ),
        Case('generic/5/6 no indexing, known name', packed(b'\x0f\x2b\6h2spec'), Answer()),
        Case(
            'generic/5/7 no indexing, known name, Huffman', packed(b'\x0f\x2b\x84\x9c\x48\xac\xa4'), Answer()
        ),
        Case('generic/5/8 no indexing, new name', packed(b'\0\6x-test\6h2spec'), Answer()),
        Case(
            'generic/5/9 no indexing, new name, Huffman',
            packed(b'\0\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4'),
            Answer(),
        ),
        Case('generic/5/10 never indexed, known name', packed(b'\x1f\x2b\6h2spec'), Answer()),
        Case(
            'generic/5/11 never indexed, known name, Huffman',
            packed(b'\x1f\x2b\x84\x9c\x48\xac\xa4'),
            Answer(),
        ),
        Case('generic/5/12 never indexed, new name', packed(b'\x10\6x-test\6h2spec'), Answer()),
        Case(
            'generic/5/13 never indexed, new name, Huffman',
            packed(b'\x10\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4'),
            Answer(),
        ),
        Case('generic/5/14 table size update', packed(before=b'\x20'), Answer()),
        Case('generic/5/15 two table size updates', packed(before=b'\x20\x3f\xe1\x1f'), Answer()),
        # Section 4: frames.
        Case('http2/4.1/1 unknown type', [frame(0x16, 0, 0, bytes(8)), ping()], Pong()),
        Case('http2/4.1/2 undefined flags', [ping(bytes(8), 0x16)], Pong()),
        Case('http2/4.1/3 reserved bit', [frame(PING, 0x16, 2**31, bytes(8))], Pong()),
        Case('http2/4.2/1 DATA of 2^14 bytes', [opens, data(bytes(2**14))], Answer()),
        Case('http2/4.2/2 larger DATA', [opens, data(bytes(2**14 + 1))], stream_error(FRAME_SIZE)),
        Case(
            'http2/4.2/3 larger HEADERS',
            [headers([*get, *((f'x-extra{n}', 'x' * 4000) for n in range(5))])],
            connection_error(FRAME_SIZE),
        ),
        Case(
            'http2/4.3/1 header block without its name',
            [frame(HEADERS, 5, 1, b'\x40')],
            connection_error(COMPRESSION),
        ),
        Case(
            'http2/4.3/2 PRIORITY inside a header block',
            [headers(get, end=False, whole=False), priority(1), more(extra)],
            connection_error(PROTOCOL),
        ),
        Case(
            'http2/4.3/3 HEADERS of another stream inside a header block',
            [headers(get, end=False, whole=False), headers(get, stream_id=3), more(extra)],
            connection_error(PROTOCOL),
        ),
        # Section 5: streams.
        Case('http2/5.1/1 idle: DATA', [data(b'test')], connection_error(PROTOCOL)),
        Case('http2/5.1/2 idle: RST_STREAM', [reset(1)], connection_error(PROTOCOL)),
        Case('http2/5.1/3 idle: WINDOW_UPDATE', [window(1, 100)], connection_error(PROTOCOL)),
        Case('http2/5.1/4 idle: CONTINUATION', [more(get)], connection_error(PROTOCOL)),
        Case('http2/5.1/5 half-closed: DATA', [asks, data(b'test')], stream_error(STREAM_CLOSED)),
        Case('http2/5.1/5 half-closed for sure: DATA', [shut, asks, data(b'a')], stream_error(STREAM_CLOSED)),
        Case('http2/5.1/6 half-closed: HEADERS', [asks, asks], stream_error(STREAM_CLOSED)),
        Case('http2/5.1/6 half-closed for sure: HEADERS', [shut, asks, asks], stream_error(STREAM_CLOSED)),
        Case(
            'http2/5.1/7 half-closed: CONTINUATION', [asks, more(get)], stream_error(STREAM_CLOSED, PROTOCOL)
        ),
        Case(
            'http2/5.1/8 reset: DATA',
            [headers(get, end=False), reset(1), data(b'test')],
            stream_error(STREAM_CLOSED),
        ),
        Case(
            'http2/5.1/9 reset: HEADERS',
            [headers(get, end=False), reset(1), asks],
            stream_error(STREAM_CLOSED),
        ),
        Case(
            'http2/5.1/10 reset: CONTINUATION',
            [headers(get, end=False), reset(1), more(extra)],
            stream_error(STREAM_CLOSED, PROTOCOL),
        ),
        Case('http2/5.1/11 closed: DATA', [asks, ENDED, data(b'test')], connection_error(STREAM_CLOSED)),
        Case('http2/5.1/12 closed: HEADERS', [asks, ENDED, asks], connection_error(STREAM_CLOSED)),
        Case(
            'http2/5.1/13 closed: CONTINUATION',
            [asks, ENDED, more(extra)],
            connection_error(STREAM_CLOSED, PROTOCOL),
        ),
        Case('http2/5.1.1/1 even number', [headers(get, stream_id=2)], connection_error(PROTOCOL)),
        Case(
            'http2/5.1.1/2 number smaller than the last',
            [headers(get, stream_id=5), headers(get, stream_id=3)],
            connection_error(PROTOCOL),
        ),
        Case(
            'http2/5.1.2/1 more streams than announced',
            [shut, b''.join(headers(get, stream_id=2 * number + 1) for number in range(201))],
            stream_error(PROTOCOL, REFUSED),
        ),
        Case(
            'http2/5.3.1/1 HEADERS depend on themselves',
            [frame(HEADERS, END_STREAM | END_HEADERS | HAS_PRIORITY, 1, b'\0\0\0\1\xff' + whole)],
            stream_error(PROTOCOL),
        ),
        Case('http2/5.3.1/2 PRIORITY depends on itself', [priority(1, 1)], stream_error(PROTOCOL)),
        Case(
            'http2/5.4.1/1 GOAWAY and the end after an error',
            [frame(PING, 0, 3, bytes(8))],
            connection_error(PROTOCOL),
        ),
        Case('http2/5.5/1 extension frame', [frame(0x16, 0, 0, bytes(8)), ping()], Pong()),
        Case(
            'http2/5.5/2 extension frame inside a header block',
            [headers(get, whole=False), frame(0x16, 0, 0, bytes(8))],
            connection_error(PROTOCOL),
        ),
        # Section 6: each type of frame.
        Case('http2/6.1/1 DATA on stream 0', [data(b'test', stream_id=0)], connection_error(PROTOCOL)),
        Case(
            'http2/6.1/2 DATA when the request is complete',
            [headers(post), data(b'test')],
            stream_error(STREAM_CLOSED),
        ),
        Case(
            'http2/6.1/3 DATA with too much padding',
            [
                headers(request(path, ('content-length', '4'), method='POST'), end=False),
                frame(DATA, PADDED | END_STREAM, 1, b'\6Test'),
            ],
            connection_error(PROTOCOL),
        ),
        Case(
            'http2/6.2/1 HEADERS without END_HEADERS, then PRIORITY',
            [headers(get, end=False, whole=False), priority(1), more(extra)],
            connection_error(PROTOCOL),
        ),
        Case(
            'http2/6.2/2 HEADERS without END_HEADERS, then another stream',
            [headers(get, end=False, whole=False), headers(get, stream_id=3), more(extra)],
            connection_error(PROTOCOL),
        ),
        Case('http2/6.2/3 HEADERS on stream 0', [headers(get, stream_id=0)], connection_error(PROTOCOL)),
        Case(
            'http2/6.2/4 HEADERS with too much padding',
            [frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, bytes((len(whole) + 1,)) + whole)],
            connection_error(PROTOCOL),
        ),
        Case('http2/6.3/1 PRIORITY on stream 0', [priority(0)], connection_error(PROTOCOL)),
        Case(
            'http2/6.3/2 PRIORITY of four bytes',
            [asks, frame(PRIORITY, 0, 1, b'\x80\0\0\1')],
            stream_error(FRAME_SIZE),
        ),
        Case('http2/6.4/1 RST_STREAM on stream 0', [reset(0)], connection_error(PROTOCOL)),
        Case('http2/6.4/2 RST_STREAM on an idle stream', [reset(1)], connection_error(PROTOCOL)),
        Case(
            'http2/6.4/3 RST_STREAM of three bytes',
            [asks, frame(RST_STREAM, 0, 1, bytes(3))],
            connection_error(FRAME_SIZE),
        ),
        Case(
            'http2/6.5/1 SETTINGS with ACK and a payload',
            [frame(SETTINGS, 1, 0, b'\0')],
            connection_error(FRAME_SIZE),
        ),
        Case(
            'http2/6.5/2 SETTINGS on a stream',
            [frame(SETTINGS, 0, 1, b'\0\3\0\0\0\x64')],
            connection_error(PROTOCOL),
        ),
        Case(
            'http2/6.5/3 SETTINGS of no multiple of six bytes',
            [frame(SETTINGS, 0, 0, b'\0\3\0')],
            connection_error(FRAME_SIZE),
        ),
        Case('http2/6.5.2/1 ENABLE_PUSH of 2', [setting((2, 2))], connection_error(PROTOCOL)),
        Case(
            'http2/6.5.2/2 INITIAL_WINDOW_SIZE of 2^31',
            [setting((4, 2**31))],
            connection_error(FLOW_CONTROL),
        ),
        Case(
            'http2/6.5.2/3 MAX_FRAME_SIZE below 2^14', [setting((5, 2**14 - 1))], connection_error(PROTOCOL)
        ),
        Case('http2/6.5.2/4 MAX_FRAME_SIZE of 2^24', [setting((5, 2**24))], connection_error(PROTOCOL)),
        Case('http2/6.5.2/5 unknown setting', [setting((0xFF, 1)), ping()], Pong()),
        Case(
            'http2/6.5.3/1 the last of two values of one setting counts',
            [setting((4, 100), (4, 1)), ACKNOWLEDGED, asks],
            DataOf(1),
        ),
        Case('http2/6.5.3/2 SETTINGS are acknowledged', [setting((2, 0))], Acknowledged()),
        Case('http2/6.7/1 PING is answered', [ping(b'h2spec\0\0')], Pong(b'h2spec\0\0')),
        Case(
            'http2/6.7/2 the answer to a PING is not answered',
            [ping(b'invalid\0', 1), ping(b'h2spec\0\0')],
            Pong(b'h2spec\0\0'),
        ),
        Case('http2/6.7/3 PING on a stream', [frame(PING, 0, 1, bytes(8))], connection_error(PROTOCOL)),
        Case('http2/6.7/4 PING of six bytes', [frame(PING, 0, 0, bytes(6))], connection_error(FRAME_SIZE)),
        Case('http2/6.8/1 GOAWAY on a stream', [frame(GOAWAY, 0, 1, bytes(8))], connection_error(PROTOCOL)),
        Case('http2/6.9/1 WINDOW_UPDATE of 0', [window(0, 0)], connection_error(PROTOCOL)),
        Case(
            'http2/6.9/2 WINDOW_UPDATE of 0 on a stream',
            [headers(get, end=False), window(1, 0)],
            stream_error(PROTOCOL),
        ),
        Case(
            'http2/6.9/3 WINDOW_UPDATE of three bytes',
            [frame(WINDOW_UPDATE, 0, 0, b'\0\0\1')],
            connection_error(FRAME_SIZE),
        ),
        Case('http2/6.9.1/1 no more than the window', [setting((4, 1)), ACKNOWLEDGED, asks], DataOf(1)),
        Case(
            "http2/6.9.1/2 the connection's window beyond 2^31-1",
            [window(0, LARGEST_WINDOW), window(0, LARGEST_WINDOW)],
            connection_error(FLOW_CONTROL),
        ),
        Case(
            "http2/6.9.1/3 a stream's window beyond 2^31-1",
            [headers(get, end=False), window(1, LARGEST_WINDOW), window(1, LARGEST_WINDOW)],
            stream_error(FLOW_CONTROL),
        ),
        Case(
            'http2/6.9.2/1 the window of a stream under way grows with the setting',
            [shut, ACKNOWLEDGED, asks, setting((4, 1)), ACKNOWLEDGED],
            DataOf(1),
        ),
        Case(
            'http2/6.9.2/2 a window below zero',
            [setting((4, 3)), ACKNOWLEDGED, asks, SOME_DATA, setting((4, 2)), ACKNOWLEDGED, window(1, 2)],
            DataOf(1),
        ),
        Case(
            'http2/6.9.2/3 a setting that makes windows too large',
            [setting((4, 2**31))],
            connection_error(FLOW_CONTROL),
        ),
        Case(
            'http2/6.10/1 several CONTINUATION after HEADERS',
            [headers(get, whole=False), more(extra, whole=False), more(extra)],
            Answer(),
        ),
        Case(
            'http2/6.10/2 CONTINUATION, then DATA',
            [headers(post, end=False, whole=False), more(extra, whole=False), data(b'test')],
            connection_error(PROTOCOL),
        ),
        Case(
            'http2/6.10/3 CONTINUATION on stream 0',
            [headers(get, whole=False), more(extra, stream_id=0)],
            connection_error(PROTOCOL),
        ),
        Case('http2/6.10/4 CONTINUATION after END_HEADERS', [asks, more(extra)], connection_error(PROTOCOL)),
        Case(
            'http2/6.10/5 CONTINUATION after the last one',
            [headers(get, whole=False), more(extra), more(extra)],
            connection_error(PROTOCOL),
        ),
        Case(
            'http2/6.10/6 CONTINUATION after DATA',
            [headers(post, end=False, whole=False), data(b'test'), more(extra, whole=False)],
            connection_error(PROTOCOL),
        ),
        # Section 7: error codes.
        Case('http2/7/1 GOAWAY with an unknown code', [goaway(code=0xFF), ping()], PongOrEnd()),
        Case('http2/7/2 RST_STREAM with an unknown code', [opens, reset(1, 0xFF), ping()], Pong()),
        # Section 8: messages. (8.1.2 and its subsections are RFC 7540's numbers.)
        Case(
            'http2/8.1/1 a second HEADERS without END_STREAM',
            [opens, data(b'test', end=False), headers([('x-test', 'ok')], end=False)],
            stream_error(PROTOCOL),
        ),
        Case('http2/8.1.2/1 upper case', [headers([*get, ('X-TEST', 'ok')])], stream_error(PROTOCOL)),
        Case(
            'http2/8.1.2.1/1 unknown pseudo-field',
            [headers([*get, (':test', 'ok')])],
            stream_error(PROTOCOL),
        ),
        Case(
            "http2/8.1.2.1/2 a response's pseudo-field",
            [headers([*get, (':status', '200')])],
            stream_error(PROTOCOL),
        ),
        Case(
            'http2/8.1.2.1/3 pseudo-field in trailers',
            [opens, data(b'test', end=False), headers([(':method', 'POST')])],
            stream_error(PROTOCOL),
        ),
        Case(
            'http2/8.1.2.1/4 pseudo-field after a field',
            [headers([('x-test', 'ok'), *get])],
            stream_error(PROTOCOL),
        ),
        *(
            Case(
                f'http2/8.1.2.2/1 connection-specific field {name}',
                [headers([*get, (name, value)])],
                stream_error(PROTOCOL),
            )
            for name, value in (
                ('connection', 'keep-alive'),
                ('keep-alive', 'timeout=5'),
                ('proxy-connection', 'keep-alive'),
                ('transfer-encoding', 'chunked'),
                ('upgrade', 'h2c'),
            )
        ),
        Case(
            'http2/8.1.2.2/2 TE of more than trailers',
            [headers([*get, ('trailers', 'test'), ('te', 'trailers, deflate')])],
            stream_error(PROTOCOL),
        ),
        Case(
            'http2/8.1.2.3/1 empty :path',
            [headers([*get[:2], (':path', ''), get[3]])],
            stream_error(PROTOCOL),
        ),
        Case('http2/8.1.2.3/2 no :method', [headers(get[1:])], stream_error(PROTOCOL)),
        Case('http2/8.1.2.3/3 no :scheme', [headers([get[0], *get[2:]])], stream_error(PROTOCOL)),
        Case('http2/8.1.2.3/4 no :path', [headers([*get[:2], get[3]])], stream_error(PROTOCOL)),
        Case('http2/8.1.2.3/5 :method twice', [headers([*get, get[0]])], stream_error(PROTOCOL)),
        Case('http2/8.1.2.3/6 :scheme twice', [headers([*get, get[1]])], stream_error(PROTOCOL)),
        Case('http2/8.1.2.3/7 :path twice', [headers([*get, get[2]])], stream_error(PROTOCOL)),
        Case('http2/8.1.2.3/8 :authority twice', [headers([*get, get[3]])], stream_error(PROTOCOL)),
        Case(
            'http2/8.1.2.6/1 content-length and one DATA',
            [
                headers(request(path, ('content-length', '1'), method='POST'), end=False),
                data(b'test'),
            ],
            stream_error(PROTOCOL),
        ),
        Case(
            'http2/8.1.2.6/2 content-length and several DATA',
            [
                headers(request(path, ('content-length', '1'), method='POST'), end=False),
                data(b'test', end=False),
                data(b'test'),
            ],
            stream_error(PROTOCOL),
        ),
        Case(
            'http2/8.1.2.6/3 content-length of a request without a body',
            [headers(request(path, ('content-length', '4'), method='POST'))],
            stream_error(PROTOCOL),
        ),
        Case(
            'http2/8.2/1 PUSH_PROMISE',
            [frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack('>I', 3) + whole)],
            connection_error(PROTOCOL),
        ),
        # RFC 7541.
        Case('hpack/2.3.3/1 index beyond the tables', packed(b'\xfe'), connection_error(COMPRESSION)),
        Case(
            'hpack/2.3.3/2 name index beyond the tables',
            packed(b'\x7f\x00\4test'),
            connection_error(COMPRESSION),
        ),
        Case('hpack/4.2/1 table size update at the end', packed(b'\x21'), connection_error(COMPRESSION)),
        Case(
            'hpack/5.2/1 Huffman padding of more than seven bits',
            packed(b'\0\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff'),
            connection_error(COMPRESSION),
        ),
        Case(
            'hpack/5.2/2 Huffman padding of zeros',
            packed(b'\0\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90'),
            connection_error(COMPRESSION),
        ),
        Case(
            'hpack/5.2/3 Huffman code with EOS inside',
            packed(b'\0\x85\xf2\xb2\x4a\x84\xff\x87\xff\xff\xff\xfd\x25\x42\x7f'),
            connection_error(COMPRESSION),
        ),
        Case('hpack/6.1/1 index 0', packed(b'\x80'), connection_error(COMPRESSION)),
        Case(
            'hpack/6.3/1 table size above the limit',
            packed(before=b'\x3f\xe2\x1f'),
            connection_error(COMPRESSION),
        ),
    ]
