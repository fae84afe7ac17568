"""A client that leaves in the middle: where it stops, in which way, and what must be left then.

A walk stops its client at one place, and then asks: has the application ended, is nothing left
of the exchange, is nothing in the log as an error (the fixture looks)?
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket

from granian.protocol.limits import Limits
from tests.support.http2_client import Http2Client

POST = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n'
CHUNKED = POST.replace(b'Content-Length: 10', b'Transfer-Encoding: chunked')
UPGRADE = (
    b'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
)
TEXT = b'\x81\x82\0\0\0\0hi'  # a masked frame
SETTINGS = {'limits': Limits(websockets=True), 'write_timeout': 0.5, 'head_timeout': 0.5, 'body_timeout': 0.5}


def fin(client):
    client.close()


def half(client):
    """Half-close; the client leaves when the application has had its time."""
    client.sock.shutdown(socket.SHUT_WR)


def reset(client):
    client.reset()


LEAVE = [fin, half, reset]


def descriptors():
    return len(os.listdir('/proc/self/fd')) if os.path.exists('/proc/self/fd') else 0


def start(serve, make_app, handler_of):
    """Return server and application; the application is made on the loop."""
    handlers = []

    async def make():
        return make_app()

    served = serve(lambda stream: handlers[0](stream), **SETTINGS)
    app = asyncio.run_coroutine_threadsafe(make(), served.loop).result(10)
    handlers.append(handler_of(app))
    return served, app


def walk(served, app, sent, place, leave):
    """Send a request and leave where the application has reached `place`; None: it is not called."""
    client = served.connect()
    client.send(sent)
    if place is None:
        served.wait_for(lambda: served.core.connections)
    else:
        served.wait_for(lambda: app.place == place)
    leave(client)
    served.wait_for(lambda: not served.core.running)
    if leave is half:
        client.close()
    served.wait_for(lambda: not served.core.connections)
    assert app.ended == (0 if place is None else 1)


def walk_http2(served, app, path, place, leave, body=b'', headers=(), end=False):
    """Do as `walk` over one HTTP/2 stream; `leave` is a way for a client, or 'cancel' (RST_STREAM)."""
    client = served.connect()
    http2 = Http2Client(client.sock, acknowledge=False)
    stream = http2.start(path, 'POST', headers, end=end)
    if body:
        http2.send(stream, body)
    served.wait_for(lambda: app.place == place)
    if leave == 'cancel':
        http2.connection.reset_stream(stream, 8)
        http2.flush()
    else:
        leave(client)
    served.wait_for(lambda: not served.core.running)
    client.close()
    served.wait_for(lambda: not served.core.connections)
    assert app.ended == 1


def many(served, walks, rounds=10):
    """Count tasks, connections, descriptors and objects after some hundred clients have left in each way."""
    made = []

    def round_of_leavers():
        for sent in walks:
            for leave in (fin, reset):
                client = served.connect()
                try:
                    client.send(sent)
                except OSError:
                    pass
                leave(client)
                made.append(1)
        core = served.core
        served.wait_for(
            lambda: (
                core.connections_handled == len(made)
                and not (core.running or core.connections or core.acceptor.joining)
            )
        )

    round_of_leavers()
    gc.collect()
    before = descriptors(), len(gc.get_objects())
    for _ in range(rounds):
        round_of_leavers()
    tasks = served.call(lambda: len(asyncio.all_tasks()))
    gc.collect()
    assert tasks <= 2  # the core's, and the one that counts
    assert descriptors() <= before[0] + 1
    assert len(gc.get_objects()) < before[1] + 2000
