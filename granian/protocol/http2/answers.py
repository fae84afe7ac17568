"""The field lists of responses, for both engines: what a core asks for, as HTTP/2 sends it."""

from __future__ import annotations

from typing import Final

from ..error_pages import error_parts
from ..interface import Headers, InvalidResponse
from ..limits import Clock
from ..response import (
    HAS_DATE,
    HAS_SERVER,
    TRAILERS_REFUSED,
    final_status,
    has_body,
    read_pairs,
    response_field,
    stated_length,
)
from .streams import Stream

Fields = list[tuple[bytes, bytes]]

_LENGTHS: Final = [str(length).encode() for length in range(2048)]


def head_fields(
    stream: Stream, status: int, headers: Headers, size: int | None, clock: Clock
) -> tuple[Fields, bool]:
    """Return the field list of a final response, and whether it may be remembered.

    The stream then knows what body may follow. `size`: of a body known whole, else None.
    """
    if stream.responded:
        raise InvalidResponse('a second response on one stream')
    status = final_status(status)
    section = read_pairs(headers)
    stream.no_body = not has_body(status, stream.method)
    length = stated_length(status, section.length, size)
    if size is not None and not stream.no_body:
        if length not in (-1, size):
            raise InvalidResponse(f'body of {size} bytes where Content-Length says {length}')
        length = size
    elif stream.method == 'HEAD' and size and length < 0 and has_body(status, ''):
        length = size
    fields: Fields = [(b':status', b'%d' % status), *section.pairs]
    if not section.flags & HAS_DATE:
        fields.append((b'date', clock.date))
    if not section.flags & HAS_SERVER and clock.server:
        fields.append((b'server', clock.server))
    if length >= 0:
        fields.append((b'content-length', _LENGTHS[length] if length < 2048 else b'%d' % length))
    stream.responded = True
    stream.promised = None if length < 0 else length
    return fields, section.known


def trailer_fields(trailers: Headers) -> Fields:
    """Check an application's trailers and return them. Raises InvalidResponse."""
    section = read_pairs(trailers)
    for name, _ in trailers:
        if response_field(name).raw in TRAILERS_REFUSED:
            raise InvalidResponse(f'{response_field(name).raw.decode()} is not allowed in trailers')
    return section.pairs


def refusal_fields(status: int, reason: str, clock: Clock) -> tuple[Fields, bytes]:
    """Return field list and body of a refusal of ours."""
    given, body = error_parts(status, reason)
    fields = [(name.lower(), value) for name, value in given if name != b'Connection']
    fields = [(b':status', b'%d' % status), *fields, (b'content-length', b'%d' % len(body))]
    fields.append((b'date', clock.date))
    if clock.server:
        fields.append((b'server', clock.server))
    return fields, body
