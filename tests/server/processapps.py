"""The same application for each interface: it answers with its process id, or with what `look` returns."""

import os

import processlook


def _text(path):
    return str(os.getpid()) if path == '/' else str(processlook.look(path))


def wsgi(environ, start_response):
    body = _text(environ['PATH_INFO']).encode()
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope['type'] != 'http':
        raise NotImplementedError
    body = _text(scope['path']).encode()
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': body})


async def rsgi(scope, protocol):
    protocol.response_str(200, [], _text(scope.path))
