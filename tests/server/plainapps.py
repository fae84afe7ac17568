"""The same application for each interface: it answers with the server's own address and the client's."""


def _text(server, client):
    return f'{server} {client}'.encode()


def wsgi(environ, start_response):
    body = _text(environ['SERVER_NAME'] + ':' + environ['SERVER_PORT'], environ.get('REMOTE_ADDR', ''))
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope['type'] != 'http':
        raise NotImplementedError
    body = _text(scope['server'], scope['client'])
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-type', b'text/plain')]})
    await send({'type': 'http.response.body', 'body': body})


async def rsgi(scope, protocol):
    protocol.response_bytes(200, [('content-type', 'text/plain')], _text(scope.server, scope.client))
