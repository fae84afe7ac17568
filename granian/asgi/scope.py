"""The scopes of HTTP and WebSocket exchanges."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .types import SPEC_VERSION, Scope

if TYPE_CHECKING:
    from ..stream import AsyncStream, TLSInfo


def make_scope(
    stream: AsyncStream, root_path: str, state: dict[str, Any] | None, pathsend: bool = False
) -> Scope:
    """Return the scope of an HTTP request. Its path includes `root_path`, as the specification asks.

    Every mutable object in it is new: an application that changes its scope changes no other request's.
    """
    head = stream.head
    path = head.path
    query = head.query
    blank = stream.memo.get('scope')
    if blank is None:
        blank = stream.memo['scope'] = blank_scope(stream, root_path)
    # Copying and setting eight values takes a third of the time of building the whole scope.
    scope: Scope = blank.copy()
    scope['asgi'] = {'version': '3.0', 'spec_version': SPEC_VERSION}
    extensions: dict[str, Any] = {'http.response.trailers': {}, 'http.response.early_hint': {}}
    if pathsend:
        extensions['http.response.pathsend'] = {}
    info = scope['extensions']
    if info is not None:
        extensions['tls'] = tls(info)
    scope['extensions'] = extensions
    scope['http_version'] = head.version
    scope['method'] = head.method.upper()
    scope['path'] = path if '%' not in path and path.isascii() else decode_path(path)
    scope['raw_path'] = path.encode('latin-1')
    if query:
        scope['query_string'] = query.encode('latin-1')
    scope['headers'] = head.raw_fields()
    if state is not None:
        scope['state'] = state.copy()
    return scope


def blank_scope(stream: AsyncStream, root_path: str) -> Scope:
    """Return the values that all scopes of a connection share, with placeholders for the others."""
    server = stream.server
    return {
        'type': 'http',
        'asgi': None,
        'http_version': '',
        'method': '',
        'scheme': stream.scheme,
        'path': '',
        'raw_path': b'',
        'query_string': b'',
        'root_path': root_path,
        'headers': [],
        'client': stream.client,
        'server': (server, None) if isinstance(server, str) else server,
        'extensions': stream.tls,  # `make_scope` makes the extension of it; None in clear text
    }


def make_websocket_scope(
    stream: AsyncStream, root_path: str, state: dict[str, Any] | None, subprotocols: list[str]
) -> Scope:
    """Return the scope of a WebSocket."""
    scope = make_scope(stream, root_path, state)
    del scope['method']
    scope['type'] = 'websocket'
    scope['scheme'] = 'wss' if stream.scheme == 'https' else 'ws'
    scope['subprotocols'] = subprotocols
    scope['extensions'] = {'websocket.http.response': {}}
    if stream.tls is not None:
        scope['extensions']['tls'] = tls(stream.tls)
    return scope


def decode_path(path: str) -> str:
    """Decode percent escapes, then UTF-8. Bytes that are not UTF-8 become U+FFFD."""
    return (
        unquote(path.encode('latin-1').decode('utf-8', 'surrogateescape'))
        .encode('utf-8', 'surrogateescape')
        .decode('utf-8', 'replace')
    )


def under_prefix(path: str, prefix: str) -> bool:
    """Return True if a decoded path is `prefix` or below it; `prefix` has no trailing slash."""
    return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == '/')


_VERSIONS = {'TLSv1': 0x0301, 'TLSv1.1': 0x0302, 'TLSv1.2': 0x0303, 'TLSv1.3': 0x0304}


def tls(info: TLSInfo) -> dict[str, Any]:
    """Return the `tls` extension, with certificates as PEM."""
    server, client = info.server_certificate, info.client_certificate
    return {
        'server_cert': pem(server) if server else None,
        'client_cert_chain': [pem(client)] if client else [],
        'client_cert_name': info.client_subject,
        'client_cert_error': None,
        'tls_version': _VERSIONS.get(info.version),
        'cipher_suite': _CIPHER_SUITES.get(info.cipher),
    }


@lru_cache(maxsize=256)
def pem(certificate: bytes) -> str:
    from ssl import DER_cert_to_PEM_cert

    return DER_cert_to_PEM_cert(certificate)


_CIPHER_SUITES: dict[str, int] = {
    'TLS_AES_128_GCM_SHA256': 0x1301,
    'TLS_AES_256_GCM_SHA384': 0x1302,
    'TLS_CHACHA20_POLY1305_SHA256': 0x1303,
    'TLS_AES_128_CCM_SHA256': 0x1304,
    'TLS_AES_128_CCM_8_SHA256': 0x1305,
    'ECDHE-RSA-AES128-GCM-SHA256': 0xC02F,
    'ECDHE-RSA-AES256-GCM-SHA384': 0xC030,
    'ECDHE-ECDSA-AES128-GCM-SHA256': 0xC02B,
    'ECDHE-ECDSA-AES256-GCM-SHA384': 0xC02C,
    'ECDHE-RSA-CHACHA20-POLY1305': 0xCCA8,
    'ECDHE-ECDSA-CHACHA20-POLY1305': 0xCCA9,
    'DHE-RSA-AES128-GCM-SHA256': 0x009E,
    'DHE-RSA-AES256-GCM-SHA384': 0x009F,
    'DHE-RSA-CHACHA20-POLY1305': 0xCCAA,
    'ECDHE-RSA-AES128-SHA256': 0xC027,
    'ECDHE-RSA-AES256-SHA384': 0xC028,
    'ECDHE-ECDSA-AES128-SHA256': 0xC023,
    'ECDHE-ECDSA-AES256-SHA384': 0xC024,
    'DHE-RSA-AES128-SHA256': 0x0067,
    'DHE-RSA-AES256-SHA256': 0x006B,
    'AES128-GCM-SHA256': 0x009C,
    'AES256-GCM-SHA384': 0x009D,
}
"""IANA numbers of cipher suites by OpenSSL's names."""
