"""A WSGI application, and an ASGI and an RSGI application for the WebSockets beside it."""

import os
import sys
import threading

STARTED = []


def wsgi(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [f'page {environ["PATH_INFO"]} {STARTED}'.encode()]


async def asgi(scope, receive, send):
    if scope['type'] == 'lifespan':
        while True:
            message = await receive()
            STARTED.append(message['type'])
            sys.stdout.write(message['type'] + '\n')
            await send({'type': f'{message["type"]}.complete'})
            if message['type'] == 'lifespan.shutdown':
                return
    assert scope['type'] == 'websocket'
    message = await receive()
    if scope['path'].endswith('/deny'):
        await send({'type': 'websocket.http.response.start', 'status': 401})
        await send({'type': 'websocket.http.response.body', 'body': b'denied'})
        return
    if scope['path'].endswith('/fails'):
        raise ValueError('on purpose')
    await send({'type': 'websocket.accept', 'subprotocol': (scope['subprotocols'] or [None])[0]})
    where = f'{scope["root_path"]} {scope["scheme"]} {threading.current_thread() is threading.main_thread()}'
    while (message := await receive())['type'] != 'websocket.disconnect':
        text = message.get('text')
        if text == 'where':
            await send({'type': 'websocket.send', 'text': where})
        elif text == 'pid':
            await send({'type': 'websocket.send', 'text': str(os.getpid())})
        else:
            await send({**message, 'type': 'websocket.send'})
    sys.stdout.write(f'disconnected {message["code"]}\n')


async def fails_to_start(scope, receive, send):
    await receive()
    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})


async def rsgi(scope, protocol):
    if scope.path.endswith('/deny'):
        protocol.close(401)
        return
    if scope.path.endswith('/fails'):
        raise ValueError('on purpose')
    transport = await protocol.accept()
    while (message := await transport.receive()).kind:
        if isinstance(message.data, str):
            await transport.send_str(message.data)
        else:
            await transport.send_bytes(message.data)
