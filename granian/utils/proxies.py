"""For applications behind a reverse proxy: the client's address and scheme from X-Forwarded-*.

Only a trusted peer is believed, and of what it passes on only the part that trusted
proxies have added themselves: the chain of X-Forwarded-For is walked from its right end.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SCHEMES = {'http': 'http', 'https': 'https', 'ws': 'http', 'wss': 'https'}


class _Trusted:
    """Which peers are proxies of ours: addresses, networks, literals, or all of them."""

    def __init__(self, hosts: Sequence[str] | str) -> None:
        given = hosts.split(',') if isinstance(hosts, str) else hosts
        names = [name.strip() for name in given if name.strip()]
        self.all = '*' in names
        self.literals = set(names)
        self.networks: list[_Network] = []
        for name in names:
            try:
                self.networks.append(ipaddress.ip_network(name))
            except ValueError:
                if '/' in name and not name.startswith(('/', 'unix')):
                    # 10.0.0.1/8 and 10.0.0.0/99 would otherwise be taken for a literal that never matches.
                    raise ValueError(f'trusted_hosts: {name!r} is not a network') from None

    def __contains__(self, host: str) -> bool:
        if self.all or host in self.literals:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, 'ipv4_mapped', None)  # ::ffff:10.0.0.1 on a dual-stack listener
        return any((mapped or address) in network for network in self.networks)

    def client(self, forwarded_for: Iterable[str]) -> tuple[str, int] | None:
        """The rightmost address that is not trusted, the first if all are; None: the chain is of no use.

        The walk stops at an entry that is no address: what is left of it, nobody vouches for.
        """
        found = None
        for entry in reversed([entry.strip() for value in forwarded_for for entry in value.split(',')]):
            if not entry:
                continue
            parsed = _host_and_port(entry)
            if parsed is None:
                break
            found = parsed
            if parsed[0] not in self:
                break
        return found


def _host_and_port(entry: str) -> tuple[str, int] | None:
    """`addr`, `addr:port`, `[v6]` or `[v6]:port`; the port is 0 where there is none."""
    host, port = entry, ''
    if entry.startswith('['):
        host, bracket, rest = entry[1:].partition(']')
        if not bracket or (rest and not rest.startswith(':')):
            return None
        port = rest[1:]
    elif entry.count(':') == 1:
        host, _, port = entry.partition(':')
    if port and not (port.isascii() and port.isdigit() and int(port) < 65536):
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return host, int(port or 0)


def _scheme(values: Iterable[str]) -> str | None:
    """'http' or 'https'; None when nothing is said, nothing that is a scheme, or contradictions."""
    said = {value.strip().lower() for text in values for value in text.split(',')}
    return _SCHEMES.get(said.pop()) if len(said) == 1 else None


def wrap_asgi_with_proxy_headers(app: Any, trusted_hosts: list[str] | str = '127.0.0.1') -> Any:
    """An ASGI application that sees the client's `client` and `scheme` where the peer is trusted.

    `trusted_hosts`: a list, or a string separated by commas, of addresses, CIDR networks, literals
    (the peer of a Unix socket is 'unix'), or '*'. X-Forwarded-Proto may be http, https, ws or wss.
    Raises ValueError for a network that is none.
    """
    trusted = _Trusted(trusted_hosts)

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope['type'] in ('http', 'websocket'):
            peer = scope.get('client')
            if (peer[0] if peer and peer[0] else 'unix') in trusted:
                scope = _forwarded_scope(trusted, scope)
        await app(scope, receive, send)

    return wrapped


def _forwarded_scope(trusted: _Trusted, scope: Any) -> Any:
    # Exact names: X_Forwarded_For is a header of the client's own, that proxies do not remove.
    values: dict[bytes, list[str]] = {b'x-forwarded-for': [], b'x-forwarded-proto': []}
    for name, value in scope['headers']:
        if name in values:
            values[name].append(value.decode('latin-1'))
    scope = dict(scope)
    client = trusted.client(values[b'x-forwarded-for'])
    scheme = _scheme(values[b'x-forwarded-proto'])
    if client is not None:
        scope['client'] = client
    if scheme is not None:
        secure = scheme == 'https'
        websocket = scope['type'] == 'websocket'
        scope['scheme'] = ('wss' if secure else 'ws') if websocket else scheme
    return scope


def wrap_wsgi_with_proxy_headers(app: Any, trusted_hosts: list[str] | str = '127.0.0.1') -> Any:
    """A WSGI application that sees the client's REMOTE_ADDR and wsgi.url_scheme where the peer is trusted.

    As `wrap_asgi_with_proxy_headers`; REMOTE_PORT is the forwarded one, or '0'.
    """
    trusted = _Trusted(trusted_hosts)

    def wrapped(environ: dict[str, Any], start_response: Any) -> Any:
        if (environ.get('REMOTE_ADDR') or 'unix') in trusted:
            # The server joins repeated headers with commas and drops names with an underscore.
            unix = not environ.get('REMOTE_ADDR')
            client = trusted.client([environ.get('HTTP_X_FORWARDED_FOR', '')])
            scheme = _scheme([environ.get('HTTP_X_FORWARDED_PROTO', '')])
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
