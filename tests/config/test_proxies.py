import asyncio
from typing import Any

import pytest

from granian.utils.proxies import wrap_asgi_with_proxy_headers, wrap_wsgi_with_proxy_headers

Peer = str | None


def through_wsgi(peer: Peer, headers: list[tuple[str, str]], trusted: Any) -> tuple[str, str]:
    environ: dict[str, Any] = {'REMOTE_ADDR': peer or '', 'REMOTE_PORT': '99', 'wsgi.url_scheme': 'http'}
    for name, value in headers:
        if '_' in name:
            continue  # as the server does
        key = 'HTTP_' + name.upper().replace('-', '_')
        environ[key] = f'{environ[key]}, {value}' if key in environ else value
    seen: list[Any] = []
    kwargs = {} if trusted is None else {'trusted_hosts': trusted}
    app = wrap_wsgi_with_proxy_headers(lambda env, start: seen.append(env) or [b'ok'], **kwargs)
    assert app(environ, None) == [b'ok']
    port = '' if seen[0]['REMOTE_PORT'] in ('0', '99') else ':' + seen[0]['REMOTE_PORT']
    return seen[0]['REMOTE_ADDR'] + port, seen[0]['wsgi.url_scheme']


def through_asgi(
    peer: Peer, headers: list[tuple[str, str]], trusted: Any, type_: str = 'http'
) -> tuple[str, str]:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    scope = {
        'type': type_,
        'client': (peer, 99) if peer else None,
        'scheme': {'http': 'http', 'websocket': 'ws'}[type_],
        'headers': [(name.lower().encode(), value.encode()) for name, value in headers],
    }
    before = repr(scope)
    kwargs = {} if trusted is None else {'trusted_hosts': trusted}
    asyncio.run(wrap_asgi_with_proxy_headers(app, **kwargs)(scope, None, None))
    assert repr(scope) == before
    host, port = seen[0]['client'] or ('', 0)
    return host + ('' if port in (0, 99) else f':{port}'), seen[0]['scheme']


FOR, PROTO = 'X-Forwarded-For', 'X-Forwarded-Proto'
CASES: dict[str, tuple[Peer, list[tuple[str, str]], Any, tuple[str, str]]] = {
    'default trusts loopback':
        ('127.0.0.1', [(FOR, '1.2.3.4'), (PROTO, 'https')], None, ('1.2.3.4', 'https')),
    'others are not believed': ('9.9.9.9', [(FOR, '1.2.3.4'), (PROTO, 'https')], None, ('9.9.9.9', 'http')),
    'nothing forwarded': ('127.0.0.1', [], None, ('127.0.0.1', 'http')),
    'rightmost untrusted': ('127.0.0.1', [(FOR, '6.6.6.6, 1.2.3.4')], None, ('1.2.3.4', 'http')),
    'past trusted ones':
        ('10.0.0.1', [(FOR, '6.6.6.6, 1.2.3.4, 10.0.0.2')], '10.0.0.0/8', ('1.2.3.4', 'http')),
    'first when all are': ('10.0.0.1', [(FOR, '10.0.0.3, 10.0.0.2')], '10.0.0.0/8', ('10.0.0.3', 'http')),
    'star': ('9.9.9.9', [(FOR, '1.1.1.1, 2.2.2.2')], '*', ('1.1.1.1', 'http')),
    'star in a list': ('9.9.9.9', [(FOR, '1.1.1.1')], ['*'], ('1.1.1.1', 'http')),
    'a list': ('10.1.1.1', [(FOR, '1.1.1.1')], ['10.1.1.1', '127.0.0.1'], ('1.1.1.1', 'http')),
    'commas and blanks': ('10.1.1.1', [(FOR, '1.1.1.1')], ' 127.0.0.1 , 10.1.1.1,', ('1.1.1.1', 'http')),
    'IPv6 network': ('2001:db8::5', [(FOR, '2001:db9::1')], '2001:db8::/32', ('2001:db9::1', 'http')),
    'IPv6 in another spelling': ('0:0:0:0:0:0:0:1', [(FOR, '1.1.1.1')], '::1', ('1.1.1.1', 'http')),
    'IPv4 in IPv6': ('::ffff:10.0.0.1', [(FOR, '1.1.1.1')], '10.0.0.0/8', ('1.1.1.1', 'http')),
    'repeated headers are one chain':
        ('127.0.0.1', [(FOR, '6.6.6.6'), (FOR, '1.2.3.4')], None, ('1.2.3.4', 'http')),
    'a port': ('127.0.0.1', [(FOR, '1.2.3.4:5678')], None, ('1.2.3.4:5678', 'http')),
    'IPv6 with brackets and port':
        ('127.0.0.1', [(FOR, '[2001:db8::1]:80')], None, ('2001:db8::1:80', 'http')),
    'brackets alone': ('127.0.0.1', [(FOR, '[::2]')], None, ('::2', 'http')),
    'garbage is not an address': ('127.0.0.1', [(FOR, '<script>')], None, ('127.0.0.1', 'http')),
    'the walk stops at garbage': ('127.0.0.1', [(FOR, '1.1.1.1, unknown')], None, ('127.0.0.1', 'http')),
    'a bad port is garbage': ('127.0.0.1', [(FOR, '1.1.1.1:99999')], None, ('127.0.0.1', 'http')),
    'a port of many digits is garbage':
        ('127.0.0.1', [(FOR, '1.1.1.1:' + '9' * 5000)], None, ('127.0.0.1', 'http')),
    'a port with leading zeros of many digits is garbage':
        ('127.0.0.1', [(FOR, '1.1.1.1:' + '0' * 5000 + '80')], None, ('127.0.0.1', 'http')),
    'an IPv6 zone is garbage': ('127.0.0.1', [(FOR, 'fe80::1%eth0')], None, ('127.0.0.1', 'http')),
    'an IPv6 zone may not be any text':
        ('127.0.0.1', [(FOR, '[fe80::1%<script>"]:80')], None, ('127.0.0.1', 'http')),
    'digits of other scripts are garbage':
        ('127.0.0.1', [(FOR, '1.1.1.1:\xb2')], None, ('127.0.0.1', 'http')),
    'empty entries are skipped': ('127.0.0.1', [(FOR, '1.2.3.4, ,')], None, ('1.2.3.4', 'http')),
    'unix socket by name': (None, [(FOR, '1.2.3.4')], 'unix', ('1.2.3.4', 'http')),
    'unix socket not by default': (None, [(FOR, '1.2.3.4')], None, ('', 'http')),
    'no proxy trusted': (None, [(FOR, '1.2.3.4')], '', ('', 'http')),
    'underscore spelling is ignored':
        ('127.0.0.1', [('X_Forwarded_For', '6.6.6.6')], None, ('127.0.0.1', 'http')),
    'scheme in any case': ('127.0.0.1', [(PROTO, 'HTTPS')], None, ('127.0.0.1', 'https')),
    'scheme wss': ('127.0.0.1', [(PROTO, 'wss')], None, ('127.0.0.1', 'https')),
    'scheme unknown': ('127.0.0.1', [(PROTO, 'gopher')], None, ('127.0.0.1', 'http')),
    'schemes that agree': ('127.0.0.1', [(PROTO, 'https'), (PROTO, 'https')], None, ('127.0.0.1', 'https')),
    'schemes that contradict':
        ('127.0.0.1', [(PROTO, 'https'), (PROTO, 'http')], None, ('127.0.0.1', 'http')),
    'contradiction in one header': ('127.0.0.1', [(PROTO, 'https, http')], None, ('127.0.0.1', 'http')),
}  # fmt: skip


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize('through', [through_wsgi, through_asgi])
def test_proxy_headers(name: str, through: Any) -> None:
    peer, headers, trusted, expected = CASES[name]
    assert through(peer, headers, trusted) == expected


@pytest.mark.parametrize(
    ('peer', 'said', 'seen'),
    [
        ('', 'https', ('https', '443', 'on')),
        ('', 'http', ('http', '80', None)),
        ('127.0.0.1', 'https', ('https', '8000', 'on')),
    ],
)
def test_port_and_https_follow_the_scheme(peer: str, said: str, seen: Any) -> None:
    environ = {'REMOTE_ADDR': peer, 'SERVER_PORT': '8000' if peer else '80', 'wsgi.url_scheme': 'http'}
    environ['HTTP_X_FORWARDED_PROTO'] = said
    found = []

    def app(environ: Any, start_response: Any) -> Any:
        found.append((environ['wsgi.url_scheme'], environ['SERVER_PORT'], environ.get('HTTPS')))
        return []

    wrap_wsgi_with_proxy_headers(app, '*')(environ, None)
    assert found == [seen]


@pytest.mark.parametrize(('said', 'seen'), [('https', 'wss'), ('wss', 'wss'), ('http', 'ws'), ('ws', 'ws')])
def test_websocket_schemes(said: str, seen: str) -> None:
    assert through_asgi('127.0.0.1', [(PROTO, said)], None, 'websocket')[1] == seen


def test_lifespan_passes_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    scope = {'type': 'lifespan'}
    asyncio.run(wrap_asgi_with_proxy_headers(app, '*')(scope, None, None))
    assert seen[0] is scope


@pytest.mark.parametrize('bad', ['10.0.0.1/8', '10.0.0.0/99', 'fe80::1/10'])
def test_a_network_that_is_none_is_an_error(bad: str) -> None:
    with pytest.raises(ValueError, match='is not a network'):
        wrap_wsgi_with_proxy_headers(lambda e, s: [], bad)
