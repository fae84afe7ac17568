"""Responses of our own, in place of the application's: the same bytes from every core and both versions."""

from __future__ import annotations

from typing import Final

from .limits import Clock
from .response import phrase, status_line

HEAD_TIMEOUT: Final = 'the request head did not arrive in time'
BODY_TIMEOUT: Final = 'the request body did not arrive in time'
"""Reasons of a 408."""
BODY_CUT: Final = 'the connection ended within the request body'
"""Reason of a 400."""


def error_response(status: int, reason: str, clock: Clock) -> bytes:
    """Return a whole HTTP/1.1 response that refuses and closes."""
    fields, body = error_parts(status, reason)
    lines = b''.join([b'\r\n%b: %b' % field for field in fields if field[0] != b'Connection'])
    end = b'\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' % len(body)
    return b''.join((status_line(status), lines, clock.lines, end, body))


_FATAL: Final = frozenset((400, 408, 413, 414, 417, 431))
"""Statuses after which nothing of an HTTP/1 connection is read any more."""


def error_parts(status: int, reason: str = '') -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return fields and body of a response in place of the application's.

    `reason` is one of ours, never a client's words. Every core and both versions answer the same fault
    with these bytes.
    """
    fields = [(b'Content-Type', b'text/plain; charset=utf-8')]
    if status in _FATAL:
        fields.append((b'Connection', b'close'))
    text = f'{status} {phrase(status)}'.rstrip()
    body = f'{text}: {reason}\n' if reason else f'{text}\n'
    return fields, body.encode()
