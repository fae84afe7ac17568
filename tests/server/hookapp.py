"""Applications under hooks: what they are loaded in is written."""

import os
import time

os.write(1, f'loaded by {os.getpid()}\n'.encode())


def app(environ, start_response):
    if environ['PATH_INFO'] == '/raise':
        raise RuntimeError('broken')
    if environ['PATH_INFO'] == '/hold':
        os.write(1, b'in the application\n')
        while not os.path.exists('go'):
            time.sleep(0.01)
    start_response('200 OK', [('X-A', 'b')])
    return [environ.get('hook', str(os.getpid())).encode()]


async def asgi(scope, receive, send):
    if scope['type'] == 'lifespan':
        return
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': b'asgi'})
