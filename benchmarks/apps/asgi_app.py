"""The ASGI application that every server of the benchmark runs, with a WebSocket that echoes."""

import asyncio

TEXT = (b'content-type', b'text/plain; charset=utf-8')
START_HELLO = {'type': 'http.response.start', 'status': 200, 'headers': [TEXT, (b'content-length', b'13')]}
BODY_HELLO = {'type': 'http.response.body', 'body': b'Hello, world!'}
START_10K = {'type': 'http.response.start', 'status': 200, 'headers': [TEXT, (b'content-length', b'10240')]}
BODY_10K = {'type': 'http.response.body', 'body': b'0123456789' * 1024}
START_TEXT = {'type': 'http.response.start', 'status': 200, 'headers': [TEXT]}
PART = {'type': 'http.response.body', 'body': b'abcdefghij' * 1024, 'more_body': True}
END = {'type': 'http.response.body', 'body': b''}


async def hello(scope, receive, send):
    await send(START_HELLO)
    await send(BODY_HELLO)


async def body(scope, receive, send):
    await send(START_10K)
    await send(BODY_10K)


async def echo(scope, receive, send):
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get('body', b''))
        more = message.get('more_body', False)
    content = b''.join(parts)
    length = (b'content-length', b'%d' % len(content))
    await send({'type': 'http.response.start', 'status': 200, 'headers': [TEXT, length]})
    await send({'type': 'http.response.body', 'body': content})


async def stream(scope, receive, send):
    await send(START_TEXT)
    for _ in range(10):
        await send(PART)
    await send(END)


async def sleep(scope, receive, send):
    await asyncio.sleep(0.01)
    await hello(scope, receive, send)


async def websocket(scope, receive, send):
    await receive()
    await send({'type': 'websocket.accept'})
    while (message := await receive())['type'] == 'websocket.receive':
        if (text := message.get('text')) is not None:
            await send({'type': 'websocket.send', 'text': text})
        else:
            await send({'type': 'websocket.send', 'bytes': message['bytes']})


async def lifespan(scope, receive, send):
    await receive()
    await send({'type': 'lifespan.startup.complete'})
    await receive()
    await send({'type': 'lifespan.shutdown.complete'})


ROUTES = {'/': hello, '/10k': body, '/echo': echo, '/stream': stream, '/sleep': sleep}
TYPES = {'websocket': websocket, 'lifespan': lifespan}


async def app(scope, receive, send):
    if scope['type'] == 'http':
        await ROUTES[scope['path']](scope, receive, send)
    else:
        await TYPES[scope['type']](scope, receive, send)
