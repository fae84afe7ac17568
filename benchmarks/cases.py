"""What is measured: workloads, and the cases (a workload under one interface) with their goals.

A goal is the least `ours / peer` in requests a second; a peer without one is only shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HELLO = b'Hello, world!'
BODY_10K = b'0123456789' * 1024
STREAM = b'abcdefghij' * 10240
FILE_SIZE = 50 * 1024
ORDER = b'{"customer": "Jane", "lines": [%s]}' % b', '.join(
    b'{"name": "Part %d", "amount": %d, "price": 2.5}' % (n, n) for n in range(1, 11)
)
"""As lua/json.lua sends it, but for the number of lines."""


@dataclass(frozen=True)
class Workload:
    """One kind of load: what is asked for, with which tool, and the answer that proves it right."""

    title: str
    tool: str = 'wrk'
    path: str = '/'
    connections: int = 64
    script: str = 'report.lua'
    threads: int | None = None
    """Threads the servers are given, where the application blocks; None: it never does."""
    post: bytes | None = None
    expect: bytes = HELLO
    streams: int = 1
    """Concurrent streams (HTTP/2) or messages in flight (WebSocket) on each connection."""
    message: int = 0
    """Size of a WebSocket message; text up to 125 bytes, above that binary."""
    app: str = ''
    """A framework's application: what is expected is then a part of the answer."""
    tls: bool = False
    workers: int = 1


WORKLOADS = {
    'hello': Workload('hello world'),
    '10k': Workload('10 KB body', path='/10k', expect=BODY_10K),
    'browser': Workload("a browser's 12 headers, 4 changing", script='browser.lua'),
    'changing': Workload("a browser's 12 headers, all changing", script='changing.lua'),
    'post': Workload('10 KB POST echoed', path='/echo', script='post.lua', post=BODY_10K, expect=BODY_10K),
    'stream': Workload('100 KB streamed in 10 parts', path='/stream', expect=STREAM),
    'four': Workload('hello world, four workers, 256 connections', connections=256, workers=4),
    'close': Workload('a connection per request', script='close.lua'),
    'close-four': Workload('a connection per request, four workers', script='close.lua', workers=4),
    'sleep64': Workload('application sleeps 10 ms, 64 connections', path='/sleep', threads=64),
    'sleep256': Workload(
        'application sleeps 10 ms, 256 connections', path='/sleep', connections=256, threads=256
    ),
    'sleep512': Workload(
        'application sleeps 10 ms, 512 connections', path='/sleep', connections=512, threads=512
    ),
    'mixed': Workload('one request in ten sleeps 10 ms', script='mixed.lua', threads=64),
    'mixed-default': Workload('one request in ten sleeps 10 ms, default threads', script='mixed.lua'),
    'file': Workload('50 KB file', path='/file', expect=b'f' * FILE_SIZE),
    'ws-text-1': Workload('WebSocket echo, 32-byte texts, 1 in flight', 'ws', connections=32, message=32),
    'ws-text-32': Workload(
        'WebSocket echo, 32-byte texts, 32 in flight', 'ws', connections=32, message=32, streams=32
    ),
    'ws-binary': Workload('WebSocket echo, 16 KB binaries', 'ws', connections=32, message=16384),
    'h2': Workload('hello world, HTTP/2 cleartext, 16 x 16', 'h2load', connections=16, streams=16),
    'h2-tls': Workload(
        'hello world, HTTP/2 over TLS, 16 x 16', 'h2load', connections=16, streams=16, tls=True
    ),
    'product': Workload(
        'Django, one indexed query on PostgreSQL',
        path='/product/17',
        script='products.lua',
        expect=b'"name": "Product 17"',
        app='django',
    ),
    'shelf': Workload(
        'Django, twenty rows through a template',
        path='/shelf/3',
        script='shelves.lua',
        expect=b'<td>Product 503</td>',
        app='django',
    ),
    'json': Workload(
        'Flask, a JSON view',
        path='/orders/7?currency=CHF',
        expect=b'"currency":"CHF"',
        app='flask',
    ),
    'body-model': Workload(
        'FastAPI, a view with a body model',
        path='/orders',
        script='json.lua',
        expect=b'"total":137.5',
        post=ORDER,
        app='fastapi',
    ),
    'one': Workload('start of one worker, and its memory', 'start'),
    'four-workers': Workload('start of four workers, and their memory', 'start', workers=4),
}


@dataclass(frozen=True)
class Case:
    group: str
    workload: str
    goals: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f'{self.group}/{self.workload}'

    @property
    def load(self) -> Workload:
        return WORKLOADS[self.workload]


START: dict[str, dict[str, float]] = {'one': {}, 'four-workers': {}}
WSGI_QUICK = {'gunicorn gthread': 8, 'granian': 1}
ASGI_QUICK = {'granian': 1.3, 'uvicorn': 1.5}
NO_SLOWER = {'granian': 1, 'uvicorn': 1}
WS = {'granian': 1, 'uvicorn websockets': 1, 'uvicorn wsproto': 1, 'gunicorn asgi': 1}
RSGI = {'granian': 1.4}
H2 = {'hypercorn': 1.8, 'gunicorn': 1.8}
SHARING = {'not shared': 0.97}
GEVENT = {'gunicorn gevent': 4}
FRONT = {'native sync': 0.97, 'native gthread': 0.97, 'native gevent': 0.97, 'unlogged': 0.8}

ASGI = {
    'hello': ASGI_QUICK, 'browser': ASGI_QUICK, 'changing': {}, '10k': ASGI_QUICK, 'post': NO_SLOWER,
    'stream': NO_SLOWER, 'four': {},
}  # fmt: skip

GROUPS: dict[str, dict[str, dict[str, float]]] = {
    'wsgi': {
        'hello': WSGI_QUICK,
        '10k': WSGI_QUICK,
        'browser': {'granian': 0.9},
        'changing': {},
        'post': WSGI_QUICK,
        'stream': {},
        'four': {},
        'close': {},
        'sleep64': {'granian': 0.9},
        'sleep512': {'gunicorn gthread 64': 1.5, 'gunicorn gthread': 1.5},
        'mixed': {'granian': 0.9},
    },
    'asgi': ASGI,
    'asgi-asyncio': ASGI,
    'ws': {'ws-text-1': WS, 'ws-text-32': WS, 'ws-binary': WS},
    'wsgi-default': {'mixed-default': {}},
    'rsgi': {
        'hello': RSGI,
        '10k': RSGI,
        'browser': RSGI,
        'changing': {},
        'post': RSGI,
        'stream': {'granian': 1},
        'file': {'granian': 1},
    },
    'h2-wsgi': {'h2': H2, 'h2-tls': H2},
    'h2-asgi': {'h2': H2, 'h2-tls': H2},
    'django': {'product': {}, 'shelf': {}},
    'flask': {'json': {}},
    'fastapi': {'body-model': {}},
    'start-wsgi': START,
    'start-asgi': START,
    **{
        f'sharing-{core}': {'close': SHARING, 'close-four': SHARING}
        for core in ('threads', 'gevent', 'asyncio', 'uvloop')
    },
    'gevent-django': {'product': {'gunicorn gevent': 1.2}},
    'front': {'hello': FRONT},
    'gevent': {'hello': GEVENT, 'browser': GEVENT, 'sleep256': {'gunicorn gevent': 2}},
}

CASES = [Case(name, workload, goals) for name, rows in GROUPS.items() for workload, goals in rows.items()]
