"""The same site three times: `/` answers at once, `/read` once it has the body, `/long` in pieces."""

TEXT = [('content-type', 'text/plain')]
HELLO = b'hello, frames'
PIECE, PIECES = bytes(65536), 1024
LONG = len(PIECE) * PIECES


def wsgi(environ, start_response):
    if environ['PATH_INFO'] == '/read':
        while environ['wsgi.input'].read(65536):
            pass
    start_response('200 OK', TEXT)
    if environ['PATH_INFO'] == '/long':
        return (PIECE for _ in range(PIECES))
    return [HELLO]


async def asgi(scope, receive, send):
    assert scope['type'] == 'http'
    if scope['path'] == '/read':
        more = True
        while more:
            message = await receive()
            if message['type'] == 'http.disconnect':
                return
            more = message.get('more_body', False)
    headers = [(name.encode(), value.encode()) for name, value in TEXT]
    await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
    if scope['path'] == '/long':
        for _ in range(PIECES):
            await send({'type': 'http.response.body', 'body': PIECE, 'more_body': True})
        await send({'type': 'http.response.body'})
        return
    await send({'type': 'http.response.body', 'body': HELLO})


async def rsgi(scope, protocol):
    if scope.path == '/read':
        async for _ in protocol:
            pass
    if scope.path == '/long':
        transport = protocol.response_stream(200, TEXT)
        for _ in range(PIECES):
            await transport.send_bytes(PIECE)
        return
    protocol.response_bytes(200, TEXT, HELLO)
