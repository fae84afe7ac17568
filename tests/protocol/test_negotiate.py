"""Which version the first bytes speak (S-H-10, S-H-18: HTTP/2 by prior knowledge only)."""

from __future__ import annotations

from granian.protocol.limits import Clock
from granian.protocol.negotiate import HTTP1, HTTP2, MORE, PREFACE, REFUSED, negotiate, refusal
from tests.support.rows import rows


@rows(
    ('data', 'auto', 'one', 'two'),
    [
        (b'', MORE, HTTP1, MORE),
        *((PREFACE[:n], MORE, HTTP1, MORE) for n in range(1, len(PREFACE))),
        (PREFACE, HTTP2, HTTP1, HTTP2),
        (PREFACE + b'frames', HTTP2, HTTP1, HTTP2),
        (b'G', HTTP1, HTTP1, REFUSED),
        (b'POST / HTTP/1.1', HTTP1, HTTP1, REFUSED),
        (b'PRI * HTTP/1.1', HTTP1, HTTP1, REFUSED),
        (b'PRI * HTTP/2.0\r\n\r\nXX', HTTP1, HTTP1, REFUSED),
        (b'\x16\x03\x01', HTTP1, HTTP1, REFUSED),
    ],
)
def test_first_bytes(data, auto, one, two):
    assert negotiate(data, 'auto') == auto
    assert negotiate(data, '1') == one
    assert negotiate(data, '2') == two
    assert negotiate(bytearray(data), 'auto') == auto


def test_alpn_decides():
    assert negotiate(b'', 'auto', 'h2') == HTTP2
    assert negotiate(b'', '2', 'h2') == HTTP2
    assert negotiate(b'GET', 'auto', 'http/1.1') == HTTP1


def test_refusal_is_a_whole_response():
    response = refusal(Clock())
    assert response.startswith(b'HTTP/1.1 505 ')
    assert b'\r\nConnection: close\r\n' in response
