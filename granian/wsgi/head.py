"""What start_response is given: the status line, read once and remembered, and the header list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from ..stream import InvalidResponse

Pair = tuple[str, str]

STATUS = re.compile(r'([2-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?')


PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


class Statuses(dict[str, tuple[int, 'bytes | None']]):
    """'200 OK' → (200, b'OK'). Raises InvalidResponse for what is no final status."""

    LIMIT = 256

    def __missing__(self, status: Any) -> tuple[int, bytes | None]:
        if not isinstance(status, str):
            raise InvalidResponse(
                f"status must be a str like '200 OK', not {type(status).__name__} ({status!a})"
            )
        match = STATUS.fullmatch(status)
        if match is None:
            raise InvalidResponse(f"status {status!a} is not like '200 OK' (100 to 199 are not final)")
        code = int(match[1])
        reason = None if match[2] is None else match[2].strip(' \t').encode('latin-1')
        # The registered phrase is the protocol's own: without it the status line is found sooner.
        parsed = code, None if reason == PHRASES.get(code) else reason
        if len(self) >= self.LIMIT:
            self.clear()
        self[str(status)] = parsed
        return parsed


def header_list(headers: Any) -> list[Pair]:
    """What start_response was given, as a list of pairs of str. The protocol checks each when it is sent.

    Anything that yields tuples will do, though PEP 3333 says list. Raises InvalidResponse.
    """
    if not isinstance(headers, Iterable) or isinstance(headers, (str, bytes)):
        raise InvalidResponse(f'response headers must be a list of tuples, not {type(headers).__name__}')
    pairs: list[Pair] = list(headers)
    for item in pairs:
        if not isinstance(item, tuple) or len(item) != 2:
            raise InvalidResponse(f'a response header must be a tuple (name, value) of str, not {item!a}')
        if not isinstance(item[0], str):
            raise InvalidResponse(f'response header name {item[0]!a} is not a str')
    return pairs


def content_length(headers: list[Pair]) -> int | None:
    """What the application has declared; None where it has not, or not a number (the protocol objects)."""
    try:
        for name, value in headers:
            if len(name) == 14 and name.lower() == 'content-length':
                return int(value) if value.isdecimal() and len(value) <= 20 else None
    except (TypeError, ValueError, AttributeError):
        pass  # no pair of str: the protocol says which
    return None
