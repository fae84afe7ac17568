"""A page with a style sheet, a script, pictures and an upload, for each interface."""

PAGE = b"""<!doctype html><meta charset=utf-8><link rel=stylesheet href=style.css><link rel=icon href=data:,>
%s<p id=said>nothing</p><script src=script.js></script>""" % b''.join(
    b'<img src=image%d.svg>' % number for number in range(6)
)
SCRIPT = b"""fetch('told', {method: 'POST', body: new Uint8Array(100000)}).then(r => r.text()).then(text => {
  const how = performance.getEntriesByType('navigation')[0].nextHopProtocol;
  document.getElementById('said').textContent = `script ran, server says ${how} ${text}`;
});"""
PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="9"/></svg>'


def respond(path: str, received: int) -> tuple[int, str, bytes]:
    """Return status, content type and body."""
    if path == '/':
        return 200, 'text/html', PAGE
    if path == '/style.css':
        return 200, 'text/css', b'p { color: green }' * 1000
    if path == '/script.js':
        return 200, 'text/javascript', SCRIPT
    if path.startswith('/image'):
        return 200, 'image/svg+xml', PICTURE
    if path == '/told':
        return 200, 'text/plain', b'POST of %d bytes' % received
    return 404, 'text/plain', b'no such thing'


def wsgi(environ, start_response):
    body = environ['wsgi.input'].read()
    status, kind, data = respond(environ['PATH_INFO'], len(body))
    start_response(f'{status} OK', [('Content-Type', kind)])
    return [data]


async def asgi(scope, receive, send):
    if scope['type'] != 'http':
        return
    received, more = 0, True
    while more:
        message = await receive()
        received += len(message.get('body', b''))
        more = message.get('more_body', False)
    status, kind, data = respond(scope['path'], received)
    headers = [(b'content-type', kind.encode())]
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': data})


async def rsgi(scope, protocol):
    body = await protocol()
    status, kind, data = respond(scope.path, len(body))
    protocol.response_bytes(status, [('content-type', kind)], data)
