"""An application for each interface in a worker with few descriptors. A request to /take takes the others."""

import contextlib
import os
import resource

LIMIT = 64
resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


def take(path):
    if path == '/take':
        with contextlib.suppress(OSError):
            while True:
                os.dup(0)


def wsgi(environ, start_response):
    take(environ['PATH_INFO'])
    start_response('200 OK', [('Content-Length', '0')])
    return []


async def asgi(scope, receive, send):
    if scope['type'] == 'lifespan':
        raise NotImplementedError
    take(scope['path'])
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body'})


async def rsgi(scope, protocol):
    take(scope.path)
    protocol.response_empty(200, [])
