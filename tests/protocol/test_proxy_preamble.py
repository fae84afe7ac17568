"""The PROXY protocol's preamble, of both versions."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian.protocol.proxy_preamble import (
    LONGEST,
    MORE,
    NONE,
    SIGNATURE,
    Preamble,
    PreambleError,
    read_preamble,
)
from tests.support.rows import rows

BOTH = frozenset((1, 2))


def v2(command: int, family: int, payload: bytes) -> bytes:
    return SIGNATURE + struct.pack('!BBH', command, family, len(payload)) + payload


V4 = bytes([192, 0, 2, 7, 10, 0, 0, 1]) + struct.pack('!HH', 5000, 443)
V6 = bytes(15) + b'\x01' + bytes(15) + b'\x02' + struct.pack('!HH', 5000, 443)
TLV = b'\x04\x00\x03abc'
NAMED = {
    b'PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n': ('TCP4', ('192.0.2.7', 5000), ('10.0.0.1', 443)),
    b'PROXY TCP6 2001:DB8::1 ::1 5000 443\r\n': ('TCP6', ('2001:db8::1', 5000), ('::1', 443)),
    v2(0x21, 0x11, V4): ('TCP4', ('192.0.2.7', 5000), ('10.0.0.1', 443)),
    v2(0x21, 0x11, V4 + TLV): ('TCP4', ('192.0.2.7', 5000), ('10.0.0.1', 443)),
    v2(0x21, 0x21, V6): ('TCP6', ('::1', 5000), ('::2', 443)),
}
NAMELESS = [
    b'PROXY UNKNOWN\r\n',
    b'PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n',
    v2(0x20, 0x11, V4),
    v2(0x20, 0x00, b''),
    v2(0x21, 0x00, TLV),
    v2(0x21, 0x31, bytes(216)),
]
MALFORMED = [
    b'PROXY TCP4 192.0.2.7 10.0.0.1 5000\r\n',
    b'PROXY TCP4 192.0.2.7 10.0.0.1 5000 443 \r\n',
    b'PROXY TCP4 192.0.2.7  10.0.0.1 5000 443\r\n',
    b'PROXY TCP4 ::1 ::2 5000 443\r\n',
    b'PROXY TCP6 192.0.2.7 10.0.0.1 5000 443\r\n',
    b'PROXY TCP4 192.0.2.256 10.0.0.1 5000 443\r\n',
    b'PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n',
    b'PROXY TCP4 192.0.2.7 10.0.0.1 +1 443\r\n',
    b'PROXY TCP4 192.0.2.7 10.0.0.1 99999999 443\r\n',
    b'PROXY TCP6 fe80::1%eth0 ::1 5000 443\r\n',
    b'PROXY UDP4 192.0.2.7 10.0.0.1 5000 443\r\n',
    b'PROXY GET / HTTP/1.1\r\n',
    b'PROXY ' + b'x' * 200,
    v2(0x22, 0x11, V4),
    v2(0x11, 0x11, V4),
    v2(0x21, 0x12, V4),
    v2(0x21, 0x11, V4[:11]),
    v2(0x21, 0x21, V6[:35]),
    v2(0x21, 0x41, V4),
]


@rows('data', NAMED)
def test_preamble_names_the_client(data: bytes) -> None:
    assert read_preamble(data, BOTH) == Preamble(len(data), *NAMED[data])
    assert read_preamble(data + b'GET / HTTP/1.1\r\n', BOTH).length == len(data)


@rows('data', NAMELESS)
def test_preamble_without_a_client_is_skipped(data: bytes) -> None:
    assert read_preamble(data, BOTH) == Preamble(len(data))


@rows('data', MALFORMED)
def test_malformed_preamble_is_an_error(data: bytes) -> None:
    with pytest.raises(PreambleError):
        read_preamble(data, BOTH)


@rows('data', [*NAMED, *NAMELESS])
def test_every_part_of_a_preamble_waits_for_more(data: bytes) -> None:
    for end in range(len(data)):
        assert read_preamble(data[:end], BOTH) is MORE


@rows(
    'data', [b'GET / HTTP/1.1\r\n', b'PROPFIND / HTTP/1.1\r\n', b'PRI * HTTP/2.0\r\n',
             b'\r\nGET', b'\x16\x03\x01', b'proxy ']
)  # fmt: skip
def test_other_first_bytes_are_no_preamble(data: bytes) -> None:
    assert read_preamble(data, BOTH) is NONE


def test_version_that_is_not_accepted_is_an_error() -> None:
    for data in NAMED:
        accepted = {1} if data.startswith(b'PROXY') else {2}
        assert read_preamble(data, frozenset(accepted)).length == len(data)
        with pytest.raises(PreambleError, match='is not accepted'):
            read_preamble(data, BOTH - accepted)


@given(
    st.binary(max_size=200),
    st.sampled_from([b'', b'PROXY ', b'PROXY TCP4 ', SIGNATURE, SIGNATURE + b'\x21\x11']),
)
def test_any_bytes_have_a_bounded_answer(data: bytes, start: bytes) -> None:
    try:
        found = read_preamble(start + data, BOTH)
    except PreambleError:
        return
    assert found is MORE or 0 <= found.length <= min(len(start + data), LONGEST)
