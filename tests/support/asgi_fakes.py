"""A stream that is only a record of what was asked of it."""

import asyncio

from granian.protocol.http1.grammar import parse_head
from granian.protocol.interface import InvalidResponse
from granian.protocol.limits import Limits
from granian.stream import RequestBodyError
from tests.support.turns import take_turn


class FakeStream:
    scheme = 'http'
    client = ('127.0.0.1', 1234)
    server = ('127.0.0.1', 8000)
    tls = None
    status = 0
    bytes_sent = 0
    disconnected = client_left = response_ended = aborted = congested = False
    on_disconnect = on_shutdown = None

    def __init__(self, head=b'GET / HTTP/1.1\r\nHost: x', body=b'', pieces=None):
        self.head = parse_head(head, Limits(websockets=True))
        self.body = body
        self.complete = pieces is None
        self.pieces = list(pieces or ())
        self.calls = []
        self.memo = {}

    async def read(self):
        await asyncio.sleep(0)
        if not self.pieces:
            return b''
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def leave(self, gone=True):
        self.client_left = True
        self.disconnected = gone
        if self.on_disconnect is not None:
            self.on_disconnect()

    def send_informational(self, status, headers):
        self.calls.append(('informational', status, headers))

    def send_response(self, status, headers, reason=None):
        self.check(status, headers)
        self.status = status
        self.calls.append(('response', status, headers))

    def send_data(self, data):
        self.calls.append(('data', data))

    def send_end(self, trailers=()):
        self.response_ended = True
        self.calls.append(('end', list(trailers)))

    def respond(self, status, headers, body, reason=None):
        self.check(status, headers)
        self.status = status
        self.response_ended = True
        self.calls.append(('respond', status, headers, body))

    async def send_file(self, file, offset, count):
        self.calls.append(('file', file.name, offset, count))

    take_turn = take_turn

    async def drain(self):
        self.calls.append(('drain',))
        self.congested = False

    def abort(self):
        self.aborted = self.response_ended = True
        self.calls.append(('abort',))

    @staticmethod
    def check(status, headers):
        if type(status) is not int:
            raise InvalidResponse(f'status {status!r}')
        for name, value in headers:
            if not isinstance(name, bytes) or not isinstance(value, bytes):
                raise InvalidResponse(f'header {name!r}: name and value must be bytes')


__all__ = ['FakeStream', 'RequestBodyError']
