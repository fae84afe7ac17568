"""What an RSGI application is told of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, overload
from urllib.parse import unquote

if TYPE_CHECKING:
    from ..protocol.head import Field
    from ..stream import Address, AsyncStream

_T = TypeVar('_T')


class Headers:
    """A request's fields as a mapping: names in lower case, looked up in any; values are str.

    `[]` and `get()` give the first value of a name that is repeated, `get_all()` all of them.
    Iteration, `keys()` and `len()` count names once; `values()` and `items()` hold the repeats,
    a name's values beside each other.
    """

    __slots__ = ('_values',)

    def __init__(self, fields: list[tuple[Field, str]]) -> None:
        values: dict[str, list[str]] = {}
        for field, value in fields:
            name = field.name
            if name in values:
                values[name].append(value)
            else:
                values[name] = [value]
        self._values = values

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: str) -> str:
        values = self._values.get(key) or self._values.get(key.lower())
        if values is None:
            raise KeyError(key)
        return values[0]

    @overload
    def get(self, key: str) -> str | None: ...
    @overload
    def get(self, key: str, default: _T) -> str | _T: ...
    def get(self, key: str, default: Any = None) -> Any:
        values = self._values.get(key) or self._values.get(key.lower())
        return default if values is None else values[0]

    def get_all(self, key: str) -> list[str]:
        return list(self._values.get(key.lower(), ()))

    def keys(self) -> list[str]:
        return list(self._values)

    def values(self) -> list[str]:
        return [value for values in self._values.values() for value in values]

    def items(self) -> list[tuple[str, str]]:
        return [(name, value) for name, values in self._values.items() for value in values]

    def __repr__(self) -> str:
        return f'<Headers {self.items()!r}>'


class Scope:
    """RSGI's scope. All but `proto` and `rsgi_version` is made when it is first asked for."""

    __slots__ = (
        '_stream', 'authority', 'client', 'headers', 'http_version', 'method', 'path', 'proto',
        'query_string', 'scheme', 'server',
    )  # fmt: skip

    rsgi_version = '1.6'
    proto: str
    """'http' or 'ws'."""
    http_version: str
    """'1', '1.1' or '2'."""
    server: str
    """'address:port'; a Unix socket's path."""
    client: str
    """'address:port'; '' on a Unix socket."""
    scheme: str
    method: str
    path: str
    """Percent-decoded, without the query."""
    query_string: str
    """As sent."""
    headers: Headers
    authority: str | None
    """HTTP/2's `:authority`; None before HTTP/2."""

    def __init__(self, stream: AsyncStream, proto: str = 'http') -> None:
        self._stream = stream
        self.proto = proto

    def __getattr__(self, name: str) -> Any:  # a slot that is empty yet
        make = _MAKERS.get(name)
        if make is None:
            raise AttributeError(f'{type(self).__name__!r} object has no attribute {name!r}')
        value = make(self._stream)
        setattr(self, name, value)
        return value

    def __repr__(self) -> str:
        return f'<Scope {self.proto} {self.method} {self.path}>'


def _address(address: Address | str | None) -> str:
    if address is None or isinstance(address, str):
        return address or ''
    host, port = address
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def decoded_path(stream: AsyncStream) -> str:
    path = stream.head.path
    return unquote(path) if '%' in path else path


def _http_version(stream: AsyncStream) -> str:
    version = stream.head.version
    return '1' if version == '1.0' else version


def _authority(stream: AsyncStream) -> str | None:
    return stream.head.authority if stream.head.version == '2' else None


_MAKERS: dict[str, Callable[[AsyncStream], Any]] = {
    'authority': _authority,
    'client': lambda stream: _address(stream.client),
    'headers': lambda stream: Headers(stream.head.fields),
    'http_version': _http_version,
    'method': lambda stream: stream.head.method.upper(),
    'path': decoded_path,
    'query_string': lambda stream: stream.head.query,
    'scheme': lambda stream: stream.scheme,
    'server': lambda stream: _address(stream.server),
}
