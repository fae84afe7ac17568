"""For applications behind a reverse proxy: the client's address and scheme from X-Forwarded-*.

Only a trusted peer is believed, and of what it passes on only the part that trusted
proxies have added themselves: the chain of X-Forwarded-For is walked from its right end.
"""

from __future__ import annotations

from typing import Any

from ..forwarded import UNIX, Trusted, forwarded_scheme


def _trusted(hosts: list[str] | str) -> Trusted:
    try:
        return Trusted(hosts)
    except ValueError as error:
        raise ValueError(f'trusted_hosts: {error}') from None


def wrap_asgi_with_proxy_headers(app: Any, trusted_hosts: list[str] | str = '127.0.0.1') -> Any:
    """Return an ASGI application that sees the client's `client` and `scheme` where the peer is trusted.

    `trusted_hosts`: a list, or a string separated by commas, of addresses, CIDR networks, literals
    (the peer of a Unix socket is 'unix'), or '*'. X-Forwarded-Proto may be http, https, ws or wss.
    Raises ValueError for a network that is none.
    """
    trusted = _trusted(trusted_hosts)

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope['type'] in ('http', 'websocket'):
            peer = scope.get('client')
            if (peer[0] if peer and peer[0] else UNIX) in trusted:
                scope = _forwarded_scope(trusted, scope)
        await app(scope, receive, send)

    return wrapped


def _forwarded_scope(trusted: Trusted, scope: Any) -> Any:
    # Exact names: X_Forwarded_For is a header of the client's own, that proxies do not remove.
    values: dict[bytes, list[str]] = {b'x-forwarded-for': [], b'x-forwarded-proto': []}
    for name, value in scope['headers']:
        if name in values:
            values[name].append(value.decode('latin-1'))
    scope = dict(scope)
    client = trusted.client(values[b'x-forwarded-for'])
    scheme = forwarded_scheme(values[b'x-forwarded-proto'])
    if client is not None:
        scope['client'] = client
    if scheme is not None:
        secure = scheme == 'https'
        websocket = scope['type'] == 'websocket'
        scope['scheme'] = ('wss' if secure else 'ws') if websocket else scheme
    return scope


def wrap_wsgi_with_proxy_headers(app: Any, trusted_hosts: list[str] | str = '127.0.0.1') -> Any:
    """Return a WSGI application that sees the client's address and scheme where the peer is trusted.

    See `wrap_asgi_with_proxy_headers`. REMOTE_PORT is the forwarded one, or '0'.
    """
    trusted = _trusted(trusted_hosts)

    def wrapped(environ: dict[str, Any], start_response: Any) -> Any:
        if (environ.get('REMOTE_ADDR') or UNIX) in trusted:
            # The server joins repeated headers with commas and drops names with an underscore.
            unix = not environ.get('REMOTE_ADDR')
            client = trusted.client([environ.get('HTTP_X_FORWARDED_FOR', '')])
            scheme = forwarded_scheme([environ.get('HTTP_X_FORWARDED_PROTO', '')])
            if client is not None:
                environ['REMOTE_ADDR'], environ['REMOTE_PORT'] = client[0], str(client[1])
            if scheme is not None:
                _set_scheme(environ, scheme, unix)
        return app(environ, start_response)

    return wrapped


def _set_scheme(environ: dict[str, Any], scheme: str, unix: bool) -> None:
    """Set the scheme, HTTPS, and on a Unix socket the default port of the scheme."""
    before, environ['wsgi.url_scheme'] = environ['wsgi.url_scheme'], scheme
    if scheme == 'https':
        environ['HTTPS'] = 'on'
    else:
        environ.pop('HTTPS', None)
    if before != scheme and unix:
        environ['SERVER_PORT'] = '443' if scheme == 'https' else '80'
