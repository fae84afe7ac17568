"""The same little site three times: `/` answers at once, `/read` when the body has been read."""

TEXT = [('content-type', 'text/plain')]
HELLO = b'hello, frames'


def wsgi(environ, start_response):
    if environ['PATH_INFO'] == '/read':
        while environ['wsgi.input'].read(65536):
            pass
    start_response('200 OK', TEXT)
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
    await send({'type': 'http.response.body', 'body': HELLO})


async def rsgi(scope, protocol):
    if scope.path == '/read':
        async for _ in protocol:
            pass
    protocol.response_bytes(200, TEXT, HELLO)
