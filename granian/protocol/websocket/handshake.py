"""The opening handshake, server's side: RFC 6455 4.2, and RFC 8441 for HTTP/2."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING

from ..interface import Headers, InvalidResponse
from .deflate import DeflateParameters, negotiate

if TYPE_CHECKING:
    from ..head import Head

_GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")

# Ours to write: the application's are dropped.
_OURS = frozenset(
    {b'sec-websocket-accept', b'sec-websocket-extensions', b'connection', b'upgrade', b'content-length',
     b'transfer-encoding'}
)  # fmt: skip


class HandshakeRefused(Exception):
    """The request for a WebSocket is not a valid one: `status`, `headers` and the text to answer."""

    def __init__(self, status: int, reason: str, headers: Headers = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers


class Handshake:
    """A valid request for a WebSocket, and what it offers."""

    __slots__ = ('deflate', 'key', 'subprotocols')

    def __init__(self, head: Head, per_message_deflate: bool = True) -> None:
        """Check the handshake, whose `head.upgrade` is 'websocket'. Raise HandshakeRefused."""
        fields: dict[str, str] = {}
        for field, value in head.fields:
            name = field.name
            if name in _COMBINED and name in fields:
                fields[name] += ',' + value
            elif name in _SINGLE and name in fields:
                raise HandshakeRefused(400, f'repeated {name}')
            else:
                fields[name] = value
        if fields.get('sec-websocket-version') != '13':
            if 'sec-websocket-version' not in fields:
                raise HandshakeRefused(400, 'missing sec-websocket-version')
            raise HandshakeRefused(426, 'WebSocket version 13 only', [(b'sec-websocket-version', b'13')])
        if head.content_length or head.chunked:
            raise HandshakeRefused(400, 'a WebSocket handshake has no body')

        self.key = b'' if head.version == '2' else _http1_key(head, fields)
        self.subprotocols = _tokens(fields.get('sec-websocket-protocol', ''))
        self.deflate: DeflateParameters | None = None
        if per_message_deflate and 'sec-websocket-extensions' in fields:
            self.deflate = negotiate(fields['sec-websocket-extensions'])

    def response(self, subprotocol: str | None, headers: Headers) -> Headers:
        """Return the fields of the response that accepts. Raise InvalidResponse."""
        response: list[tuple[bytes, bytes]] = []
        if self.key:
            digest = hashlib.sha1(self.key + _GUID, usedforsecurity=False).digest()
            response.append((b'sec-websocket-accept', base64.b64encode(digest)))
        if subprotocol is not None:
            if subprotocol not in self.subprotocols:
                raise InvalidResponse(f'subprotocol {subprotocol!r} was not offered by the client')
            response.append((b'sec-websocket-protocol', subprotocol.encode('ascii')))
        if self.deflate is not None:
            response.append((b'sec-websocket-extensions', self.deflate.header().encode('ascii')))
        response += [pair for pair in map(_as_bytes, headers) if pair[0].lower() not in _OURS]
        return response


def _as_bytes(pair: tuple[bytes, bytes] | tuple[str, str]) -> tuple[bytes, bytes]:
    name, value = pair
    try:
        return (
            name.encode('latin-1') if isinstance(name, str) else name,
            value.encode('latin-1') if isinstance(value, str) else value,
        )
    except UnicodeEncodeError:
        raise InvalidResponse(f'header {name!r}: {value!r}: more than latin-1') from None


_SINGLE = frozenset({'sec-websocket-key', 'sec-websocket-version'})
_COMBINED = frozenset({'sec-websocket-protocol', 'sec-websocket-extensions', 'connection'})


def _http1_key(head: Head, fields: dict[str, str]) -> bytes:
    if head.method != 'GET' or head.version != '1.1':
        raise HandshakeRefused(400, 'a WebSocket handshake is a GET of HTTP/1.1')
    if 'upgrade' not in (token.lower() for token in _tokens(fields.get('connection', ''))):
        raise HandshakeRefused(400, 'Connection does not name Upgrade')
    try:
        key = fields['sec-websocket-key'].encode('latin-1')
        if len(base64.b64decode(key, validate=True)) != 16:
            raise ValueError
    except (KeyError, binascii.Error, ValueError):
        raise HandshakeRefused(400, 'sec-websocket-key is not 16 bytes in base64') from None
    return key


def _tokens(value: str) -> list[str]:
    """Split a comma-separated list of tokens. RFC 9110 5.6.1 lets elements be empty."""
    tokens = [token for part in value.split(',') if (token := part.strip(' \t'))]
    for token in tokens:
        if not _TOKEN.match(token):
            raise HandshakeRefused(400, 'malformed handshake field')
    return tokens
