"""Clients take all descriptors of a worker before it has imported what their requests need."""

import contextlib
import socket
import sys

import pytest

from granian.protocol.negotiate import PREFACE

CLIENTS = 30
"""Together with what a worker has open itself more than half of its descriptors, and fewer than all."""
GET = b'GET %s HTTP/1.1\r\nHost: test\r\n\r\n'
CHUNKED = b'POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
HTTP2 = PREFACE + bytes.fromhex('000000 04 00 00000000')

pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='no limit of descriptors')


@pytest.mark.parametrize(
    ('core', 'options'),
    [
        ('threads', {'interface': 'wsgi'}),
        ('gevent', {'interface': 'wsgi', 'core': 'gevent'}),
        ('asyncio', {'interface': 'asgi', 'loop': 'asyncio'}),
        ('uvloop', {'interface': 'asgi', 'loop': 'uvloop'}),
        ('rsgi', {'interface': 'rsgi'}),
    ],
)
def test_first_use_of_a_protocol_needs_no_descriptor(serve, core, options):
    if core in ('gevent', 'uvloop'):
        pytest.importorskip(core)
    server = serve(f'fewapps:{options["interface"]}', script='realserver.py', **options)
    server.wait_ready()
    with contextlib.ExitStack() as stack:
        http2, *clients = [
            stack.enter_context(socket.create_connection(('127.0.0.1', server.port), 20))
            for _ in range(CLIENTS)
        ]
        for client in clients:
            _ask(client, GET % b'/')
        _ask(client, GET % b'/take')
        _ask(client, CHUNKED)
        http2.sendall(HTTP2)
        settings = http2.recv(9)
        assert settings[3] == 4
        assert settings[:3] != bytes(3), 'the refusal, whose SETTINGS are empty'
    server.signal()
    server.wait()
    assert 'cannot be loaded' not in server.output


def _ask(client, request):
    client.sendall(request)
    answer = b''
    while b'\r\n\r\n' not in answer:
        answer += client.recv(1024) or b'\r\n\r\n'
    assert answer.startswith(b'HTTP/1.1 200')
