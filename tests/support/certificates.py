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


def subject(sock: ssl.SSLSocket) -> str:
    certificate = sock.getpeercert()
    assert certificate is not None
    return str(certificate['subject'][0][0][1])
