"""One site in three interfaces, for the contract of HTTP/1; what a path does is the same in each."""

import asyncio
import time

TEXT = [('content-type', 'text/plain')]
PIECES = [b'one', b'two', b'three']
LARGE = bytes(300_000)


def wsgi(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/fail':
        raise RuntimeError('on purpose')
    if path == '/stream':
        start_response('200 OK', TEXT)
        return iter(PIECES)
    if path == '/half':
        return _half(start_response)
    if path == '/slow':
        time.sleep(0.2)
    body = _read_all(environ['wsgi.input']) if path == '/echo' else None
    status, fields, body = answer(path, body)
    start_response(status, fields)
    return [body]


def _half(start_response):
    start_response('200 OK', [*TEXT, ('content-length', '10')])
    yield b'12345'
    raise RuntimeError('on purpose')


def _read_all(source):
    return b''.join(iter(lambda: source.read(65536), b''))


def answer(path, body):
    """Return status line, fields and body for the paths that are the same in every interface."""
    if path == '/echo':
        return '200 OK', TEXT, body
    if path == '/empty':
        return '204 No Content', [], b''
    if path == '/unchanged':
        return '304 Not Modified', [('etag', '"x"')], b''
    if path == '/large':
        return '200 OK', TEXT, LARGE
    if path == '/close':
        return '200 OK', [*TEXT, ('connection', 'close')], b'closing'
    return '200 OK', TEXT, path.encode('latin-1')


async def asgi(scope, receive, send):
    assert scope['type'] == 'http'
    path = scope['path']
    if path == '/fail':
        raise RuntimeError('on purpose')
    if path == '/stream':
        await send({'type': 'http.response.start', 'status': 200, 'headers': _bytes(TEXT)})
        for piece in PIECES:
            await send({'type': 'http.response.body', 'body': piece, 'more_body': True})
        await send({'type': 'http.response.body'})
        return
    if path == '/half':
        headers = _bytes([*TEXT, ('content-length', '10')])
        await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
        await send({'type': 'http.response.body', 'body': b'12345', 'more_body': True})
        raise RuntimeError('on purpose')
    if path == '/slow':
        await asyncio.sleep(0.2)
    body = await _receive_all(receive) if path == '/echo' else None
    if path == '/echo' and body is None:
        return
    status, fields, body = answer(path, body)
    await send({'type': 'http.response.start', 'status': int(status[:3]), 'headers': _bytes(fields)})
    await send({'type': 'http.response.body', 'body': body})


def _bytes(fields):
    return [(name.encode(), value.encode()) for name, value in fields]


async def _receive_all(receive):
    body, more = b'', True
    while more:
        message = await receive()
        if message['type'] == 'http.disconnect':
            return None
        body += message.get('body', b'')
        more = message.get('more_body', False)
    return body


async def rsgi(scope, protocol):
    path = scope.path
    if path == '/fail':
        raise RuntimeError('on purpose')
    if path == '/stream':
        transport = protocol.response_stream(200, TEXT)
        for piece in PIECES:
            await transport.send_bytes(piece)
        return
    if path == '/half':
        transport = protocol.response_stream(200, [*TEXT, ('content-length', '10')])
        await transport.send_bytes(b'12345')
        raise RuntimeError('on purpose')
    if path == '/slow':
        await asyncio.sleep(0.2)
    body = await protocol() if path == '/echo' else None
    status, fields, body = answer(path, body)
    if body:
        protocol.response_bytes(int(status[:3]), fields, body)
    else:
        protocol.response_empty(int(status[:3]), fields)
