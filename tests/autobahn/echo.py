"""The application that the Autobahn test suite talks to, in two interfaces, and WSGI to be beside it."""

from __future__ import annotations


async def rsgi(scope, protocol):
    if scope.proto != 'ws':
        protocol.response_empty(204, [])
        return
    transport = await protocol.accept()
    while True:
        message = await transport.receive()
        if message.kind == 0:
            return
        send = transport.send_str if message.kind == 2 else transport.send_bytes
        await send(message.data)


async def asgi(scope, receive, send):
    if scope['type'] == 'http':
        await send({'type': 'http.response.start', 'status': 204, 'headers': []})
        await send({'type': 'http.response.body'})
        return
    if scope['type'] == 'lifespan':
        while (await receive())['type'] != 'lifespan.shutdown':
            await send({'type': 'lifespan.startup.complete'})
        await send({'type': 'lifespan.shutdown.complete'})
        return
    await receive()
    await send({'type': 'websocket.accept'})
    while (message := await receive())['type'] == 'websocket.receive':
        await send({**message, 'type': 'websocket.send'})


def wsgi(environ, start_response):
    start_response('204 No Content', [])
    return []
