"""The exchanges that are made with every server: what is sent, on one connection each.

`{…}` stands for a path of both examples: Django's ends in a slash, Flask's does not.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.support.raw_client import chunked, request

BIG = random.Random(7).randbytes(5 * 1024 * 1024)
BINARY = bytes(range(256)) * 4
BOUNDARY = 'a boundary'
MULTIPART = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="title"\r\n\r\nGrüße\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="notes.txt"\r\n'
    'Content-Type: text/plain\r\n\r\nfirst\r\nsecond\r\n\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="b.bin"\r\n'
    'Content-Type: application/octet-stream\r\n\r\n'
).encode() + b'\x00\xff\r\n--a\r\n--%b--\r\n' % BOUNDARY.encode()
BIG_MULTIPART = MULTIPART.replace(b'first', BIG)
MULTIPART_TYPE = f'Content-Type: multipart/form-data; boundary="{BOUNDARY}"'
FORM_TYPE = 'Content-Type: application/x-www-form-urlencoded'
TEXT = 'Content-Type: text/plain'
CHUNKED = 'Transfer-Encoding: chunked'


@dataclass(frozen=True)
class Exchange:
    name: str
    requests: tuple[bytes, ...]
    pipelined: bool = False
    """All requests in one write, then the answers; else each after the answer to the one before."""


def one(name: str, *args: object, **kwargs: object) -> Exchange:
    return Exchange(name, (request(*args, **kwargs),))  # type: ignore[arg-type]


def get(name: str, target: str, *headers: str, version: str = '1.1') -> Exchange:
    return one(name, 'GET', target, None, headers, version)


def coded(target: str, body: bytes, size: int, **parts: bytes) -> bytes:
    return request('POST', target, chunked(body, size, **parts), [CHUNKED, TEXT])


def exchanges(slash: str) -> list[Exchange]:
    """Return all exchanges; `slash` is what the application's paths end in."""

    def at(path: str) -> str:
        return f'/{path}{slash}'

    headers, echo, digest, hello = at('headers'), at('echo'), at('digest'), at('hello/you')
    plain = request('GET', headers)
    return [
        # methods and kinds of answer
        *(
            get(f'get {path}', at(path))
            for path in ('cookies', 'empty', 'redirect', 'etag', 'error', 'stream')
        ),
        *(get(f'get /{path}', f'/{path}') for path in ('', 'missing', 'static/style.css', 'static/missing')),
        get('get a file', at('download')),
        *(
            one(f'head {path}', 'HEAD', at(path))
            for path in ('cookies', 'empty', 'redirect', 'etag', 'error')
        ),
        *(one(f'head /{path}', 'HEAD', f'/{path}') for path in ('', 'missing', 'static/style.css')),
        one('head of a stream', 'HEAD', at('stream')),
        one('head of a file', 'HEAD', at('download')),
        *(one(f'method {method}', method, headers) for method in ('OPTIONS', 'PUT', 'PATCH', 'DELETE')),
        one('a method not allowed', 'POST', at('query'), b''),
        one("a method of one's own", 'PURGE', headers),
        # targets
        get('query', at('query') + '?fruit=apple&fruit=pear&empty=&tea=gr%C3%BCn'),
        get('query with odd characters', at('query') + "?a=%20+%26&b=?/:@!$'()*,;~"),
        get('an empty query', headers + '?'),
        get('a query that begins with ?', headers + '??x=1'),
        get('a query in brackets', headers + '?a[0]=1&b={x}|y^z`"<>'),
        get('path percent-encoded UTF-8', at('gr%C3%BC%C3%9Fe')),
        get('path emoji', at('hello/%F0%9F%91%8B%20you')),
        get('path not UTF-8', at('hello/%FF%FE')),
        get('path with an encoded slash', at('hello/a%2Fb')),
        get('path with an encoded percent', at('hello/100%25')),
        get('path with a stray percent', at('hello/100%zz%')),
        get('path with empty segments', at('hello//a//b')),
        get('path with dot segments', '/hello/..' + headers),
        get('path with encoded dots', at('hello/%2e%2e/x')),
        get('path with reserved characters', at("hello/a;b=c:@!$&'()*+,~")),
        get('an absolute target', 'http://testserver' + headers + '?a=1'),
        # header fields
        get('a repeated header', headers, 'X-Thing: one', 'X-Thing: two', 'x-thing: three'),
        get('an empty header', headers, 'X-Empty:'),
        get('spaces around a value', headers, 'X-Spaces:  \t in  between \t '),
        get('a latin-1 value', headers, 'X-Name: Zo\xeb \xff'),
        get('a header name in lower case', headers, 'user-agent: me', 'accept: */*'),
        get('a long header', headers, 'X-Long: ' + 'long ' * 800),
        get('fifty headers', headers, *(f'X-{number}: {number}' for number in range(50))),
        get('a header with an underscore', headers, 'X_Forged: 1', 'X-Fine: 2'),
        get('a content type without a body', headers, 'Content-Type: text/x-none'),
        get('authorization', headers, 'Authorization: Basic dXNlcjpwYXNz'),
        get('cookies', at('cookies'), 'Cookie: a=1; b="two words"; c=%20'),
        get('two cookie lines', at('cookies'), 'Cookie: a=1', 'Cookie: b=2'),
        Exchange('an empty line before the request', (b'\r\n' + plain,)),
        # bodies
        one('post', 'POST', echo, b'some text', [TEXT]),
        one('post binary', 'POST', echo, BINARY, ['Content-Type: application/octet-stream']),
        one('post nothing', 'POST', echo, b'', [TEXT]),
        one('post without a length', 'POST', echo, None, [TEXT]),
        one('put', 'PUT', echo, b'put here', [TEXT]),
        one('delete with a body', 'DELETE', echo, b'gone', [TEXT]),
        one('get with a body', 'GET', headers, b'unusual', [TEXT]),
        Exchange(
            'post a length with zeros',
            (request('POST', echo, None, [TEXT, 'Content-Length: 005']) + b'zeros',),
        ),
        one('post 5 MB', 'POST', digest, BIG, [TEXT]),
        one('echo 2 MB', 'POST', echo, BIG[: 2 * 1024 * 1024], [TEXT]),
        one('post a form', 'POST', at('files'), b'title=Gr%C3%BC%C3%9Fe&a=1&a=2', [FORM_TYPE]),
        one('post multipart', 'POST', at('files'), MULTIPART, [MULTIPART_TYPE]),
        one('post multipart with 5 MB', 'POST', at('files'), BIG_MULTIPART, [MULTIPART_TYPE]),
        one('an unread body', 'POST', at('unread'), b'unread' * 1000, [TEXT]),
        Exchange('chunked', (coded(echo, b'in three chunks', 5),)),
        Exchange('chunked, empty', (coded(echo, b'', 5),)),
        Exchange('chunked, byte by byte', (coded(echo, BINARY, 1),)),
        Exchange('chunked, 5 MB', (coded(digest, BIG, 65536),)),
        Exchange('chunked with trailers', (coded(echo, b'body', 2, trailer=b'X-Check: 1\r\n'),)),
        Exchange('chunked with extensions', (coded(echo, b'body', 2, extension=b';name=value'),)),
        # ranges and conditions
        *(
            get(f'range {spec}', at('download'), f'Range: bytes={spec}')
            for spec in ('0-9', '-5', '100-', '0-0', '1000000-', 'x-y', '0-4,10-14')
        ),
        get('range of a static file', '/static/style.css', 'Range: bytes=10-19'),
        get('a condition that holds', at('etag'), 'If-None-Match: "other"'),
        get('a condition that does not', at('etag'), 'If-None-Match: *'),
        get('modified since', '/static/style.css', 'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT'),
        # HTTP/1.0
        get('1.0 get', headers, version='1.0'),
        get('1.0 stream', at('stream'), version='1.0'),
        get('1.0 file', at('download'), version='1.0'),
        one('1.0 without Host', 'GET', '/static/style.css', version='1.0', host=None),
        one('1.0 post', 'POST', echo, b'old', [TEXT], '1.0'),
        one('1.0 head', 'HEAD', at('stream'), version='1.0'),
        # several on one connection
        Exchange('keep-alive', (plain, request('POST', echo, b'second', [TEXT]), request('GET', hello))),
        Exchange('keep-alive after 204', (request('GET', at('empty')), plain)),
        Exchange('keep-alive after 304', (request('GET', at('etag'), None, ['If-None-Match: *']), plain)),
        Exchange('keep-alive after HEAD', (request('HEAD', at('download')), plain)),
        Exchange('keep-alive after a stream', (request('GET', at('stream')), plain)),
        Exchange('keep-alive after a chunked body', (coded(echo, b'chunks', 2), plain)),
        Exchange('keep-alive after a file', (request('GET', at('download')), plain)),
        Exchange('pipelined', (plain, request('GET', hello), request('GET', at('etag'))), True),
        Exchange(
            'pipelined bodies', (request('POST', echo, b'one', [TEXT]), coded(echo, b'two', 1), plain), True
        ),
        Exchange('pipelined HEAD', (request('HEAD', at('stream')), request('HEAD', '/'), plain), True),
    ]
