"""Input that arrives together, or in pieces, over TLS on the asyncio core."""

import socket

import pytest

from granian.core.loop import deadlines
from granian.core.loop.tls import TLSLayer
from granian.core.records import PART
from tests.support.slow_reader import send_on_and_read
from tests.support.tls_client import Begun, HalfClosing, client_context

GET = b'GET %s HTTP/1.1\r\nHost: x\r\n\r\n'
BAD = b'\x17\x03\x03\0\x20' + b'?' * 32
"""A record that the connection's key does not open."""


async def hello(stream):
    stream.respond(200, [], b'hello')


def test_client_hello_cut_before_capitals_is_tls(serve, tls, monkeypatch):
    """Look for a request in clear text in the first bytes alone."""
    steps = []
    step = TLSLayer._shake_hands
    monkeypatch.setattr(TLSLayer, '_shake_hands', lambda self: (steps.append(self), step(self)))
    served = serve(hello, tls=tls)
    client = Begun(served.connect().sock, 'ABC x', 'http/1.1', split=b'ABC x')
    served.wait_for(lambda: steps)
    assert client.get().startswith(b'HTTP/1.1 200')


def test_request_in_front_of_a_bad_record_is_passed_on(serve, tls):
    async def handler(stream):
        paths.append(stream.head.path)
        stream.respond(200, [], b'')

    paths = []
    served = serve(handler, tls=tls)
    client = served.connect()
    client.send(Begun(client.sock).encrypt(GET % b'/first') + BAD)
    served.wait_for(lambda: paths)
    assert paths == ['/first']
    client.rest()


def test_parts_for_openssl_are_small_until_records_have_data(serve, tls, monkeypatch):
    async def upload(stream):
        while await stream.read():
            pass
        stream.respond(200, [], b'')

    sizes = []
    decode = TLSLayer._decode
    monkeypatch.setattr(TLSLayer, '_decode', lambda self, data: (sizes.append(len(data)), decode(self, data)))
    served = serve(upload, tls=tls)
    client = Begun(served.connect().sock)
    head = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n'
    records = client.encrypt(head + bytes(90000))
    del sizes[:]
    client.sock.sendall(records)
    served.wait_for(lambda: sum(sizes) >= len(records))
    assert max(sizes[:1]) <= PART
    assert max(sizes) > PART


def test_fin_without_a_request_is_answered_with_close_notify(serve, tls):
    served = serve(hello, tls=tls)
    client = HalfClosing(served.connect().sock)
    served.wait_for(lambda: served.core.connections)
    client.sock.shutdown(socket.SHUT_WR)
    assert client.rest() == b''


@pytest.mark.parametrize('secure', [False, True], ids=['clear', 'tls'])
def test_client_that_sends_on_and_reads_slowly_loses_nothing(serve, tls, secure, monkeypatch):
    """Linger on while it takes what the kernel holds: to close would reset the connection."""
    monkeypatch.setattr(deadlines, 'LINGER', 0.3)

    async def handler(stream):
        stream.respond(200, [], b'r' * size)

    def sweep():
        """Let 2 ms pass for the deadlines, however long the machine takes."""
        nonlocal now
        now += 0.002
        for each in list(served.core.connections):
            deadlines.sweep(each, now)

    size = 1_600_000
    served = serve(handler, tls=tls if secure else None)
    now = served.loop.time()
    served.call(served.core._sweeper.cancel)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 30_000)
        sock.settimeout(10)
        sock.connect(served.address)
        client = client_context('http/1.1').wrap_socket(sock) if secure else sock
        assert send_on_and_read(client, lambda: served.call(sweep)).count(b'r' * 1000) == size // 1000
        client.close()
