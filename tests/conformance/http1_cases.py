"""The contract of HTTP/1 as data: what a client sends, and what it receives from every core.

A case is a list of steps. Bytes are sent; `SPLIT` sends the next bytes one by one; `HALF_CLOSE` ends the
client's side; an `Answer` is read and compared; `CLOSED` and `OPEN` say what then becomes of the connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from http1_apps import LARGE, PIECES

SPLIT = 'split'
HALF_CLOSE = 'half close'
CLOSED = 'closed'
OPEN = 'open'
CUT = 'cut'
"""The connection ends before the response does."""


@dataclass(frozen=True)
class Answer:
    """A final response, or one with status 100, and what must be in it."""

    status: int
    body: bytes | None = b''
    """None: whatever it is."""
    fields: dict[str, str | None] = field(default_factory=dict)
    """Field values in lower case; None: the field is not there."""
    method: str = 'GET'


@dataclass(frozen=True)
class Case:
    name: str
    steps: tuple[object, ...]


def get(path: str, *lines: str, method: str = 'GET', version: str = 'HTTP/1.1') -> bytes:
    host = ['Host: test'] if version == 'HTTP/1.1' else []
    return '\r\n'.join([f'{method} {path} {version}', *host, *lines, '', '']).encode()


def post(body: bytes, *lines: str, path: str = '/echo') -> bytes:
    return get(path, f'Content-Length: {len(body)}', *lines, method='POST') + body


CHUNKED = 'Transfer-Encoding: chunked'
CLOSE = 'Connection: close'
A = Answer(200, b'/a')
B = Answer(200, b'/b')
ALL = b''.join(PIECES)
BIG = bytes(range(256)) * 1200  # beyond what a core reads before it runs the application
BAD = Answer(400, None, {'connection': 'close'})


def chunked(*pieces: bytes, trailers: str = '') -> bytes:
    return b''.join(b'%x\r\n%s\r\n' % (len(p), p) for p in pieces) + f'0\r\n{trailers}\r\n'.encode()


CASES = [
    Case('keep-alive', (get('/a'), A, get('/b'), B, OPEN)),
    Case('close is obeyed', (get('/a', CLOSE), Answer(200, b'/a', {'connection': 'close'}), CLOSED)),
    Case('the application closes', (get('/close'), Answer(200, b'closing', {'connection': 'close'}), CLOSED)),
    Case(
        'the application closes under a pipeline',
        (get('/close') + get('/a') + get('/b'), Answer(200, b'closing', {'connection': 'close'}), CLOSED),
    ),
    Case('an HTTP/1.0 request is closed', (get('/a', version='HTTP/1.0'), A, CLOSED)),
    Case(
        'an HTTP/1.0 request asks for keep-alive',
        (
            get('/a', 'Connection: keep-alive', version='HTTP/1.0'),
            Answer(200, b'/a', {'connection': 'keep-alive'}),
            get('/b', version='HTTP/1.0'),
            B,
            CLOSED,
        ),
    ),
    Case(
        'pipelined requests in order',
        (b''.join(get(f'/{n}') for n in range(30)), *(Answer(200, b'/%d' % n) for n in range(30)), OPEN),
    ),
    Case(
        'pipelined requests with bodies',
        (post(b'one') + post(b'two') + get('/a'), Answer(200, b'one'), Answer(200, b'two'), A, OPEN),
    ),
    Case(
        'pipelined behind a slow one',
        (get('/slow') + get('/a') + get('/b', CLOSE), Answer(200, b'/slow'), A, B, CLOSED),
    ),
    Case('the same head ten times', (*[get('/a', 'X-Same: value'), A] * 10, OPEN)),
    Case('a request byte by byte', (SPLIT, get('/a'), A, OPEN)),
    Case('a body byte by byte', (SPLIT, post(b'some bytes'), Answer(200, b'some bytes'), OPEN)),
    Case(
        'a chunked body byte by byte',
        (
            SPLIT,
            get('/echo', CHUNKED, method='POST') + chunked(b'some', b' bytes'),
            Answer(200, b'some bytes'),
            OPEN,
        ),
    ),
    Case('an empty line before the request', (b'\r\n' + get('/a'), A, OPEN)),
    Case(
        'HEAD has no body',
        (get('/a', method='HEAD'), Answer(200, b'', {'content-length': '2'}, 'HEAD'), OPEN),
    ),
    Case(
        'HEAD of a stream', (get('/stream', method='HEAD'), Answer(200, b'', {}, 'HEAD'), get('/a'), A, OPEN)
    ),
    Case(
        '204 has neither body nor length',
        (
            get('/empty'),
            Answer(204, b'', {'content-length': None, 'transfer-encoding': None}),
            get('/a'),
            A,
            OPEN,
        ),
    ),
    Case(
        '304 has no body',
        (get('/unchanged'), Answer(304, b'', {'transfer-encoding': None}), get('/a'), A, OPEN),
    ),
    Case(
        'a stream is chunked',
        (get('/stream'), Answer(200, ALL, {'transfer-encoding': 'chunked', 'content-length': None}), OPEN),
    ),
    Case(
        'a stream to HTTP/1.0 ends with the connection',
        (get('/stream', version='HTTP/1.0'), Answer(200, ALL, {'transfer-encoding': None}), CLOSED),
    ),
    Case('a large response', (get('/large'), Answer(200, LARGE), get('/a'), A, OPEN)),
    Case('a body is echoed', (post(b'x' * 1000), Answer(200, b'x' * 1000), OPEN)),
    Case('a large body is echoed', (post(BIG), Answer(200, BIG), get('/a'), A, OPEN)),
    Case(
        'a large chunked body is echoed',
        (
            get('/echo', CHUNKED, method='POST')
            + chunked(*[BIG[n : n + 5000] for n in range(0, len(BIG), 5000)]),
            Answer(200, BIG),
            get('/a'),
            A,
            OPEN,
        ),
    ),
    Case(
        'chunked with extensions and trailers',
        (
            get('/echo', CHUNKED, method='POST')
            + b'3;name="v;\\"x"\r\nabc\r\n0;last\r\nX-Trailer: 1\r\n\r\n',
            Answer(200, b'abc'),
            get('/a'),
            A,
            OPEN,
        ),
    ),
    Case('an empty chunked body', (get('/echo', CHUNKED, method='POST') + b'0\r\n\r\n', Answer(200), OPEN)),
    Case(
        'Expect is answered before the body',
        (
            get('/echo', 'Expect: 100-continue', 'Content-Length: 3', method='POST'),
            Answer(100),
            b'abc',
            Answer(200, b'abc'),
            get('/a'),
            A,
            OPEN,
        ),
    ),
    Case(
        'Expect and a body that follows at once',
        (post(b'abc', 'Expect: 100-continue'), Answer(200, b'abc'), OPEN),
    ),
    Case(
        'Expect without a reader',
        (
            get('/a', 'Expect: 100-continue', 'Content-Length: 3', method='POST'),
            Answer(200, b'/a', {'connection': 'close'}),
            CLOSED,
        ),
    ),
    Case('an unread short body is skipped', (post(b'x' * 100, path='/a'), A, get('/b'), B, OPEN)),
    Case(
        'an unread chunked body is skipped',
        (get('/a', CHUNKED, method='POST') + chunked(b'abc'), A, get('/b'), B, OPEN),
    ),
    Case('half-closed after the request', (get('/a'), HALF_CLOSE, A, CLOSED)),
    Case('half-closed after a slow request', (get('/slow'), HALF_CLOSE, Answer(200, b'/slow'), CLOSED)),
    Case(
        'half-closed after a pipeline',
        (get('/a') + get('/slow') + get('/b'), HALF_CLOSE, A, Answer(200, b'/slow'), B, CLOSED),
    ),
    Case(
        'half-closed within the body',
        (get('/echo', 'Content-Length: 10', method='POST') + b'12345', HALF_CLOSE, BAD, CLOSED),
    ),
    Case(
        'an application that fails',
        (get('/fail'), Answer(500, None, {'content-type': 'text/plain; charset=utf-8'}), get('/a'), A, OPEN),
    ),
    Case('an application that fails half-way', (get('/half'), CUT)),
    Case('absolute form', (get('http://test/a'), A, OPEN)),
    Case('OPTIONS in asterisk form', (get('*', method='OPTIONS'), Answer(200, None), OPEN)),
    Case('a good request, then a bad one', (get('/a') + b'GET  /b HTTP/1.1\r\n\r\n', A, BAD, CLOSED)),
    Case('bare LF', (b'GET /a HTTP/1.1\nHost: test\n\n', BAD, CLOSED)),
    Case('no Host', (b'GET /a HTTP/1.1\r\n\r\n', BAD, CLOSED)),
    Case('two Hosts', (get('/a', 'Host: other'), BAD, CLOSED)),
    Case('a space before the colon', (get('/a', 'X-A : 1'), BAD, CLOSED)),
    Case('a folded line', (get('/a', 'X-A: 1', ' more'), BAD, CLOSED)),
    Case('a NUL in a value', (get('/a', 'X-A: \0'), BAD, CLOSED)),
    Case('two lengths', (get('/echo', 'Content-Length: 1', 'Content-Length: 2', method='POST'), BAD, CLOSED)),
    Case('a signed length', (get('/echo', 'Content-Length: +1', method='POST'), BAD, CLOSED)),
    Case('length and chunked', (get('/echo', 'Content-Length: 3', CHUNKED, method='POST'), BAD, CLOSED)),
    Case(
        'an unknown coding',
        (get('/echo', 'Transfer-Encoding: gzip', method='POST'), Answer(501, None), CLOSED),
    ),
    Case('chunked in HTTP/1.0', (get('/echo', CHUNKED, method='POST', version='HTTP/1.0'), BAD, CLOSED)),
    Case('a bad chunk size', (get('/echo', CHUNKED, method='POST') + b'zz\r\n', BAD, CLOSED)),
    Case(
        'a chunk that is too long for its size',
        (get('/echo', CHUNKED, method='POST') + b'3\r\nabcd\r\n0\r\n\r\n', BAD, CLOSED),
    ),
    Case('an unknown version', (b'GET /a HTTP/3.0\r\nHost: test\r\n\r\n', Answer(505, None), CLOSED)),
    Case('an unknown expectation', (get('/a', 'Expect: 200-ok'), Answer(417, None), CLOSED)),
    Case('too many fields', (get('/a', *[f'X-{n}: 1' for n in range(200)]), Answer(431, None), CLOSED)),
    Case('a head that is too large', (get('/a', 'X-A: ' + 'a' * 70_000), Answer(431, None), CLOSED)),
    Case('a target that is too long', (get('/' + 'a' * 70_000), Answer(414, None), CLOSED)),
    Case(
        'a head that does not end',
        (b'GET /a HTTP/1.1\r\nHost: te', Answer(408, None, {'connection': 'close'}), CLOSED),
    ),
    Case(
        'a body that does not come',
        (
            get('/echo', 'Content-Length: 10', method='POST') + b'12345',
            Answer(408, None, {'connection': 'close'}),
            CLOSED,
        ),
    ),
]
