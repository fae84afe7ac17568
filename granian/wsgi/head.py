"""What start_response is given, checked and encoded: the status line and the header tuples.

Both go through bounded tables of what has been seen, since an application sends the same
few over and over: a header that is in the table costs one look-up.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

from ..stream import InvalidResponse

logger = logging.getLogger('_granian')

Pair = tuple[bytes, bytes]

STATUS = re.compile(r'([2-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?')
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
CONTROLS = re.compile(r'[\x00-\x08\x0a-\x1f\x7f]')

HOP_BY_HOP = frozenset(
    (b'connection', b'keep-alive', b'proxy-connection', b'te', b'transfer-encoding', b'upgrade')
)
"""An application must not send these (PEP 3333, "Other HTTP Features"); the protocol drops
them. We say so once for each name. Only `Connection: close` is heeded."""


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
        reason = match[2]
        parsed = int(match[1]), None if reason is None else reason.strip(' \t').encode('latin-1')
        if len(self) >= self.LIMIT:
            self.clear()
        self[str(status)] = parsed
        return parsed


class Names(dict[Any, bytes]):
    """'Name' → b'Name', a token. Raises InvalidResponse."""

    LIMIT = 1024

    def __missing__(self, name: Any) -> bytes:
        if not isinstance(name, str) or not TOKEN.fullmatch(name):
            raise InvalidResponse(f'response header name {name!a} is not a str of token characters')
        encoded = name.encode('ascii')
        if len(self) >= self.LIMIT:
            self.clear()
        self[name] = encoded
        return encoded


class Fields(dict[Any, Pair]):
    """('Name', 'value') → (b'Name', b'value'), checked. Raises InvalidResponse that names the header."""

    LIMIT = 1024
    LONGEST = 256

    def __init__(self) -> None:
        super().__init__()
        self._names = Names()
        self._warned: set[bytes] = set()

    def __missing__(self, item: Any) -> Pair:
        pair = self.encode(item)
        name = pair[0].lower()
        if name in HOP_BY_HOP and name not in self._warned and pair[1].lower() != b'close':
            self._warned.add(name)
            logger.warning("The application sets the header %s, which is the server's: ignored", item[0])
        # Cookies are one client's own: neither worth keeping nor right to keep.
        if len(item[1]) <= self.LONGEST and name != b'set-cookie':
            if len(self) >= self.LIMIT:
                self.clear()
            self[item] = pair
        return pair

    def all(self, headers: Any) -> list[Pair]:
        """Each of them; anything that yields tuples will do, though PEP 3333 says list."""
        if not isinstance(headers, Iterable):
            kind = type(headers).__name__
            raise InvalidResponse(f'response headers must be a list of tuples, not {kind}')
        return [self.encode(item) for item in headers]

    def encode(self, item: Any) -> Pair:
        if not isinstance(item, tuple) or len(item) != 2:
            raise InvalidResponse(f'a response header must be a tuple (name, value) of str, not {item!a}')
        name, value = item
        encoded = self._names[name]
        if not isinstance(value, str):
            raise InvalidResponse(
                f'response header {name}: the value must be a str, not {type(value).__name__} ({value!a})'
            )
        if not value.isprintable() and CONTROLS.search(value):
            raise InvalidResponse(f'response header {name}: the value {value!a} has a control character')
        try:
            return encoded, value.strip(' \t').encode('latin-1')
        except UnicodeEncodeError:
            raise InvalidResponse(
                f'response header {name}: the value {value!a} has characters beyond latin-1'
            ) from None


def content_length(headers: list[Pair]) -> int | None:
    """What the application has declared; None where it has not, or not a number (the protocol objects)."""
    for name, value in headers:
        if len(name) == 14 and name.lower() == b'content-length':
            return int(value) if value.isdigit() and len(value) <= 20 else None
    return None
