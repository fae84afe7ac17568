"""Certificates for servers and clients, made with the openssl command."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest


def openssl(folder: Path, *arguments: str) -> None:
    """Run the openssl command in a folder; skip the test where the command is absent."""
    if shutil.which('openssl') is None:
        pytest.skip('the openssl command is not there')
    done = subprocess.run(('openssl', *arguments), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def make_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a self-signed certificate for localhost, `name`.pem, and its key, `name`.key; return both.

    The subject's common name is `name`. The test is skipped where the openssl command is absent.
    """
    openssl(
        folder, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
        '-days', '2', '-subj', f'/CN={name}', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-keyout', f'{name}.key', '-out', f'{name}.pem',
    )  # fmt: skip
    return folder / f'{name}.pem', folder / f'{name}.key'


@pytest.fixture(scope='session')
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with `cert.pem` for localhost and its key, `cert.key`."""
    folder = tmp_path_factory.mktemp('certificate')
    make_pair(folder, 'cert')
    return folder


def tls_flags(certificate: Path) -> str:
    """Return the command line's flags for the files of the fixture `certificate`."""
    return f' --ssl-certificate {certificate}/cert.pem --ssl-keyfile {certificate}/cert.key'


def client_context(folder: Path, *names: str) -> ssl.SSLContext:
    """Return the context of a client that trusts these certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in names:
        context.load_verify_locations(folder / f'{name}.pem')
    return context


def threaded_context(authority: Path) -> ssl.SSLContext:
    """Return the context of a client that reads and writes in two threads, as websockets' does.

    Before Python 3.13 two threads on one TLS socket race in OpenSSL (gh-124984): a read that takes the
    tickets of TLS 1.3 beside a write is an "internal error", or the write is lost. TLS 1.2 sends none.
    """
    context = ssl.create_default_context(cafile=str(authority))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def subject(sock: ssl.SSLSocket) -> str:
    certificate = sock.getpeercert()
    assert certificate is not None
    return str(certificate['subject'][0][0][1])
