"""A stream that keeps the port's promises and writes down what it was told."""

from __future__ import annotations

from typing import Any

from granian.protocol.head import Field, Head
from granian.protocol.response import field_value, read_fields, response_field
from granian.stream import ClientDisconnected, InvalidResponse, RequestBodyError
from granian.wsgi import make_handler

DROPPED = ('proxy',)


def field(name: str) -> Field:
    lower = name.lower()
    if lower in ('content-type', 'content-length'):
        key: str | None = lower.upper().replace('-', '_')
    elif '_' in lower or lower in DROPPED:
        key = None
    else:
        key = 'HTTP_' + lower.upper().replace('-', '_')
    return Field(lower, lower.encode(), key, 0)


HOST = (('Host', 'example.com'),)


def make_head(method='GET', target='/', headers=HOST, version='1.1', chunked=False) -> Head:
    head = Head.__new__(Head)
    head.method = method
    head.target = target
    head.path, _, head.query = target.partition('?')
    head.version = version
    head.fields = [(field(name), value) for name, value in headers]
    head.authority = head.scheme = head.upgrade = None
    lengths = [value for name, value in headers if name.lower() == 'content-length']
    head.content_length = int(lengths[0]) if lengths else None
    head.chunked = chunked
    head.keep_alive = True
    head.expects_continue = False
    return head


class FakeStream:
    """Bodies come from `pieces` (an exception among them is raised); `gone_after` body bytes
    the client leaves."""

    def __init__(self, head: Head | None = None, body: bytes = b'', pieces: list[Any] | None = None) -> None:
        self.head = head or make_head()
        self.scheme = 'http'
        self.client: tuple[str, int] | None = ('192.0.2.7', 54321)
        self.server: tuple[str, int] | str = ('127.0.0.1', 8000)
        self.tls = None
        self.memo: dict[str, Any] = {}
        self.body = body
        self.complete = pieces is None
        self.body_size: int | None = None
        self.take_socket = None
        self.pieces = list(pieces or ())
        self.status = 0
        self.bytes_sent = 0
        self.reads = 0
        self.reason: bytes | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.data = b''
        self.log: list[str] = []
        self.ended = self.aborted = False
        self.gone_after: int | None = None
        self.left: int | None = None
        self.informational: list[Any] = []

    # what a test asks

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.encode()]
        assert len(found) < 2
        return found[0].decode('latin-1') if found else None

    # the port

    def read(self) -> bytes:
        self.reads += 1
        if not self.pieces:
            return b''
        piece = self.pieces.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def send_informational(self, status, headers) -> None:
        assert not self.status
        self.informational.append((status, as_bytes(headers)))

    def send_response(self, status, headers, reason=None) -> None:
        assert not self.status, 'a second response'
        assert not self.aborted
        assert type(status) is int
        self.status, self.headers, self.reason = status, as_bytes(headers), reason
        length = self.header('content-length')
        self.left = None if length is None or self.bodiless else int(length)
        self.log.append('head')

    @property
    def bodiless(self) -> bool:
        return self.head.method == 'HEAD' or self.status in (204, 304)

    def send_data(self, data) -> None:
        assert self.status
        assert not self.ended
        assert isinstance(data, bytes)
        assert data
        if self.gone_after is not None and self.bytes_sent + len(data) > self.gone_after:
            raise ClientDisconnected('gone')
        if self.bodiless:
            return
        fits = data if self.left is None else data[: self.left]
        if self.left is not None:
            self.left -= len(fits)
        self.data += fits
        self.bytes_sent += len(fits)
        self.log.append('data')
        if len(fits) < len(data):
            raise InvalidResponse('more than Content-Length')

    def send_end(self, trailers=()) -> None:
        assert self.status
        assert not self.ended
        if self.left:
            raise InvalidResponse('less than Content-Length')
        self.ended = True
        self.log.append('end')

    def send_file(self, file, offset, count) -> None:
        import os

        assert not self.bodiless
        self.log.append(f'file {offset} {count}')
        self.send_data(os.pread(file.fileno(), count, offset))

    def respond(self, status, headers, body, reason=None) -> None:
        headers = as_bytes(headers)
        if not any(name.lower() == b'content-length' for name, _ in headers) and status not in (204, 304):
            headers = [*headers, (b'content-length', b'%d' % len(body))]
        elif status not in (204, 304) and self.head.method != 'HEAD':
            declared = next(int(value) for name, value in headers if name.lower() == b'content-length')
            if declared != len(body):
                raise InvalidResponse('Content-Length and body differ')
        self.send_response(status, headers, reason)
        if body:
            self.send_data(body)
        self.send_end()
        self.log = ['respond']

    def abort(self) -> None:
        self.aborted = True
        self.log.append('abort')


def as_bytes(headers) -> list[tuple[bytes, bytes]]:
    """Return headers as the protocol room checks and sends them."""
    read_fields(headers)
    return [(response_field(name).wire, field_value(name, value)) for name, value in headers]


class Body:
    """An iterable that counts its closings, and may fail at the end."""

    def __init__(self, *items: Any, error: BaseException | None = None, close_error=None) -> None:
        self.items, self.error, self.close_error = items, error, close_error
        self.closed = 0

    def __iter__(self):
        yield from self.items
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1
        if self.close_error is not None:
            raise self.close_error


class SizedBody(Body):
    def __len__(self) -> int:
        return len(self.items)


TEXT = [('Content-Type', 'text/plain')]


def returning(result: Any, status='200 OK', headers=TEXT):
    def app(environ, start_response):
        start_response(status, list(headers))
        return result

    return app


def serve(app, stream: FakeStream | None = None, **options) -> FakeStream:
    stream = stream or FakeStream()
    make_handler(app, **{'multithread': True, 'multiprocess': False, **options})(stream)
    return stream


def environ_of(stream: FakeStream | None = None, **options) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response('200 OK', list(TEXT))
        return [b'ok']

    serve(app, stream, **options)
    return seen


__all__ = [
    'TEXT', 'Body', 'ClientDisconnected', 'FakeStream', 'InvalidResponse', 'RequestBodyError', 'SizedBody',
    'environ_of', 'make_head', 'returning', 'serve',
]  # fmt: skip
