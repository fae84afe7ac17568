"""TLS's options, from the Config to a client."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack

import pytest

from granian.errors import ConfigurationError
from tests.support.configured_core import LAST, hello, rest, serving


@pytest.fixture
def serve(pki):
    """Yield `serve(**options)`, which makes a server with the certificate of the tests."""
    with ExitStack() as stack:
        yield lambda app=hello, **options: stack.enter_context(
            serving(app, **{'ssl_cert': pki['server.pem'], 'ssl_key': pki['server.key'], **options})
        )


def ask(served, context):
    with served.connect() as sock, context.wrap_socket(sock, server_hostname='localhost') as client:
        client.sendall(LAST % b'/')
        return client.version(), rest(client)


def told(environ, start_response):
    start_response('200 OK', [])
    return [environ['wsgi.url_scheme'].encode()]


@pytest.mark.proves('--ssl-certificate', '--ssl-keyfile')
def test_tls_is_on_when_both_are_given(serve, make_client):
    version, reply = ask(serve(told), make_client())
    assert version == 'TLSv1.3'
    assert reply.endswith(b'https')


@pytest.mark.proves('--ssl-keyfile-password')
def test_an_encrypted_key(serve, pki, make_client):
    served = serve(ssl_key=pki['server-encrypted.key'], ssl_key_password='secret')
    assert ask(served, make_client())[1].endswith(b'hello')


@pytest.mark.proves('--ssl-protocol-min')
@pytest.mark.parametrize('oldest', ['tls1.2', 'tls1.3'])
def test_the_oldest_version(serve, make_client, oldest):
    served = serve(ssl_protocol_min=oldest)
    client = make_client(maximum=ssl.TLSVersion.TLSv1_2)
    if oldest == 'tls1.2':
        assert ask(served, client)[0] == 'TLSv1.2'
    else:
        with pytest.raises(ssl.SSLError, match=r'(?i)protocol.version'):
            ask(served, client)


@pytest.mark.proves('--ssl-ca', '--ssl-crl', '--ssl-client-verify')
@pytest.mark.parametrize(
    ('who', 'welcome'), [('client', True), (None, False), ('stranger', False), ('revoked', False)]
)
def test_client_certificates(serve, pki, make_client, who, welcome):
    served = serve(ssl_ca=pki['ca.pem'], ssl_crl=[pki['crl.pem']], ssl_client_verify=True)
    try:
        reply = ask(served, make_client(certificate=who))[1]
    except (ssl.SSLError, ConnectionError):
        reply = b''
    assert reply.endswith(b'hello') == welcome


@pytest.mark.proves('--ssl-client-verify')
def test_without_it_nobody_is_asked(serve, pki, make_client):
    served = serve(ssl_ca=pki['ca.pem'], ssl_client_verify=False)
    assert ask(served, make_client())[1].endswith(b'hello')


@pytest.mark.parametrize(('who', 'welcome'), [('client', True), (None, True), ('stranger', False)])
def test_optional_client_certificate_is_verified_when_given(serve, pki, make_client, who, welcome):
    served = serve(ssl_ca=pki['ca.pem'], ssl_client_verify='optional')
    try:
        reply = ask(served, make_client(certificate=who))[1]
    except (ssl.SSLError, ConnectionError):
        reply = b''
    assert reply.endswith(b'hello') == welcome


@pytest.mark.proves('--ssl-ciphers')
def test_ciphers_of_tls_1_2_are_those_given(serve, make_client):
    cipher = 'ECDHE+CHACHA20'
    served = serve(ssl_protocol_min='tls1.2', ssl_ciphers=cipher)
    client = make_client(maximum=ssl.TLSVersion.TLSv1_2)
    client.set_ciphers('ECDHE+AESGCM')
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(served, client)
    client.set_ciphers(cipher)
    assert ask(served, client)[1].endswith(b'hello')


def test_ciphers_that_do_not_exist_are_one_line(serve):
    with pytest.raises(ConfigurationError, match="--ssl-ciphers: OpenSSL knows no cipher in 'NOPE'"):
        serve(ssl_ciphers='NOPE')


@pytest.mark.proves('ssl_context')
def test_context_hook_changes_the_context(serve, make_client):
    def hook(config, factory):
        context = factory()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    served = serve(ssl_context=hook)
    assert ask(served, make_client(maximum=ssl.TLSVersion.TLSv1_2))[0] == 'TLSv1.2'


def test_context_of_the_hooks_own_gets_alpn(pki, make_client):
    def hook(config, factory):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pki['server.pem'], pki['server.key'])
        return context

    client = make_client()
    client.set_alpn_protocols(['h2'])
    with serving(hello, ssl_context=hook) as served, served.connect() as sock, \
            client.wrap_socket(sock, server_hostname='localhost') as wrapped:  # fmt: skip
        assert wrapped.selected_alpn_protocol() == 'h2'


def test_context_hook_that_fails_is_one_line(serve):
    with pytest.raises(ConfigurationError, match='the ssl_context hook failed: ZeroDivisionError'):
        serve(ssl_context=lambda config, factory: 1 / 0)
    with pytest.raises(ConfigurationError, match=r'must return an ssl\.SSLContext, not int'):
        serve(ssl_context=lambda config, factory: 3)


@pytest.mark.proves('--ssl-handshake-timeout')
def test_a_handshake_that_takes_too_long(serve):
    served = serve(brief={'ssl_handshake_timeout': 0.1})
    with socket.create_connection(served.address, timeout=20) as silent:
        assert rest(silent) == b''
