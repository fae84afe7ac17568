"""RSGI's scope and headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar, overload
from urllib.parse import unquote

if TYPE_CHECKING:
    from ..protocol.head import Field
    from ..stream import Address, AsyncStream

_T = TypeVar('_T')


class Headers:
    """Header fields of a request as a mapping. Keys are lower case, lookups take any case, values are str.

    `[]` and `get()` return the first value of a repeated name, `get_all()` returns all values.
    Iteration, `keys()` and `len()` count a name once; `values()` and `items()` include repeats.
    """

    __slots__ = ('_fields', '_first')

    def __init__(self, fields: list[tuple[Field, str]]) -> None:
        self._fields = fields
        self._first = {field.name: value for field, value in reversed(fields)}

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._first

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, key: str) -> str:
        try:
            return self._first[key.lower()]
        except KeyError:
            raise KeyError(key) from None

    @overload
    def get(self, key: str) -> str | None: ...
    @overload
    def get(self, key: str, default: _T) -> str | _T: ...
    def get(self, key: str, default: Any = None) -> Any:
        return self._first.get(key.lower(), default)

    def get_all(self, key: str) -> list[str]:
        name = key.lower()
        return [value for field, value in self._fields if field.name == name]

    def keys(self) -> list[str]:
        return list(dict.fromkeys(field.name for field, _ in self._fields))

    def values(self) -> list[str]:
        return [value for _, value in self._fields]

    def items(self) -> list[tuple[str, str]]:
        return [(field.name, value) for field, value in self._fields]

    def __repr__(self) -> str:
        return f'<Headers {self.items()!r}>'


class Scope:
    """RSGI's scope. Every attribute is computed when it is read."""

    __slots__ = ('_head', '_headers', '_stream', 'proto')

    rsgi_version = '1.6'

    def __init__(self, stream: AsyncStream, proto: str = 'http') -> None:
        self._stream = stream
        self._head = stream.head
        self._headers: Headers | None = None
        self.proto = proto
        """'http' or 'ws'."""

    @property
    def http_version(self) -> str:
        """'1', '1.1' or '2'."""
        version = self._head.version
        return '1' if version == '1.0' else version

    @property
    def server(self) -> str:
        """'address:port'; a Unix socket's path."""
        return _address(self._stream.server)

    @property
    def client(self) -> str:
        """'address:port'; '' on a Unix socket."""
        return _address(self._stream.client)

    @property
    def scheme(self) -> str:
        return self._stream.scheme

    @property
    def method(self) -> str:
        return self._head.method.upper()

    @property
    def path(self) -> str:
        """Percent-decoded, without the query."""
        path = self._head.path
        return unquote(path) if '%' in path else path

    @property
    def query_string(self) -> str:
        """Query as the client sent it."""
        return self._head.query

    @property
    def headers(self) -> Headers:
        headers = self._headers
        if headers is None:
            headers = self._headers = Headers(self._head.fields)
        return headers

    @property
    def authority(self) -> str | None:
        """HTTP/2's `:authority`; None before HTTP/2."""
        return self._head.authority if self._head.version == '2' else None

    def __repr__(self) -> str:
        return f'<Scope {self.proto} {self.method} {self.path}>'


def _address(address: Address | str | None) -> str:
    if address is None or isinstance(address, str):
        return address or ''
    host, port = address
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'
