"""TLS for cores under test, in a process that GRANIAN_TEST_TLS names a folder with a certificate to."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

from granian.tls import TLSSettings, make_context

TLS = os.environ.get('GRANIAN_TEST_TLS')


def server_context() -> ssl.SSLContext:
    """Return the server's context."""
    assert TLS
    return make_context(TLSSettings(Path(TLS, 'server.pem'), Path(TLS, 'server.key')))


def secured(sock: socket.socket) -> socket.socket:
    """Return a connected socket's TLS end where the core under test speaks TLS."""
    if not TLS:
        return sock
    context = ssl.create_default_context(cafile=f'{TLS}/server.pem')
    return context.wrap_socket(sock, server_hostname='localhost')
