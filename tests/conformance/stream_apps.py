"""An application that holds requests.

/         reads the body, then answers
/hold     waits for `/release`, whatever its client does
/held     the number of requests that wait
"""

from __future__ import annotations

import asyncio
import threading

TEXT = [('content-type', 'text/plain')]


class Gate:
    """Makes requests wait until the test lets them go on."""

    def __init__(self, make):
        self.make = make
        self.event = make()
        self.held = []

    def hold(self):
        """Count a request, and return the event that it is to wait for."""
        self.held.append(None)
        return self.event

    def answer(self, path):
        if path == '/release':
            self.event.set()
            self.event = self.make()
            self.held.clear()
        return b'%d' % len(self.held) if path == '/held' else b'x'


blocking = Gate(threading.Event)  # gevent has patched it where that serves


def wsgi(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/hold':
        blocking.hold().wait()
    while environ['wsgi.input'].read(65536):
        pass
    start_response('200 OK', TEXT)
    return [blocking.answer(path)]


class Loop:
    gate = None

    @classmethod
    def take(cls):
        """Return the gate of the worker's loop."""
        cls.gate = cls.gate or Gate(asyncio.Event)
        return cls.gate


async def asgi(scope, receive, send):
    if scope['path'] == '/hold':
        await Loop.take().hold().wait()
    more = True
    while more:
        message = await receive()
        if message['type'] == 'http.disconnect':
            return
        more = message.get('more_body', False)
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': Loop.take().answer(scope['path'])})


async def rsgi(scope, protocol):
    if scope.path == '/hold':
        await Loop.take().hold().wait()
    await protocol()
    protocol.response_bytes(200, TEXT, Loop.take().answer(scope.path))
