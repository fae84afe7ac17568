"""Applications that hang when they are asked to."""

import os
import time


def spin():
    """Hold the interpreter lock: one call of C code that never lets go of it."""
    import re

    os.write(1, b'in the application\n')
    re.match('(a+)+$', 'a' * 64 + 'b')


def hang(path):
    if path == '/hang':
        os.write(1, b'in the application\n')
        while not os.path.exists('go'):
            time.sleep(0.01)
    if path == '/spin':
        spin()
    if path == '/busy':
        os.write(1, b'in the application\n')
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pass
    return str(os.getpid()).encode()


def wsgi(environ, start_response):
    body = hang(environ['PATH_INFO'])
    start_response('200 OK', [])
    return [body]


def stream(environ, start_response):
    if environ['PATH_INFO'] == '/':
        return wsgi(environ, start_response)
    start_response('200 OK', [])
    os.write(1, b'in the application\n')
    return (b'x' * 65536 for _ in range(1000))


async def asgi(scope, receive, send):
    body = hang(scope['path'])
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': body})
