"""The adapter over the real HTTP/1: bytes in, bytes out, no socket."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from wsgiref.validate import validator

import h11

from granian.protocol.events import Data, EndOfRequest, Refused, Request, RequestFailed
from granian.protocol.http1 import Http1
from granian.protocol.limits import Clock, Limits
from granian.stream import RequestBodyError
from granian.wsgi import make_handler
from tests.support.rows import rows

CHUNKED = b'POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n'


class WireStream:
    """The port over an Http1 that is fed from a list of pieces."""

    def __init__(self, wire: Wire, request: Request) -> None:
        self.body_size: int | None = None
        self.take_socket = None
        self.memo: dict[str, object] = {}
        self.wire, self.head = wire, request.head
        self.body, self.complete = request.body, request.complete
        self.scheme, self.client, self.server, self.tls = 'http', ('192.0.2.7', 4), ('127.0.0.1', 80), None
        self.status = self.bytes_sent = 0
        self.first = request.body

    def read(self) -> bytes:
        piece, self.first = self.first, b''
        if piece:
            return piece
        wire = self.wire
        wire.out += wire.protocol.body_wanted(1)
        while not self.complete:
            event = wire.protocol.next_event()
            if isinstance(event, Data):
                return event.data
            if isinstance(event, EndOfRequest):
                self.complete = True
            elif isinstance(event, RequestFailed):
                raise RequestBodyError(event.reason)
            else:
                wire.feed()
        return b''

    def send_informational(self, status, headers):
        self.wire.out += self.wire.protocol.send_informational(1, status, headers)

    def send_response(self, status, headers, reason=None):
        self.wire.out += self.wire.protocol.send_response(1, status, headers, reason)
        self.status = status

    def send_data(self, data):
        self.wire.out += self.wire.protocol.send_data(1, data)

    def send_end(self, trailers=()):
        self.wire.out += self.wire.protocol.send_end(1, trailers)

    def send_file(self, file, offset, count):
        file.seek(offset)
        self.send_data(file.read(count))

    def respond(self, status, headers, body, reason=None):
        self.wire.out += self.wire.protocol.respond(1, status, headers, body, reason)
        self.status = status

    def abort(self):
        self.wire.out += self.wire.protocol.abort(1)


class Wire:
    def __init__(self, *pieces: bytes) -> None:
        self.protocol = Http1(Limits(), Clock())
        self.pieces = list(pieces)
        self.out = b''
        self.eof = False

    def feed(self) -> bool:
        if not self.pieces:
            assert not self.eof, 'something waits for bytes after the end of input'
            self.eof = True
            self.protocol.receive_eof()
            return False
        self.protocol.receive_data(self.pieces.pop(0))
        return True

    def run(self, app: Callable[..., Any], **options: Any) -> bytes:
        handler = make_handler(app, multithread=False, multiprocess=False, **options)
        fed = True
        while not self.protocol.must_close:
            event = self.protocol.next_event()
            if isinstance(event, Request):
                handler(WireStream(self, event))
            elif isinstance(event, Refused):
                self.out += event.response
            elif event is None:
                if not fed:
                    break
                fed = self.feed()
        return self.out


def exchange(app: Callable[..., Any], *pieces: bytes, **options: Any) -> bytes:
    return Wire(*pieces).run(app, **options)


def echo(environ, start_response):
    body = environ['wsgi.input'].read(-1)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [environ['REQUEST_METHOD'].encode(), b' ', environ['PATH_INFO'].encode('latin-1'), b' ', body]


def parts(response: bytes, method: str = 'GET') -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Return status line, headers and body (as far as it arrived) as a client reads them."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target='/', headers=[('Host', 'h')]))
    client.send(h11.EndOfMessage())
    client.receive_data(response)
    client.receive_data(b'')
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b''
    try:
        while isinstance(event := client.next_event(), h11.Data):
            body += event.data
    except h11.RemoteProtocolError:
        pass
    return b'HTTP/1.1 %d %b' % (head.status_code, head.reason), dict(head.headers), body


def test_a_get():
    line, headers, body = parts(exchange(validator(echo), b'GET /a%20b HTTP/1.1\r\nHost: h\r\n\r\n'))
    assert (line, body) == (b'HTTP/1.1 200 OK', b'GET /a b ')
    assert headers[b'content-type'] == b'text/plain'


@rows('size', [1, 7, 1000])
@rows(
    'request_',
    [
        b'POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello\nworld',
        CHUNKED + b'6\r\nhello\n\r\n5\r\nworld\r\n0\r\n\r\n',
        CHUNKED + b'b\r\nhello\nworld\r\n0\r\nX: y\r\n\r\n',
        b'POST /x HTTP/1.0\r\nContent-Length: 11\r\n\r\nhello\nworld',
    ],
)
def test_a_body_in_any_split(request_, size, caplog):
    pieces = [request_[start : start + size] for start in range(0, len(request_), size)]
    line, _, body = parts(exchange(validator(echo), *pieces))
    assert not caplog.records
    assert (line, body) == (b'HTTP/1.1 200 OK', b'POST /x hello\nworld')


def test_100_continue_comes_with_the_first_read():
    wire = Wire(b'POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n', b'ok')

    def app(environ, start_response):
        assert wire.out == b''
        assert environ['wsgi.input'].read(1) == b'o'
        assert wire.out == b'HTTP/1.1 100 Continue\r\n\r\n'
        return echo(environ, start_response)

    assert wire.run(app).endswith(b'POST /x k')


@rows(
    'request_',
    [
        b'POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\nhello',
        CHUNKED + b'6\r\nhello',
        CHUNKED + b'5\r\nhello\r\nzz\r\n',
        CHUNKED + b'5\r\nhelloX\r\n0\r\n\r\n',
    ],
)
def test_a_broken_body_is_a_400(request_, caplog):
    line, headers, _ = parts(exchange(echo, request_))
    assert line == b'HTTP/1.1 400 Bad Request'
    assert headers[b'connection'] == b'close'
    assert not [record for record in caplog.records if record.levelname != 'DEBUG']


def test_pipelined_requests_in_order_and_each_closed_before_the_next():
    happened = []

    class Closing:
        def __init__(self, path):
            self.path = path

        def __iter__(self):
            happened.append('iterate ' + self.path)
            yield self.path.encode()

        def close(self):
            happened.append('close ' + self.path)

    def app(environ, start_response):
        happened.append('call ' + environ['PATH_INFO'])
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return Closing(environ['PATH_INFO'])

    out = exchange(app, b'GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n')
    assert out.index(b'/1') < out.index(b'/2')
    assert happened == [f'{what} /{number}' for number in (1, 2) for what in ('call', 'iterate', 'close')]


def test_fields():
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response('204 No Content', [])
        return []

    exchange(
        app,
        b'GET http://other:81/p?q HTTP/1.1\r\nHost: h\r\nX_Evil: 1\r\nProxy: 1\r\nA: 1\r\na: 2\r\n'
        b'Cookie: a=1\r\nCookie: b=2\r\nB: caf\xe9\r\n\r\n',
    )
    assert seen['HTTP_HOST'] == 'other:81'
    assert (seen['PATH_INFO'], seen['QUERY_STRING']) == ('/p', 'q')
    assert seen['REQUEST_URI'] == 'http://other:81/p?q'
    assert (seen['HTTP_A'], seen['HTTP_COOKIE'], seen['HTTP_B']) == ('1,2', 'a=1; b=2', 'caf\xe9')
    assert not {'HTTP_X_EVIL', 'HTTP_PROXY', None} & set(seen)


def test_server_wide_options():
    line, _, body = parts(exchange(validator(echo), b'OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n'))
    assert (line, body) == (b'HTTP/1.1 200 OK', b'OPTIONS  ')


def test_the_prefix():
    get = b'GET %b HTTP/1.1\r\nHost: h\r\n\r\n'
    assert parts(exchange(echo, get % b'/p/x', url_path_prefix='/p'))[2] == b'GET /x '
    assert parts(exchange(echo, get % b'/px', url_path_prefix='/p'))[0] == b'HTTP/1.1 404 Not Found'


@rows('version', [b'1.0', b'1.1'])
@rows(
    'make',
    [
        lambda: [b'hello'],
        lambda: [b'he', b'llo'],
        lambda: io.BytesIO(b'hello'),
        lambda: iter([b'', b'hello']),
    ],
    ids=['list', 'two', 'file', 'iterator'],
)
def test_framing(version, make):
    result = make()

    def app(environ, start_response):
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return result

    _, headers, body = parts(exchange(app, b'GET / HTTP/' + version + b'\r\nHost: h\r\n\r\n'))
    if isinstance(result, list):
        assert (headers[b'content-length'], body) == (b'5', b'hello')
    elif version == b'1.0':
        assert (headers[b'connection'], body) == (b'close', b'hello')
    else:
        assert (headers[b'transfer-encoding'], body) == (b'chunked', b'hello')


@rows('declared', ['4', '5', '6'])
@rows('kind', [list, iter, tuple])
def test_content_length_against_the_body(declared, kind, caplog):
    def app(environ, start_response):
        start_response('200 OK', [('Content-Length', declared)])
        return kind([b'hello'])

    out = exchange(app, b'GET / HTTP/1.1\r\nHost: h\r\n\r\n')
    line, headers, body = parts(out)
    if declared == '6' and kind is not iter:
        assert line == b'HTTP/1.1 500 Internal Server Error'
    else:
        assert (line, headers[b'content-length']) == (b'HTTP/1.1 200 OK', declared.encode())
        assert body == b'hello'[: int(declared)]
    assert len(caplog.records) == (declared != '5')


@rows('status', ['204 No Content', '304 Not Modified'])
@rows('headers', [[], [('Content-Length', '5')]])
@rows('body', [[], [b''], [b'hello'], [b'hel', b'lo']])
@rows('kind', [list, iter])
def test_no_body(status, headers, body, kind, caplog):
    def app(environ, start_response):
        start_response(status, list(headers))
        return kind(body)

    out = exchange(app, b'GET / HTTP/1.1\r\nHost: h\r\n\r\n')
    line, fields, _ = parts(out)
    assert line == b'HTTP/1.1 ' + status.encode()
    assert out.endswith(b'\r\n\r\n')
    assert b'transfer-encoding' not in fields
    assert b'content-length' not in fields or (status[0:3] == '304' and headers)
    assert not caplog.records


@rows('body', [[], [b'hello'], [b'he', b'llo']])
@rows('kind', [list, iter])
@rows('headers', [[], [('Content-Length', '5')]])
def test_head(body, kind, headers, caplog):
    def app(environ, start_response):
        start_response('200 OK', list(headers))
        return kind(body)

    out = exchange(app, b'HEAD / HTTP/1.1\r\nHost: h\r\n\r\n')
    assert out.endswith(b'\r\n\r\n')
    _, fields, _ = parts(out, 'HEAD')
    if headers or (body and kind is list):
        assert fields[b'content-length'] == b'5'
    else:
        assert b'content-length' not in fields
    assert not caplog.records


def test_an_exception_keeps_the_connection():
    def app(environ, start_response):
        if environ['PATH_INFO'] == '/1':
            raise ValueError
        return echo(environ, start_response)

    out = exchange(app, b'GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n')
    assert out.startswith(b'HTTP/1.1 500')
    assert out.endswith(b'GET /2 ')


def test_hop_by_hop_headers_do_not_get_out():
    def app(environ, start_response):
        start_response(
            '200 OK', [('Transfer-Encoding', 'chunked'), ('Connection', 'close'), ('Upgrade', 'x')]
        )
        return [b'hello']

    _, headers, body = parts(exchange(app, b'GET / HTTP/1.1\r\nHost: h\r\n\r\n'))
    assert (headers[b'content-length'], headers[b'connection'], body) == (b'5', b'close', b'hello')
    assert not {b'transfer-encoding', b'upgrade'} & set(headers)


def test_early_hints():
    def app(environ, start_response):
        environ['wsgi.early_hints']([('Link', '</a.css>; rel=preload')])
        return echo(environ, start_response)

    out = exchange(app, b'GET / HTTP/1.1\r\nHost: h\r\n\r\n')
    assert out.startswith(
        b'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n'
    )
    assert exchange(app, b'GET / HTTP/1.0\r\n\r\n').startswith(b'HTTP/1.1 200 OK')
