"""Certificates for servers and clients, made with the openssl command."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest


def openssl(folder: Path, *arguments: str) -> None:
    if shutil.which('openssl') is None:
        pytest.skip('the openssl command is not there')
    done = subprocess.run(('openssl', *arguments), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def make_pair(folder: Path, name: str) -> None:
    """A certificate that vouches for itself, `name`.pem, and its key, `name`.key; its subject is its name."""
    openssl(
        folder, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
        '-days', '2', '-subj', f'/CN={name}', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-keyout', f'{name}.key', '-out', f'{name}.pem',
    )  # fmt: skip


def client_context(folder: Path, *names: str) -> ssl.SSLContext:
    """Of a client that trusts these certificates."""
    context = ssl.create_default_context()
    for name in names:
        context.load_verify_locations(folder / f'{name}.pem')
    return context


def threaded_context(authority: Path) -> ssl.SSLContext:
    """Of a client that reads and writes in two threads, as websockets' does.

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
