"""The applications of proof_apps.py, and a page on which a browser makes the downloads of downloads.py.

/page?COUNT&STREAMS&URL     makes them, then asks for /done/WHOLE/BYTES
"""

from __future__ import annotations

import proof_apps

PAGE = b"""<!doctype html><script>
const [count, streams, path] = location.search.slice(1).split('&');
let left = +count, whole = 0, bytes = 0;
async function one() {
  while (left-- > 0) {
    try {
      const size = (await (await fetch(path + '?' + left, {cache: 'no-store'})).arrayBuffer()).byteLength;
      whole++; bytes += size;
    } catch (error) {}
  }
}
Promise.all(Array.from({length: +streams}, one)).then(() => fetch('/done/' + whole + '/' + bytes));
</script>"""
HTML = [('Content-Type', 'text/html'), ('Content-Length', str(len(PAGE)))]


def wsgi(environ, start_response):
    if environ['PATH_INFO'] != '/page':
        return proof_apps.wsgi(environ, start_response)
    start_response('200 OK', HTML)
    return [PAGE]


async def rsgi(scope, protocol):
    if scope.path != '/page':
        await proof_apps.rsgi(scope, protocol)
        return
    protocol.response_bytes(200, [(name.lower(), value) for name, value in HTML], PAGE)


async def asgi(scope, receive, send):
    if scope.get('path') != '/page':
        await proof_apps.asgi(scope, receive, send)
        return
    fields = [(name.lower().encode(), value.encode()) for name, value in HTML]
    await send({'type': 'http.response.start', 'status': 200, 'headers': fields})
    await send({'type': 'http.response.body', 'body': PAGE})
