"""The applications of the proofs: every answer repeats the token that its request carried.

/quick/TOKEN     at once
/block/TOKEN     after 5 ms
/stream/TOKEN    in ten parts
/echo/TOKEN      the request body
/large/BYTES     as many bytes
/refuse/TOKEN    413, the body not read
/tasks/x         the number of asyncio tasks; of greenlets with WSGI
/turns/x         the longest turn of the core since the last such request, see `turns`
WebSocket        each message comes back; at /block after 5 ms

The token is in the header X-Token and in the body: `TOKEN` alone, or ten lines of it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time

if os.environ.get('PROOF_TURNS'):
    import turns

PIECE = b'x' * 65536


def large(size: int):
    while size > 0:
        yield PIECE[:size]
        size -= len(PIECE)


def greenlets() -> int:
    module = sys.modules.get('greenlet')
    return sum(isinstance(each, module.greenlet) for each in gc.get_objects()) if module else 0


def wsgi(environ, start_response):
    kind, _, token = environ['PATH_INFO'].strip('/').partition('/')
    fields = [('Content-Type', 'text/plain'), ('X-Token', token or '-')]
    if kind == 'stream':
        start_response('200 OK', fields)
        return (f'{token}\n'.encode() for _ in range(10))
    if kind == 'large':
        start_response('200 OK', [*fields, ('Content-Length', token)])
        return large(int(token))
    body = token.encode()
    status = '413 Content Too Large' if kind == 'refuse' else '200 OK'
    if kind == 'echo':
        body = b''.join(iter(lambda: environ['wsgi.input'].read(65536), b''))
    elif kind == 'block':
        time.sleep(0.005)
    elif kind == 'tasks':
        body = str(greenlets()).encode()
    elif kind == 'turns':
        body = turns.take()
    start_response(status, [*fields, ('Content-Length', str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope['type'] == 'http':
        await http(scope, receive, send)
    elif scope['type'] == 'websocket':
        await websocket(scope, receive, send)
    else:
        await receive()
        await send({'type': 'lifespan.startup.complete'})
        await receive()
        await send({'type': 'lifespan.shutdown.complete'})


async def http(scope, receive, send):
    kind, _, token = scope['path'].strip('/').partition('/')
    fields = [(b'content-type', b'text/plain'), (b'x-token', token.encode() or b'-')]
    if kind in ('stream', 'large'):
        if kind == 'large':
            fields.append((b'content-length', token.encode()))
        await send({'type': 'http.response.start', 'status': 200, 'headers': fields})
        parts = (f'{token}\n'.encode() for _ in range(10)) if kind == 'stream' else large(int(token))
        for part in parts:
            await send({'type': 'http.response.body', 'body': part, 'more_body': True})
        await send({'type': 'http.response.body', 'body': b''})
        return
    body, status = token.encode(), 413 if kind == 'refuse' else 200
    if kind == 'echo':
        body, more = b'', True
        while more:
            message = await receive()
            if message['type'] == 'http.disconnect':
                return
            body += message.get('body', b'')
            more = message.get('more_body', False)
    elif kind == 'block':
        await asyncio.sleep(0.005)
    elif kind == 'tasks':
        body = str(len(asyncio.all_tasks())).encode()
    elif kind == 'turns':
        body = turns.take()
    fields.append((b'content-length', str(len(body)).encode()))
    await send({'type': 'http.response.start', 'status': status, 'headers': fields})
    await send({'type': 'http.response.body', 'body': body})


async def websocket(scope, receive, send):
    await receive()
    await send({'type': 'websocket.accept'})
    while (message := await receive())['type'] == 'websocket.receive':
        if scope['path'] == '/block':
            await asyncio.sleep(0.005)
        if message.get('text') is not None:
            await send({'type': 'websocket.send', 'text': message['text']})
        else:
            await send({'type': 'websocket.send', 'bytes': message['bytes']})


async def rsgi(scope, protocol):
    if scope.proto == 'ws':
        transport = await protocol.accept()
        while (message := await transport.receive()).kind:
            if scope.path == '/block':
                await asyncio.sleep(0.005)
            await (transport.send_bytes if message.kind == 1 else transport.send_str)(message.data)
        return
    kind, _, token = scope.path.strip('/').partition('/')
    fields = [('content-type', 'text/plain'), ('x-token', token or '-')]
    if kind in ('stream', 'large'):
        transport = protocol.response_stream(200, fields)
        for part in (f'{token}\n'.encode() for _ in range(10)) if kind == 'stream' else large(int(token)):
            await transport.send_bytes(part)
        return
    body, status = token.encode(), 413 if kind == 'refuse' else 200
    if kind == 'echo':
        body = await protocol()
    elif kind == 'block':
        await asyncio.sleep(0.005)
    elif kind == 'tasks':
        body = str(len(asyncio.all_tasks())).encode()
    elif kind == 'turns':
        body = turns.take()
    protocol.response_bytes(status, fields, body)
