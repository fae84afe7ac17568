"""Server contexts: keys of every kind, versions, ALPN, client certificates, and errors in one line."""

from __future__ import annotations

import ssl

import pytest

from granian.errors import ConfigurationError
from granian.protocol.limits import Clock
from granian.tls import (
    TLSSettings,
    distinguished_name,
    is_plain_http,
    make_context,
    plain_http_answer,
    tls_info,
)


@pytest.fixture
def settings(pki):
    def make(certificate='server.pem', key='server.key', **rest) -> TLSSettings:
        return TLSSettings(pki[certificate], pki[key], **rest)

    return make


@pytest.mark.parametrize(
    ('certificate', 'key', 'password'),
    [
        ('server.pem', 'server.key', None),
        ('server.pem', 'server-sec1.key', None),
        ('server.pem', 'server-encrypted.key', 'secret'),
        ('rsa.pem', 'rsa-pkcs8.key', None),
        ('rsa.pem', 'rsa-pkcs1.key', None),
        ('rsa.pem', 'rsa-encrypted.key', 'secret'),
        ('rsa.pem', 'rsa-pkcs8.key', 'not needed'),
    ],
)
def test_keys_of_every_kind(settings, make_client, connect, certificate, key, password):
    context = make_context(settings(certificate, key, password=password))
    assert connect(context, make_client()).client.version() == 'TLSv1.3'


def test_the_chain_is_sent(pki, settings, connect, tmp_path):
    pki.openssl('req', '-new', '-key', 'other-ca.key', '-out', 'middle.csr', '-subj', '/CN=middle')
    (pki.folder / 'ca.cnf').write_text(
        'basicConstraints = critical, CA:TRUE\nkeyUsage = keyCertSign\n'
        'subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n'
    )
    pki.openssl(
        *('x509', '-req', '-in', 'middle.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'),
        *('-out', 'middle.pem', '-extfile', 'ca.cnf'),
    )
    (pki.folder / 'middle.key').write_bytes(pki['other-ca.key'].read_bytes())
    pki.certificate('leaf', '/CN=localhost', 'middle')
    (pki.folder / 'chain.pem').write_bytes(pki['leaf.pem'].read_bytes() + pki['middle.pem'].read_bytes())
    client = ssl.create_default_context(cafile=pki['ca.pem'])
    context = make_context(settings('chain.pem', 'leaf.key'))
    pair = connect(context, client)
    assert context.certificate == pair.client.getpeercert(True)
    with pytest.raises(ssl.SSLError):
        connect(make_context(settings('leaf.pem', 'leaf.key')), client)


def test_the_lowest_version(settings, make_client, connect):
    old = make_client(maximum=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError):
        connect(make_context(settings()), old)
    pair = connect(make_context(settings(minimum='tls1.2')), old)
    assert pair.client.version() == 'TLSv1.2'
    assert 'GCM' in pair.client.cipher()[0] or 'POLY1305' in pair.client.cipher()[0]


def test_only_authenticated_encryption_with_forward_secrecy(settings):
    for cipher in make_context(settings(minimum='tls1.2')).get_ciphers():
        assert cipher['aead'], cipher['name']
        assert cipher['name'].startswith(('TLS_', 'ECDHE-')), 'RFC 9113 appendix A'


@pytest.mark.parametrize(
    ('http', 'offered', 'chosen'),
    [
        ('auto', ('h2', 'http/1.1'), 'h2'),
        ('auto', ('http/1.1', 'h2'), 'h2'),
        ('auto', ('http/1.1',), 'http/1.1'),
        ('auto', (), None),
        ('1', ('h2', 'http/1.1'), 'http/1.1'),
        ('1', ('h2',), None),
        ('2', ('h2', 'http/1.1'), 'h2'),
        ('2', ('http/1.1',), None),
    ],
)
def test_alpn(settings, make_client, connect, http, offered, chosen):
    pair = connect(make_context(settings(http=http)), make_client(*offered))
    assert pair.server.selected_alpn_protocol() == pair.client.selected_alpn_protocol() == chosen


@pytest.mark.parametrize('version', [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(settings, make_client, connect, version):
    context, client = make_context(settings(minimum='tls1.2')), make_client(maximum=version)
    first = connect(context, client)
    assert not first.server.session_reused
    assert connect(context, client, session=first.client.session).server.session_reused


@pytest.mark.parametrize('version', [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ticket_of_another_worker_costs_a_whole_handshake_and_nothing_else(
    settings, make_client, connect, version
):
    """Give each worker's context ticket keys of its own, as `ssl` has no call to set them."""
    client = make_client(maximum=version)
    first = connect(make_context(settings(minimum='tls1.2')), client)
    second = connect(make_context(settings(minimum='tls1.2')), client, session=first.client.session)
    assert not second.server.session_reused


def test_sessions_are_resumed_with_client_certificates(pki, settings, make_client, connect):
    context = make_context(settings(client_verify='required', ca=pki['ca.pem']))
    client = make_client(certificate='client')
    second = connect(context, client, session=connect(context, client).client.session)
    assert second.server.session_reused
    assert tls_info(second.server).client_certificate


# ---- client certificates


@pytest.fixture
def verifying(pki, settings):
    return lambda **rest: make_context(settings(client_verify='required', ca=pki['ca.pem'], **rest))


def test_a_client_with_a_certificate(pki, verifying, make_client, connect):
    info = tls_info(connect(verifying(), make_client(certificate='client')).server)
    assert info.version == 'TLSv1.3'
    assert info.cipher.startswith('TLS_')
    assert info.client_certificate == ssl.PEM_cert_to_DER_cert(_first(pki['client.pem']))
    assert info.server_certificate == ssl.PEM_cert_to_DER_cert(_first(pki['server.pem']))
    assert info.client_subject == r'CN=Zoë \"Z\" \<z\>,OU=A+OU=B,O=Example\, Inc.,C=DE'


@pytest.mark.parametrize('certificate', [None, 'stranger'])
def test_a_client_without_a_certificate_or_with_a_foreign_one(verifying, make_client, connect, certificate):
    with pytest.raises(ssl.SSLError):
        connect(verifying(), make_client(certificate=certificate))


def test_revoked_certificates(pki, verifying, make_client, connect):
    context = verifying(crl=[pki['crl.pem']])
    connect(context, make_client(certificate='client'))
    with pytest.raises(ssl.SSLError, match='revoked'):
        connect(context, make_client(certificate='revoked'))
    connect(verifying(), make_client(certificate='revoked'))


def test_verification_needs_an_authority(settings, make_client, connect):
    context = make_context(settings(client_verify='required'))
    assert context.verify_mode == ssl.CERT_NONE
    assert tls_info(connect(context, make_client(certificate='client')).server).client_subject is None


# ---- mistakes


def complaint(settings: TLSSettings) -> str:
    with pytest.raises(ConfigurationError) as caught:
        make_context(settings)
    message = str(caught.value)
    assert '\n' not in message
    return message


def test_files_that_are_not_there(pki, settings):
    for make, name in (
        (settings('none.pem'), 'certificate'),
        (settings(key='none.key'), 'key'),
        (settings(client_verify='required', ca=pki['none.pem']), 'CA file'),
        (settings(client_verify='required', ca=pki['ca.pem'], crl=[pki['none.pem']]), 'revocation list'),
    ):
        message = complaint(make)
        assert f'{name} {pki.folder}/none' in message
        assert 'No such file or directory' in message


def test_files_that_are_something_else(pki, settings):
    assert 'server.key holds no certificate' in complaint(settings('server.key'))
    assert 'server.pem holds no private key' in complaint(settings(key='server.pem'))
    assert 'server.key holds no certificate' in complaint(
        settings(client_verify='required', ca=pki['server.key'])
    )
    crl = settings(client_verify='required', ca=pki['ca.pem'], crl=[pki['ca.pem']])
    assert 'ca.pem holds no CRL' in complaint(crl)


def test_files_that_are_damaged(pki, settings):
    def damaged(name: str) -> str:
        lines = pki[name].read_bytes().split(b'\n')
        del lines[2]  # shorter than it says (a line turned round may be a good one that says other things)
        (pki.folder / f'damaged-{name}').write_bytes(b'\n'.join(lines))
        return f'damaged-{name}'

    assert 'damaged-server.pem is damaged' in complaint(settings(damaged('server.pem')))
    assert 'damaged-server.key is damaged' in complaint(settings(key=damaged('server.key')))
    broken = pki[damaged('crl.pem')]
    assert 'damaged-crl.pem is damaged' in complaint(
        settings(client_verify='required', ca=pki['ca.pem'], crl=[broken])
    )
    broken = pki[damaged('ca.pem')]
    assert 'damaged-ca.pem is damaged' in complaint(settings(client_verify='required', ca=broken))


def test_a_pair_that_does_not_match(settings):
    for key in ('client.key', 'rsa.key'):
        assert 'does not belong to the certificate' in complaint(settings(key=key))


@pytest.mark.parametrize('key', ['server-encrypted.key', 'rsa-encrypted.key'])
def test_passwords(settings, key):
    certificate = key.split('-')[0] + '.pem'
    assert '--ssl-keyfile-password' in complaint(settings(certificate, key))
    wrong = complaint(settings(certificate, key, password='wrong'))
    assert f'{key} cannot be decrypted' in wrong
    assert 'wrong' not in wrong


# ---- the small helpers


def test_distinguished_names_of_rfc_4514():
    assert distinguished_name(()) == ''
    subject = (
        (('countryName', 'GB'),),
        (('organizationName', '#1 Ltd '),),
        (('commonName', ' a\\b;c=d'), ('emailAddress', 'a@b')),
    )
    assert distinguished_name(subject) == r'CN=\ a\\b\;c\=d+emailAddress=a@b,O=\#1 Ltd\ ,C=GB'


def test_plain_http_on_a_tls_port(settings, make_client):
    assert is_plain_http(b'GET / HTTP/1.1\r\n')
    assert is_plain_http(b'PRI * HTTP/2.0\r\n')
    for data in (b'', b'\x16\x03\x01', b'GE', b'get ', b'HELLO\r\n'):
        assert not is_plain_http(data)
    answer = plain_http_answer(Clock())
    assert answer.startswith(b'HTTP/1.1 400 Bad Request\r\n')
    assert b'https' in answer.split(b'\r\n\r\n', 1)[1]


def _first(path) -> str:
    text = path.read_text()
    return text[: text.index('-----END CERTIFICATE-----') + 26]
