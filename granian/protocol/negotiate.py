"""Which HTTP version a connection without ALPN speaks: its first bytes tell.

HTTP/2 only by prior knowledge (RFC 9113 3.3); `Upgrade: h2c` is ignored everywhere.
"""

from __future__ import annotations

from typing import Final

from .error_pages import error_response
from .limits import Clock

PREFACE: Final = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

MORE: Final = 'more'
HTTP1: Final = 'http1'
HTTP2: Final = 'http2'
REFUSED: Final = 'refused'

NOT_LOADED: Final = (ImportError, OSError)
"""Raised by an import at a client's first use of a protocol: no descriptor is free, or the file is gone."""
_GOAWAY: Final = bytes.fromhex('000000 04 00 00000000  000008 07 00 00000000 00000000 00000002')
"""SETTINGS, then GOAWAY for all streams with INTERNAL_ERROR: clients may repeat their requests."""


def negotiate(data: bytes | bytearray, http: str = 'auto', alpn: str | None = None) -> str:
    """Return MORE, HTTP1, HTTP2 or REFUSED for the first bytes received.

    `http` is 'auto', '1' or '2'. `alpn` is what TLS settled, if it did: then the bytes do
    not matter. With '1' the preface is HTTP/1's to answer (505). REFUSED: HTTP/1 where only
    HTTP/2 is spoken; write `refusal()` and close.
    """
    if alpn == 'h2' and http != '1':
        return HTTP2
    if http == '1':
        return HTTP1
    if data.startswith(PREFACE):
        return HTTP2
    if PREFACE.startswith(data):  # all of it so far, or nothing yet
        return MORE
    return REFUSED if http == '2' else HTTP1


def refusal(clock: Clock) -> bytes:
    """Return the answer to HTTP/1 where only HTTP/2 is spoken."""
    return error_response(505, 'this server speaks HTTP/2 only', clock)


def unavailable(error: BaseException) -> tuple[str, bytes]:
    """Return the reason for the log, and the answer to HTTP/2 that cannot be loaded."""
    return not_loaded('HTTP/2', error), _GOAWAY


def not_loaded(what: str, error: BaseException) -> str:
    """Return the reason for the log when the modules for `what` cannot be loaded."""
    return f'{what} cannot be loaded: {error}. If the package was changed, restart the server'
