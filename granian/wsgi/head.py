"""Arguments of start_response: the status line, parsed once and cached, and the header list."""

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
    """Maps '200 OK' to (200, b'OK'). Raises InvalidResponse unless the status is a final one."""

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
        # The protocol adds the registered phrase itself, from a table that is faster without it.
        parsed = code, None if reason == PHRASES.get(code) else reason
        if len(self) >= self.LIMIT:
            self.clear()
        self[str(status)] = parsed
        return parsed


def header_list(headers: Any) -> list[Pair]:
    """Return the headers given to start_response as a list of tuples.

    PEP 3333 asks for a list of tuples; any iterable of tuples or lists is taken. Raise InvalidResponse
    for anything else. The protocol checks names and values when they are sent.
    """
    if not isinstance(headers, Iterable) or isinstance(headers, (str, bytes)):
        raise InvalidResponse(f'response headers must be a list of tuples, not {type(headers).__name__}')
    pairs: list[Pair] = []
    for item in headers:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise InvalidResponse(f'a response header must be a tuple (name, value) of str, not {item!a}')
        if not isinstance(item[0], str):
            raise InvalidResponse(f'response header name {item[0]!a} is not a str')
        pairs.append((item[0], item[1]))
    return pairs


def content_length(headers: list[Pair]) -> int | None:
    """Return the Content-Length that the application has set, None if it is missing or invalid."""
    try:
        for name, value in headers:
            if len(name) == 14 and name.lower() == 'content-length':
                return int(value) if value.isdecimal() and len(value) <= 20 else None
    except (TypeError, ValueError, AttributeError):
        pass  # not pairs of str: the protocol refuses them with a message
    return None
