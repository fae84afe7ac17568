"""What a proxy says of its client, and who is believed."""

from __future__ import annotations

import ssl
import struct

import pytest

from granian.protocol.proxy_preamble import SIGNATURE
from tests.support.configured_core import LAST, rest, serving

CLIENT = b'X-Forwarded-For: 192.0.2.7:99\r\nX-Forwarded-Proto: https\r\n'
INTERFACES = ['wsgi', 'asginl', 'rsgi']


def wsgi(environ, start_response):
    start_response('200 OK', [])
    client = f'{environ["REMOTE_ADDR"]}:{environ["REMOTE_PORT"]}'
    return [f'{client} {environ["wsgi.url_scheme"]} {environ.get("HTTPS")}'.encode()]


async def asgi(scope, receive, send):
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    text = f'{":".join(map(str, scope["client"]))} {scope["scheme"]} '
    await send({'type': 'http.response.body', 'body': text.encode()})


async def rsgi(scope, protocol):
    protocol.response_str(200, [], f'{scope.client} {scope.scheme} ')


APPS = {'wsgi': wsgi, 'asginl': asgi, 'rsgi': rsgi}


def request(fields: bytes = b'', last: bool = True) -> bytes:
    return b'GET / HTTP/1.1\r\nHost: x\r\n' + fields + b'Connection: close\r\n' * last + b'\r\n'


def body(reply: bytes) -> bytes:
    return reply.partition(b'\r\n\r\n')[2]


@pytest.mark.proves('--forwarded-allow-ips')
@pytest.mark.parametrize('interface', INTERFACES)
def test_client_and_scheme_come_from_a_trusted_peer(serve, interface):
    served = serve(APPS[interface], interface, forwarded_allow_ips='10.0.0.0/8,127.0.0.1')
    assert body(served.ask(request(CLIENT))).startswith(b'192.0.2.7:99 https')
    assert body(served.ask(request())).startswith(b'127.0.0.1:')


@pytest.mark.parametrize('interface', INTERFACES)
def test_other_peers_are_not_believed(serve, interface):
    served = serve(APPS[interface], interface, forwarded_allow_ips='10.0.0.0/8')
    reply = body(served.ask(request(CLIENT)))
    assert reply.startswith(b'127.0.0.1:')
    assert b' http ' in reply


@pytest.mark.parametrize('interface', INTERFACES)
def test_clients_that_share_a_connection_are_told_apart(serve, interface):
    served = serve(APPS[interface], interface, forwarded_allow_ips='*')
    fields = [b'', CLIENT, b'X-Forwarded-For: 192.0.2.8\r\n', CLIENT]
    with served.connect() as client:
        for number, field in enumerate(fields):
            client.sendall(request(field, last=number == 3))
        replies = rest(client).decode()
    found = [line.split()[0] for line in replies.splitlines() if line.count(':') == 1 and ' http' in line]
    assert found[1:] == ['192.0.2.7:99', '192.0.2.8:0', '192.0.2.7:99']
    assert found[0].startswith('127.0.0.1:')


SECURE = [
    (b'', b'http'),
    (b'X-Forwarded-Proto: https\r\n', b'https'),
    (b'X-FORWARDED-SSL: on\r\n', b'https'),
    (b'X-Forwarded-Proto: http\r\n', b'http'),
    (b'X-Forwarded-Proto: HTTPS\r\n', b'http'),
    (b'X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on\r\n', b'https'),
]


@pytest.mark.proves('forwarded', 'secure_scheme_headers')
@pytest.mark.parametrize('interface', INTERFACES)
@pytest.mark.parametrize(('fields', 'scheme'), SECURE)
def test_scheme_alone_comes_from_secure_fields(serve, interface, fields, scheme):
    served = serve(APPS[interface], interface, forwarded_allow_ips='127.0.0.1', forwarded='scheme')
    reply = body(served.ask(request(fields + b'X-Forwarded-For: 192.0.2.7\r\n')))
    assert reply.startswith(b'127.0.0.1:')
    assert reply.split()[1] == scheme


@pytest.mark.parametrize('interface', INTERFACES)
@pytest.mark.parametrize(
    'fields',
    [
        b'X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n',
        b'X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n',
    ],
)
def test_secure_fields_that_disagree_are_refused(serve, interface, fields):
    served = serve(APPS[interface], interface, forwarded_allow_ips='127.0.0.1', forwarded='scheme')
    reply = served.ask(request(fields))
    assert reply.startswith(b'HTTP/1.1 400')
    assert b'Contradictory scheme headers' in reply


def test_secure_fields_may_be_others(serve):
    served = serve(wsgi, forwarded_allow_ips='*', forwarded='scheme', secure_scheme_headers={'X-Tls': 'yes'})
    assert body(served.ask(request(b'x-tls: yes\r\n'))).split()[1:] == [b'https', b'on']
    assert body(served.ask(request(CLIENT))).split()[1] == b'http'


V1 = b'PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n'
V2 = SIGNATURE + struct.pack(
    '!BBH4s4sHH', 0x21, 0x11, 12, bytes([192, 0, 2, 7]), bytes([10, 0, 0, 1]), 5000, 443
)
LOCAL = SIGNATURE + b'\x20\x00\x00\x00'


@pytest.mark.proves('--proxy-protocol')
@pytest.mark.parametrize('interface', INTERFACES)
@pytest.mark.parametrize(('version', 'preamble'), [('v1', V1), ('v2', V2), ('auto', V1), ('auto', V2)])
def test_proxy_protocol_names_the_client_of_every_request(serve, interface, version, preamble):
    served = serve(APPS[interface], interface, proxy_protocol=version)
    with served.connect() as client:
        client.sendall(preamble + request(last=False))
        client.sendall(request())
        assert rest(client).count(b'192.0.2.7:5000') == 2


@pytest.mark.parametrize('interface', INTERFACES)
@pytest.mark.parametrize('preamble', [b'', b'PROXY UNKNOWN\r\n', LOCAL])
def test_connection_without_a_named_client_keeps_its_own(serve, interface, preamble):
    served = serve(APPS[interface], interface, proxy_protocol='auto')
    assert body(served.ask(preamble + request())).startswith(b'127.0.0.1:')


@pytest.mark.parametrize('interface', INTERFACES)
def test_preamble_may_arrive_in_pieces(serve, interface):
    served = serve(APPS[interface], interface, proxy_protocol='auto')
    for preamble in (V1, V2):
        with served.connect() as client:
            for place in range(len(preamble)):
                client.sendall(preamble[place : place + 1])
            client.sendall(request())
            assert body(rest(client)).startswith(b'192.0.2.7:5000')


@pytest.mark.parametrize('interface', INTERFACES)
@pytest.mark.parametrize(
    ('options', 'preamble', 'status'),
    [
        ({'proxy_protocol': 'auto'}, b'PROXY TCP4 x y 1 2\r\n', b'400'),
        ({'proxy_protocol': 'auto'}, SIGNATURE + b'\x31\x11\x00\x00', b'400'),
        ({'proxy_protocol': 'v1'}, V2, b'400'),
        ({'proxy_protocol': 'v2'}, V1, b'400'),
        ({}, V1, b'400'),
        ({'proxy_protocol': 'auto', 'proxy_allow_ips': '10.0.0.1'}, V1, b'403'),
        ({'proxy_protocol': 'auto', 'proxy_allow_ips': '10.0.0.1'}, b'PROXY TCP4 x y 1 2\r\n', b'403'),
    ],
)
def test_bad_or_unexpected_preamble_is_refused(serve, interface, options, preamble, status):
    reply = serve(APPS[interface], interface, **options).ask(preamble + request())
    assert reply.startswith(b'HTTP/1.1 ' + status)


@pytest.mark.proves('--proxy-allow-ips')
def test_peers_that_may_use_the_proxy_protocol_are_those_given(serve):
    served = serve(wsgi, proxy_protocol='auto', proxy_allow_ips='127.0.0.0/8')
    assert body(served.ask(V1 + request())).startswith(b'192.0.2.7:5000')


@pytest.mark.parametrize('interface', INTERFACES)
def test_client_that_leaves_within_a_preamble_is_forgotten(serve, interface):
    served = serve(APPS[interface], interface, proxy_protocol='auto')
    for part in (b'', b'PRO', V1[:20], V2[:14]):
        with served.connect() as client:
            client.sendall(part)
            client.shutdown(1)
            assert rest(client) == b''


@pytest.mark.parametrize('interface', INTERFACES)
def test_preamble_comes_before_tls(tls_files, interface):
    certificate, key = tls_files
    context = ssl.create_default_context(cafile=certificate)
    options = {'ssl_cert': certificate, 'ssl_key': key, 'proxy_protocol': 'auto'}
    with serving(APPS[interface], interface, **options) as served, served.connect() as client:
        client.sendall(V2)
        with context.wrap_socket(client, server_hostname='localhost') as wrapped:
            wrapped.sendall(request())
            assert body(rest(wrapped)).startswith(b'192.0.2.7:5000 https')


def test_environ_has_the_proxys_own_address(serve):
    def app(environ, start_response):
        start_response('200 OK', [])
        return [' '.join(environ.get(f'PROXY_{key}', '-') for key in ('PROTOCOL', 'ADDR', 'PORT')).encode()]

    served = serve(app, proxy_protocol='auto')
    assert body(served.ask(V1 + request())) == b'TCP4 10.0.0.1 443'
    assert body(served.ask(LAST % b'/')) == b'- - -'


def test_trust_in_fields_looks_at_the_real_peer(serve):
    served = serve(wsgi, proxy_protocol='auto', forwarded_allow_ips='127.0.0.1')
    assert body(served.ask(V1 + request(b'X-Forwarded-For: 192.0.2.9\r\n'))).startswith(b'192.0.2.9:0')
    served = serve(wsgi, proxy_protocol='auto', forwarded_allow_ips='192.0.2.7')
    assert body(served.ask(V1 + request(b'X-Forwarded-For: 192.0.2.9\r\n'))).startswith(b'192.0.2.7:5000')
