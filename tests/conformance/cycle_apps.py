"""A site whose workers do not collect garbage. `/left` is the number of objects of HTTP/2 that are alive."""

from __future__ import annotations

import gc
from typing import Any

gc.disable()

LARGE = bytes(1_000_000)
PARTS = ('granian.protocol.http2.', 'granian.core.blocking.http2_', 'h2.')


def answer(path: str) -> bytes:
    if path == '/large':
        return LARGE
    if path == '/left':
        return b'%d' % sum(type(each).__module__.startswith(PARTS) for each in gc.get_objects())
    return b'ok'


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    if environ['PATH_INFO'] == '/read':
        environ['wsgi.input'].read()
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [answer(environ['PATH_INFO'])]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    assert scope['type'] == 'http'
    if scope['path'] == '/read':
        while (message := await receive()).get('more_body'):
            pass
        if message['type'] == 'http.disconnect':
            return
    await send({'type': 'http.response.start', 'status': 200})
    await send({'type': 'http.response.body', 'body': answer(scope['path'])})


async def rsgi(scope: Any, protocol: Any) -> None:
    if scope.path == '/read':
        await protocol()
    protocol.response_bytes(200, [], answer(scope.path))
