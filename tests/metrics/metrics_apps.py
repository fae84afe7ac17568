"""An application for each interface, with something of everything that is counted."""

from __future__ import annotations


def wsgi(environ, start_response):
    size = len(environ['wsgi.input'].read())
    status = '404 Not Found' if environ['PATH_INFO'] == '/no' else '200 OK'
    start_response(status, [('Content-Type', 'text/plain')])
    return [b'%d' % size]


def taker(environ, start_response):
    sock = environ['gunicorn.socket']
    sock.sendall(b'taken')
    sock.recv(1)
    raise StopIteration


async def asgi(scope, receive, send):
    if scope['type'] == 'websocket':
        await receive()
        await send({'type': 'websocket.accept'})
        while (message := await receive())['type'] == 'websocket.receive':
            await send({'type': 'websocket.send', 'text': message['text']})
        return
    size = 0
    more = True
    while more:
        message = await receive()
        size += len(message['body'])
        more = message['more_body']
    status = 404 if scope['path'] == '/no' else 200
    await send({'type': 'http.response.start', 'status': status, 'headers': []})
    await send({'type': 'http.response.body', 'body': b'%d' % size})
