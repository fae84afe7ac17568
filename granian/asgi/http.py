"""An HTTP exchange as ASGI's receive and send."""

from __future__ import annotations

import asyncio
import os
import reprlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..stream import ClientDisconnected, InvalidResponse, RequestBodyError
from .types import Message, logger, misuse

if TYPE_CHECKING:
    from ..stream import AsyncStream, Headers

PLAIN = [(b'content-type', b'text/plain; charset=utf-8')]

# How far the response is.
WAITING = 'waiting for http.response.start'
STARTED = 'started'  # the head is kept until the first body message, as the specification asks
SENDING = 'sending the body'
TRAILERS = 'waiting for http.response.trailers'
DONE = 'complete'

START = 'http.response.start'
BODY = 'http.response.body'
PATHSEND = 'http.response.pathsend'
HINT = 'http.response.early_hint'
TRAILING = 'http.response.trailers'

RESPONSE: dict[tuple[str, str], str] = {
    (WAITING, START): STARTED,
    (WAITING, HINT): WAITING,
    (STARTED, HINT): STARTED,
    (STARTED, BODY): SENDING,
    (STARTED, PATHSEND): DONE,
    (SENDING, BODY): SENDING,
    (SENDING, HINT): SENDING,
    (TRAILERS, TRAILING): TRAILERS,
}
"""What may follow what. A body without more_body leads on to DONE (or TRAILERS), trailers without
more_trailers to DONE; in DONE every message is ignored. What is not here is the application's mistake."""

TURN = 1 << 20
"""Bytes of a response after which the other tasks of the loop have their turn."""
MESSAGES = frozenset({START, BODY, PATHSEND, HINT, TRAILING})


class HTTPChannel:
    """Between one exchange's stream and the application."""

    __slots__ = (
        '_body_read', '_headers', '_state', '_status', '_stream', '_trailers', '_turn_ends', '_waiters',
        '_wants_trailers',
    )  # fmt: skip

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream
        self._state = WAITING
        self._body_read = self._wants_trailers = False
        self._waiters: list[asyncio.Future[None]] | None = None
        self._turn_ends = TURN

    # -- receive

    async def receive(self) -> Message:
        if self._body_read:
            await self._disconnected()
            return {'type': 'http.disconnect'}
        stream = self._stream
        if stream.complete:
            self._body_read = True
            return {'type': 'http.request', 'body': stream.body, 'more_body': False}
        if self._state is DONE:
            # Answered without the body having been read: the rest of it is not the application's any more.
            return {'type': 'http.disconnect'}
        try:
            data = await stream.read()
        except RequestBodyError:
            self._body_read = True
            return {'type': 'http.disconnect'}
        if not data:
            self._body_read = True
        return {'type': 'http.request', 'body': data, 'more_body': bool(data)}

    async def _disconnected(self) -> None:
        """Until the client has gone or the response is complete."""
        stream = self._stream
        if self._state is DONE or stream.client_left:
            return
        waiter = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
            stream.on_disconnect = self._wake
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    # -- send

    async def send(self, message: Message) -> None:
        # Shortcuts, for speed: the tests hold them against the table.
        stream = self._stream
        try:
            kind = message['type']
            state = self._state
            if stream.disconnected and state is not DONE:
                raise ClientDisconnected('the client has gone')
            if kind == START and state is WAITING:
                headers = message.get('headers', ())
                self._status: int = message['status']
                self._headers: Headers = headers if type(headers) is list else list(headers)
                if self._headers and type(self._headers[0][0]) is str:
                    raise TypeError('names and values of headers are bytes, not str')
                if message.get('trailers'):
                    self._wants_trailers = True
                self._state = STARTED
                return
            if kind == BODY and (state is STARTED or state is SENDING):
                body = message.get('body', b'')
                if type(body) is not bytes:
                    body = as_bytes(body)
                if message.get('more_body'):
                    self._send_piece(body)
                elif state is STARTED and not self._wants_trailers:
                    # The usual case: a whole response, in one write.
                    self._state = DONE
                    stream.respond(self._status, self._headers, body)
                    if self._waiters:
                        self._wake()
                    return
                else:
                    self._send_last(body)
            elif (state, kind) in RESPONSE:
                await self._send_extension(kind, message)
            else:
                self._out_of_turn(kind)
                return
        except InvalidResponse as error:
            raise misuse(f'invalid {kind}: {error}') from None
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise misuse(f'malformed message {reprlib.repr(message)}: {error!r}') from error
        if self._state is DONE and self._waiters:
            self._wake()
        if stream.congested:
            await stream.drain()
        elif stream.bytes_sent >= self._turn_ends:
            # A quick client and an application that never waits would keep all others waiting.
            self._turn_ends = stream.bytes_sent + TURN
            await asyncio.sleep(0)

    def _out_of_turn(self, kind: Any) -> None:
        if kind not in MESSAGES:
            raise misuse(f'unknown message type {kind!r}')
        if self._state is not DONE:
            raise misuse(f'{kind} is not possible here: the response is {self._state}')

    def _send_head(self) -> None:
        if self._state is STARTED:
            self._stream.send_response(self._status, self._headers)
            self._state = SENDING

    def _send_piece(self, body: bytes) -> None:
        self._send_head()
        if body:
            self._stream.send_data(body)

    def _send_last(self, body: bytes) -> None:
        self._send_piece(body)
        if self._wants_trailers:
            self._trailers: list[tuple[bytes, bytes]] = []
            self._state = TRAILERS
        else:
            self._state = DONE
            self._stream.send_end()

    async def _send_extension(self, kind: str, message: Message) -> None:
        if kind == HINT:
            if self._state is not SENDING:  # later than that it cannot be told any more
                links = [(b'link', link) for link in message['links']]
                if links:
                    self._stream.send_informational(103, links)
        elif kind == PATHSEND:
            await self._send_path(message['path'])
        else:
            self._trailers += [(name, value) for name, value in message['headers']]
            if not message.get('more_trailers'):
                self._state = DONE
                self._stream.send_end(self._trailers if self._client_takes_trailers() else ())

    def _client_takes_trailers(self) -> bool:
        return any(
            field.name == 'te' and 'trailers' in [item.strip(' \t').lower() for item in value.split(',')]
            for field, value in self._stream.head.fields
        )

    async def _send_path(self, path: str) -> None:
        """A whole file as the body. One that cannot be opened is the application's mistake."""
        if not isinstance(path, str) or not os.path.isabs(path):
            raise ValueError('path is not an absolute one')
        try:
            file = open(path, 'rb')  # noqa: ASYNC230, SIM115 (local, and quicker than a thread; closed below)
        except OSError as error:
            raise misuse(f'{PATHSEND}: {error}') from None
        with file:
            size = os.fstat(file.fileno()).st_size
            self._send_head()
            await self._stream.send_file(file, 0, size)
            self._state = DONE
            if not self._stream.disconnected:
                self._stream.send_end()

    # -- the application's end

    def returned(self) -> None:
        """It has returned and the response is not complete."""
        if self._stream.disconnected or self._state is DONE:
            return
        if self._stream.client_left:
            self.fail(400)  # it was told so; whoever only stopped sending can still read the answer
            return
        if self._state is WAITING:
            logger.error('ASGI application error: it returned without a response')
        elif self._state is STARTED:
            logger.error('ASGI application error: it returned without a body for its response')
        else:
            logger.error('ASGI application error: it returned without the end of its response')
        self.fail()

    def fail(self, status: int = 500) -> None:
        """It has failed: `status` if nothing was sent, else the client must be able to tell."""
        stream = self._stream
        if not (stream.response_ended or stream.disconnected):
            if stream.status == 0:
                stream.respond(status, PLAIN, f'{HTTPStatus(status).phrase}\n'.encode())
            else:
                stream.abort()
        self._state = DONE
        self._wake()


def as_bytes(body: object) -> bytes:
    """A body that is not bytes itself: other buffers are taken, nothing else."""
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    raise TypeError(f'body is {type(body).__name__}, not bytes')
