"""`environ`: a request in the terms of CGI (RFC 3875 section 4.1) and PEP 3333."""

from __future__ import annotations

import functools
import textwrap
from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from .._version import __version__
from .files import FileWrapper
from .input import Errors, Input

if TYPE_CHECKING:
    from ..protocol.proxy_preamble import Preamble
    from ..stream import Address, Stream, TLSInfo
    from ..stream import Head as Head

Environ = dict[str, Any]

PROTOCOLS = {'1.0': 'HTTP/1.0', '1.1': 'HTTP/1.1', '2': 'HTTP/2.0'}
"""RFC 3875 4.1.16: SERVER_PROTOCOL has a major and a minor version."""
DEFAULT_PORTS = {'http': '80', 'https': '443'}


def latin1(text: str) -> str:
    """Return `text` as a native string of PEP 3333: one character for each byte of its UTF-8."""
    return text.encode('utf-8', 'surrogateescape').decode('latin-1')


def normalize_prefix(prefix: str | None) -> str:
    """Return '/p' for 'p', '/p' and '/p/', and '' for None, '' and '/'."""
    stripped = (prefix or '').strip('/')
    return latin1('/' + stripped) if stripped else ''


def common_environ(prefix: str, multithread: bool, multiprocess: bool) -> Environ:
    """Return the keys that are the same for all requests of a worker."""
    return {
        # Set for each request; listed here so that the copied dictionary has room for them.
        **dict.fromkeys(('REQUEST_METHOD', 'PATH_INFO', 'QUERY_STRING', 'REQUEST_URI', 'RAW_URI')),
        **dict.fromkeys(('wsgi.input', 'wsgi.early_hints')),
        'SCRIPT_NAME': prefix,
        'SERVER_PROTOCOL': 'HTTP/1.1',
        'SERVER_SOFTWARE': f'granian/{__version__}',
        'REMOTE_ADDR': '',
        'REMOTE_PORT': '',
        'wsgi.version': (1, 0),
        'wsgi.errors': Errors(),
        'wsgi.input_terminated': True,
        'wsgi.multithread': multithread,
        'wsgi.multiprocess': multiprocess,
        'wsgi.run_once': False,
        'wsgi.file_wrapper': FileWrapper,
    }


def environ_maker(
    *, prefix: str, multithread: bool, multiprocess: bool
) -> Callable[[Stream], Environ | None]:
    """Return a function that makes a stream's environ, or None for a path that is not under `prefix`."""
    common = common_environ(prefix, multithread, multiprocess)

    def environ(stream: Stream) -> Environ | None:
        head = stream.head
        path: str | None = head.path
        if prefix or '%' in head.path or path == '*':
            path = path_info(head.path, prefix)
            if path is None:
                return None
        template = stream.memo.get('environ')
        if template is None:
            template = stream.memo['environ'] = common | connection_environ(stream)
        env: Environ = template.copy()
        env['REQUEST_METHOD'] = head.method
        env['PATH_INFO'] = path
        env['QUERY_STRING'] = head.query
        env['REQUEST_URI'] = env['RAW_URI'] = head.target
        if head.version != '1.1':
            env['SERVER_PROTOCOL'] = PROTOCOLS[head.version]
        if stream.complete:
            body = stream.body
            env['wsgi.input'] = BytesIO(body)
            if body and head.content_length is None:
                # RFC 3875 4.1.2: the length after transfer codings are removed. Django reads nothing else.
                env['CONTENT_LENGTH'] = str(len(body))
        else:
            set_input(env, stream)
        known = head.environ
        if known is None:
            add_fields(env, head)
        else:
            given, others = known
            env.update(given)
            if others:
                env.update(others)
                env.pop(None, None)  # type: ignore[call-overload]  # a field that WSGI must not see
        return env

    return environ


def path_info(path: str, prefix: str) -> str | None:
    """Return PATH_INFO: the decoded path below `prefix`, or None where it is not below it."""
    if '%' in path:
        path = unquote_to_bytes(path.encode('latin-1')).decode('latin-1')
    if not prefix:
        # OPTIONS *: the application as a whole. PATH_INFO may be empty, else starts with '/'.
        return '' if path == '*' else path
    below = path.removeprefix(prefix)
    return below if below != path and below[:1] in ('', '/') else None


def set_input(env: Environ, stream: Stream) -> None:
    """Give a request the input of a body that has not been read."""
    env['wsgi.input'] = Input(stream.read)
    size = stream.body_size
    if size is not None:
        env['CONTENT_LENGTH'] = str(size)


def add_fields(env: Environ, head: Head) -> None:
    """Add the header fields of a request."""
    fields = head.fields
    expected = len(env) + len(fields)
    for field, value in fields:
        env[field.environ_key] = value  # type: ignore[index]
    if len(env) != expected:
        join_repeats(env, head)
    elif None in env:  # one field that WSGI must not see, such as Connection
        del env[None]  # type: ignore[arg-type]


def connection_environ(stream: Stream) -> Environ:
    """Return the keys that are the same for all requests of a connection."""
    env = server_environ(stream.server, stream.scheme)
    if stream.client is not None:
        env['REMOTE_ADDR'], env['REMOTE_PORT'] = stream.client[0], str(stream.client[1])
    preamble = getattr(stream.client, 'preamble', None)
    if preamble is not None:
        env.update(proxy_environ(preamble))
    if stream.tls is not None:
        env.update(tls_environ(stream.tls))
    return env


def proxy_environ(preamble: Preamble) -> Environ:
    """Return what the PROXY protocol says of the connection that the proxy has accepted."""
    address, port = preamble.destination
    return {'PROXY_PROTOCOL': preamble.protocol, 'PROXY_ADDR': address, 'PROXY_PORT': str(port)}


def join_repeats(env: Environ, head: Head) -> None:
    """Join the values of repeated fields, and remove the fields that WSGI must not see."""
    values: dict[str, list[str]] = {}
    for field, value in head.fields:
        if field.environ_key is not None:
            values.setdefault(field.environ_key, []).append(value)
    env.pop(None, None)  # type: ignore[call-overload]
    for key, several in values.items():
        if len(several) > 1:
            env[key] = ('; ' if key == 'HTTP_COOKIE' else ',').join(several)


def add_upgrade(env: Environ, head: Head) -> None:
    """Add the hop-by-hop fields of a WebSocket handshake, which an application answers itself."""
    for field, value in head.fields:
        if field.name in ('connection', 'upgrade'):
            env['HTTP_' + field.name.upper()] = value


def server_environ(server: Address | str, scheme: str) -> Environ:
    """Return the keys of the listener. SERVER_NAME and SERVER_PORT are never empty (PEP 3333)."""
    if isinstance(server, str):
        name, port = 'localhost', DEFAULT_PORTS[scheme]
    else:
        name, port = server[0], str(server[1])
        if ':' in name:
            name = f'[{name}]'  # RFC 3875 4.1.14: a form that a URL can contain
    env = {'SERVER_NAME': name, 'SERVER_PORT': port, 'wsgi.url_scheme': scheme}
    if scheme == 'https':
        env['HTTPS'] = 'on'
    return env


def tls_environ(tls: TLSInfo) -> Environ:
    """Return the TLS parameters under the names of mod_ssl."""
    env = {'SSL_PROTOCOL': tls.version, 'SSL_CIPHER': tls.cipher, 'SSL_CLIENT_VERIFY': 'NONE'}
    if tls.client_certificate is not None:
        # An invalid certificate has ended the handshake, so this one was verified.
        env['SSL_CLIENT_VERIFY'] = 'SUCCESS'
        env['SSL_CLIENT_CERT'] = pem(tls.client_certificate)
        env['SSL_CLIENT_S_DN'] = latin1(tls.client_subject or '')
    return env


@functools.lru_cache(maxsize=256)
def pem(der: bytes) -> str:
    lines = textwrap.wrap(b64encode(der).decode('ascii'), 64)
    return '\n'.join(['-----BEGIN CERTIFICATE-----', *lines, '-----END CERTIFICATE-----', ''])
