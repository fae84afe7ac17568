"""Says how much of a body a CGI-minded application sees: CONTENT_LENGTH bytes, and a digest of them."""

import hashlib


def wsgi(environ, start_response):
    length = environ.get('CONTENT_LENGTH')
    body = environ['wsgi.input'].read(int(length or 0))
    rest = environ['wsgi.input'].read()
    hop_by_hop = [key for key in environ if key in ('HTTP_TRANSFER_ENCODING', 'HTTP_TE', 'HTTP_TRAILER')]
    start_response('200 OK', [('Content-Type', 'text/plain')])
    digest = hashlib.sha256(body).hexdigest()
    return [f'{length} {len(body)} {len(rest)} {hop_by_hop} {digest}'.encode()]
