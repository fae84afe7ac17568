"""Applications that close standard output and error, and then fail."""

import sys


def _act(path):
    if path == '/close':
        sys.stdout.close()
        sys.stderr.close()
    elif path == '/fail':
        raise RuntimeError('on purpose')


def wsgi(environ, start_response):
    _act(environ['PATH_INFO'])
    start_response('200 OK', [])
    return [b'served']


async def asgi(scope, receive, send):
    if scope['type'] != 'http':
        return
    _act(scope['path'])
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': b'served'})


async def rsgi(scope, protocol):
    _act(scope.path)
    protocol.response_str(200, [], 'served')
