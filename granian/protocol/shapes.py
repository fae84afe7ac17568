"""Heads that come again: the names a client sends, in its order, as one regular expression.

A client sends the same names in the same order request after request; only values differ. Once
a connection has sent two heads of one shape, the next is matched whole, in one call: 2 µs for a
browser's twelve fields where `parse_head` takes 4. No value is remembered. A shape takes a
*subset* of what `parse_head` takes, and gives the same Head: whatever is unusual (white space
around a value, a second Host, anything that bears on framing but Content-Length) does not
match, and goes to `parse_head`, which alone refuses. A test holds the two together.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any, Final

from .head import (
    FORBIDDEN,
    HOST,
    HOSTS,
    ROLE_CONNECTION,
    ROLE_CONTENT_LENGTH,
    ROLE_HOST,
    ROLE_NONE,
    ROLE_SINGLETON,
    Field,
    Head,
    field_for,
)

_MAX_SHAPES: Final = 128
_MAX_NAMES: Final = 48
_MAX_LENGTH: Final = 1024
"""Of all names together; a pattern takes about eight bytes of memory for each character."""
_ASKED_ENOUGH: Final = 16
"""A pattern takes a millisecond to compile: not before this many askings, two heads each at least,
so that a client that sends ever new shapes costs no more than any other that makes us work."""

_REQUEST_LINE: Final = r"(?!CONNECT )([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (/[!\"$-~]*) HTTP/1\.1"
# White space before a line's end is looked for after it: a literal must follow the value for its
# backtracking to be quick. There is one step back over each value and no more, so a head that does
# not match costs time in proportion to its length.
_LINE_END: Final = r'\r\n(?<![ \t]\r\n)'
_LAST_END: Final = r'(?<![ \t])'
_VALUE: Final = r'([^ \t\r][^\r]*)'
_VALUES: Final = {
    ROLE_NONE: _VALUE,
    ROLE_SINGLETON: _VALUE,
    ROLE_HOST: _VALUE,
    ROLE_CONTENT_LENGTH: '([0-9]{1,20})',
    ROLE_CONNECTION: '(keep-alive)',  # what every browser says, and in HTTP/1.1 it means nothing
}


class ShapedHead(Head):
    """A head read by a shape. Its fields are put together only when somebody asks for them."""

    _fields: list[tuple[Field, str]] | None = None

    def __init__(
        self, method: str, target: str, path: str, query: str, names: list[Field], values: list[str]
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self._names = names
        self._values = values
        # What these heads have of the class anyway: every request asks, and Python 3.11 finds an
        # instance's own attribute four times as fast.
        self.version = '1.1'
        self.plain = self.keep_alive = True
        self.content_length = self.upgrade = None

    @property
    def fields(self) -> list[tuple[Field, str]]:  # type: ignore[override]
        # Not functools.cached_property: before Python 3.12 that takes a lock.
        fields = self._fields
        if fields is None:
            fields = self._fields = list(zip(self._names, self._values))
        return fields

    def raw_fields(self) -> list[tuple[bytes, bytes]]:
        return [(field.raw, value.encode('latin-1')) for field, value in zip(self._names, self._values)]


class RawHead(ShapedHead):
    """As ShapedHead, for an application that takes the fields as bytes, or often not at all: until
    somebody asks, the values are where they are in the block."""

    def __init__(
        self, method: str, target: str, path: str, query: str, names: list[Field], raw_names: list[bytes],
        match: re.Match[bytes],
    ) -> None:  # fmt: skip
        super().__init__(method, target, path, query, names, [])
        self._raw_names = raw_names
        self._match = match

    @property
    def fields(self) -> list[tuple[Field, str]]:  # type: ignore[override]
        fields = self._fields
        if fields is None:
            values = [value.decode('latin-1') for value in self._match.groups()[2:]]
            fields = self._fields = list(zip(self._names, values))
        return fields

    def raw_fields(self) -> list[tuple[bytes, bytes]]:
        return list(zip(self._raw_names, self._match.groups()[2:]))


class Shape:
    """The names of a head in order."""

    __slots__ = ('_controls', '_environ_keys', '_host', '_length', '_match', '_names', '_raw_names', 'read')

    read: Callable[[bytes | bytearray], Head | None]
    """What `parse_head` makes of a block of bytes; None where that must be asked."""

    def __init__(self, names: tuple[str, ...], fields: list[Field], raw: bool = False) -> None:
        """`names` as sent, each a token; `fields` what they are; `raw`: the heads are RawHeads.
        ValueError where no head of these names is for a shape."""
        roles = [field.role for field in fields]
        known = [field for field in fields if field.role]
        if ROLE_HOST not in roles or len(set(known)) != len(known) or not _VALUES.keys() >= set(roles):
            raise ValueError('a head of these names needs the long way')
        lines = [
            rf'{_LINE_END}{re.escape(name)}: {_VALUES[role]}' for name, role in zip(names, roles, strict=True)
        ]
        pattern = _REQUEST_LINE + ''.join(lines) + _LAST_END
        self._match: Any = re.compile(pattern.encode() if raw else pattern).fullmatch
        self.read = self._read_raw if raw else self._read
        self._raw_names = [field.raw for field in fields]
        self._controls = 2 * len(names)
        self._names = fields
        keys = [field.environ_key for field in fields]
        # None: a name that WSGI must not see; twice the same: values to be joined. Those go one by one.
        self._environ_keys = [key for key in keys if key is not None]
        if len(set(self._environ_keys)) != len(keys):
            self._environ_keys = []
        self._host = roles.index(ROLE_HOST)
        self._length = roles.index(ROLE_CONTENT_LENGTH) if ROLE_CONTENT_LENGTH in roles else -1

    def _read(self, block: bytes | bytearray) -> Head | None:
        match = self._match(block.decode('latin-1'))
        # The pattern has a CR LF for each line. With no other control byte, no value has a line
        # end in it, nor is there a blank line.
        if match is None or len(block.translate(None, FORBIDDEN)) != len(block) - self._controls:
            return None
        method, target, *values = match.groups()
        host = values[self._host]
        if host not in HOSTS and HOST(host) is None:
            return None
        path, _, query = target.partition('?')
        head = ShapedHead(method, target, path, query, self._names, values)
        if self._environ_keys:
            head.environ = zip(self._environ_keys, values)
        if self._length >= 0:
            head.content_length = int(values[self._length])
        return head

    def _read_raw(self, block: bytes | bytearray) -> Head | None:
        """`_read` on bytes: only what is wanted as text is decoded."""
        match = self._match(block)
        if match is None or len(block.translate(None, FORBIDDEN)) != len(block) - self._controls:
            return None
        method, raw_target, raw_host = match.group(1, 2, self._host + 3)
        host = raw_host.decode('latin-1')
        if host not in HOSTS and HOST(host) is None:
            return None
        target = raw_target.decode()
        path, _, query = target.partition('?')
        head = RawHead(method.decode(), target, path, query, self._names, self._raw_names, match)
        if self._length >= 0:
            head.content_length = int(match[self._length + 3])
        return head


# Shared by the worker's threads: each use is one operation of the dictionary, and what two threads
# may do at once is to make a shape twice.
_shapes: dict[tuple[bool, tuple[str, ...]], Shape | None] = {}
_asked: dict[tuple[bool, tuple[str, ...]], int] = {}


def shape_of(block: bytes | bytearray, raw: bool = False) -> Shape | None:
    """The shape of a head that `parse_head` has taken; None where it has none, or none yet."""
    lines = block.decode('latin-1').split('\r\n')
    names = tuple([line.partition(':')[0] for line in lines[1:]])
    key = raw, names
    shape = _shapes.get(key)
    if shape is not None or key in _shapes:
        return shape
    if len(names) > _MAX_NAMES or sum(map(len, names)) > _MAX_LENGTH:
        return None
    asked = _asked.get(key, 0) + 1
    if asked < _ASKED_ENOUGH:
        # Both tables begin anew when they are full: shapes that are in use come back soon.
        if len(_asked) >= _MAX_SHAPES:
            _asked.clear()
        _asked[key] = asked
        return None
    _asked.pop(key, None)
    if len(_shapes) >= _MAX_SHAPES:
        _shapes.clear()
    with contextlib.suppress(ValueError):
        shape = Shape(names, [field_for(name) for name in names], raw)
    _shapes[key] = shape
    return shape
