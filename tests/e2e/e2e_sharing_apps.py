"""Says which process answers. `/together` takes long enough for four of them to meet."""

import json
import os
import time

HEADERS = [('Content-Type', 'application/json')]


def wsgi(environ, start_response):
    if environ['PATH_INFO'] == '/together':
        time.sleep(0.5)
    start_response('200 OK', HEADERS)
    return [json.dumps({'pid': os.getpid()}).encode()]


async def asgi(scope, receive, send):
    if scope['type'] == 'websocket':
        await send({'type': 'websocket.accept'})
        await send({'type': 'websocket.send', 'text': json.dumps({'pid': os.getpid()})})
        while (await receive())['type'] != 'websocket.disconnect':
            pass
    if scope['type'] != 'http':
        return
    await send(
        {'type': 'http.response.start', 'status': 200, 'headers': [(b'content-type', b'application/json')]}
    )
    await send({'type': 'http.response.body', 'body': json.dumps({'pid': os.getpid()}).encode()})
