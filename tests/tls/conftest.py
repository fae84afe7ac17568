"""A small public-key infrastructure, made with the openssl command once a session."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import openssl

CONFIG = """
[ca]
default_ca = here
[here]
database = {folder}/index.txt
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
default_crl_days = 30
[extensions]
subjectAltName = DNS:localhost, IP:127.0.0.1
authorityKeyIdentifier = keyid
"""
# Without it, and the identifier above, a client of Python 3.13 trusts none (ssl.VERIFY_X509_STRICT).
KEY_USAGE = 'keyUsage=critical,digitalSignature,keyCertSign,cRLSign'


class Pki:
    """Files by name: `ca.pem`, `server.pem` with `server.key`, `client.pem`, `revoked.pem`, `crl.pem`…"""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Path:
        return self.folder / name

    def openssl(self, *arguments: str) -> None:
        openssl(self.folder, *arguments)

    def authority(self, name: str) -> None:
        self.openssl(
            *[
                'req',
                '-x509',
                '-newkey',
                'ec',
                '-pkeyopt',
                'ec_paramgen_curve:prime256v1',
                '-nodes',
                '-days',
                '30',
            ],
            *('-keyout', f'{name}.key', '-out', f'{name}.pem', '-subj', f'/CN=Test authority {name}'),
            *('-addext', KEY_USAGE),
        )

    def certificate(self, name: str, subject: str, authority: str = 'ca', kind: str = 'ec') -> None:
        options = (
            ('-pkeyopt', 'ec_paramgen_curve:prime256v1')
            if kind == 'ec'
            else ('-pkeyopt', 'rsa_keygen_bits:2048')
        )
        self.openssl(
            *('req', '-newkey', kind, *options, '-nodes', '-utf8'),
            *('-keyout', f'{name}.key', '-out', f'{name}.csr', '-subj', subject),
        )
        self.openssl(
            *('x509', '-req', '-in', f'{name}.csr', '-CA', f'{authority}.pem', '-CAkey', f'{authority}.key'),
            *('-out', f'{name}.pem', '-days', '30', '-extfile', 'openssl.cnf', '-extensions', 'extensions'),
            '-CAcreateserial',
        )


@pytest.fixture(scope='session')
def pki(tmp_path_factory) -> Pki:
    folder = tmp_path_factory.mktemp('pki')
    pki = Pki(folder)
    (folder / 'openssl.cnf').write_text(CONFIG.format(folder=folder))
    (folder / 'index.txt').touch()
    pki.authority('ca')
    pki.authority('other-ca')
    pki.certificate('server', '/CN=localhost')
    pki.certificate('rsa', '/CN=localhost', kind='rsa')
    pki.certificate('client', '/C=DE/O=Example, Inc./OU=A+OU=B/CN=Zoë "Z" <z>')
    pki.certificate('stranger', '/CN=stranger', 'other-ca')
    pki.certificate('revoked', '/CN=revoked')
    pki.openssl('ca', '-config', 'openssl.cnf', '-revoke', 'revoked.pem')
    pki.openssl('ca', '-config', 'openssl.cnf', '-gencrl', '-out', 'crl.pem')
    pki.openssl('pkcs8', '-topk8', '-nocrypt', '-in', 'rsa.key', '-out', 'rsa-pkcs8.key')
    pki.openssl('rsa', '-traditional', '-in', 'rsa.key', '-out', 'rsa-pkcs1.key')
    pki.openssl('ec', '-in', 'server.key', '-out', 'server-sec1.key')
    pki.openssl(
        'pkcs8', '-topk8', '-in', 'server.key', '-out', 'server-encrypted.key', '-passout', 'pass:secret'
    )
    pki.openssl(
        'rsa',
        '-traditional',
        '-aes128',
        '-in',
        'rsa.key',
        '-out',
        'rsa-encrypted.key',
        '-passout',
        'pass:secret',
    )
    return pki


class Pair:
    """A client and a server that talk through memory."""

    def __init__(
        self, server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(to_server, to_client, server_side=True)
        self.client = client.wrap_bio(to_client, to_server, server_hostname='localhost', session=session)

    def handshake(self) -> Pair:
        """Complete a handshake; raise ssl.SSLError as either side does."""
        waiting = [self.client, self.server]
        while waiting:
            for side in list(waiting):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                waiting.remove(side)
        self.server.write(b'hello')  # carries TLS 1.3's tickets along
        assert self.client.read(5) == b'hello'
        self.client.write(b'hello')
        assert self.server.read(5) == b'hello'
        return self


@pytest.fixture
def make_client(pki):
    def make(
        *alpn: str, certificate: str | None = None, maximum=ssl.TLSVersion.MAXIMUM_SUPPORTED
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=pki['ca.pem'])
        context.maximum_version = maximum
        if alpn:
            context.set_alpn_protocols(alpn)
        if certificate is not None:
            context.load_cert_chain(pki[f'{certificate}.pem'], pki[f'{certificate}.key'])
        return context

    return make


@pytest.fixture
def connect():
    """Return connect(server context, client context, session=None), which returns a connected Pair."""
    return lambda *contexts, **session: Pair(*contexts, **session).handshake()
