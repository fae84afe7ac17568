"""What a proxy says of its client, and who is believed."""

from __future__ import annotations

import pytest
from configured import rest

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
