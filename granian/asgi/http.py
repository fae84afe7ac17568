"""receive() and send() of an HTTP request."""

from __future__ import annotations

import asyncio
import os
import reprlib
from typing import TYPE_CHECKING, Any, cast

from ..protocol.error_pages import BODY_CUT, error_parts
from ..stream import ClientDisconnected, InvalidResponse, RequestBodyError
from ..turns import TURN
from ..unsized import IN_MEMORY, has_true_size, read_first, send_unsized
from .types import Message, logger, misuse

if TYPE_CHECKING:
    from ..stream import AsyncStream, Headers


# States of a response.
WAITING = 'waiting for http.response.start'
STARTED = 'started'  # the head leaves with the first body message, as the specification asks
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
"""Transitions: (state, message) → state.

A body without more_body leads to DONE (or TRAILERS), and so do trailers without more_trailers. DONE
ignores every message. A message without an entry is a mistake of the application.
"""

SMALL = 65536
"""Bytes: a whole response up to this size does not fill the write buffer of a connection."""

MESSAGES = frozenset({START, BODY, PATHSEND, HINT, TRAILING})


class HTTPChannel:
    """Connects the application to the stream of one request."""

    __slots__ = (
        '_body_read', '_headers', '_pathsend', '_state', '_status', '_stream', '_trailers', '_turn_ends',
        '_waiters', '_wants_trailers',
    )  # fmt: skip

    def begin(self, stream: AsyncStream, pathsend: bool = False) -> None:
        """Start the exchange. `pathsend`: the scope offers http.response.pathsend.

        No __init__: its call takes twice the time.
        """
        self._stream = stream
        self._pathsend = pathsend
        self._state = WAITING
        self._body_read = self._wants_trailers = False
        self._waiters: list[asyncio.Future[None]] | None = None
        self._turn_ends = TURN

    # -- receive

    async def receive(self) -> Message:
        if self._body_read or self._state is DONE:
            await self._disconnected()
            return {'type': 'http.disconnect'}
        stream = self._stream
        if stream.complete:
            self._body_read = True
            return {'type': 'http.request', 'body': stream.body, 'more_body': False}
        try:
            data = await stream.read()
        except RequestBodyError:
            self._body_read = True
            return {'type': 'http.disconnect'}
        if not data:
            self._body_read = True
            if self._state is DONE:  # the response was completed by another task during the read
                return {'type': 'http.disconnect'}
        return {'type': 'http.request', 'body': data, 'more_body': bool(data)}

    async def _disconnected(self) -> None:
        """Wait until the client has disconnected or the response is complete."""
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
        # The common messages skip the table for speed. The tests compare these shortcuts with it.
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
                self._wants_trailers = message.get('trailers', False)
                self._state = STARTED
                return
            if kind == BODY and (state is STARTED or state is SENDING):
                finished = self._send_body(message)
            else:
                finished = await self._send_other(kind, message)
            if finished:
                return
        except InvalidResponse as error:
            raise misuse(f'invalid {kind}: {error}', stream.head) from None
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise misuse(f'malformed message {reprlib.repr(message)}: {error!r}', stream.head) from error
        if self._state is DONE and self._waiters:
            self._wake()
        if stream.congested or stream.bytes_sent >= self._turn_ends:
            await self._give_way()

    async def _give_way(self) -> None:
        """Wait until the client has taken enough, and let others have their turn after each TURN bytes."""
        stream = self._stream
        if stream.congested:
            await stream.drain()
        if stream.bytes_sent >= self._turn_ends:
            self._turn_ends = stream.bytes_sent + TURN
            await stream.take_turn()

    def _send_body(self, message: Message) -> bool:
        """Send a part of the body, or the last one. Return True where nothing is left to wait for."""
        body = message.get('body', b'')
        if type(body) is not bytes:
            body = as_bytes(body)
        if message.get('more_body'):
            self._send_piece(body)
        elif self._state is STARTED and not self._wants_trailers:
            # The common case: a whole response in one write.
            self._state = DONE
            self._stream.respond(self._status, self._headers, body)
            if self._waiters:
                self._wake()
            return len(body) <= SMALL
        else:
            self._send_last(body)
        return False

    async def _send_other(self, kind: Any, message: Message) -> bool:
        """Send a message of an extension. Return True for one after the response, which has no effect."""
        if (self._state, kind) not in RESPONSE:
            self._out_of_turn(kind)
            return True
        await self._send_extension(kind, message)
        return False

    def _out_of_turn(self, kind: Any) -> None:
        if kind not in MESSAGES:
            raise misuse(f'unknown message type {kind!r}', self._stream.head)
        if self._state is not DONE:
            raise misuse(f'{kind} is not possible here: the response is {self._state}', self._stream.head)

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
        """Handle a message of an extension: early hints, pathsend, trailers. Raises what `send` explains."""
        if kind == HINT:
            if self._state is not SENDING:  # a 103 cannot follow the final head
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
        """Send a whole file as the body. A file that cannot be opened is a mistake of the application."""
        if not self._pathsend:
            raise misuse(
                f'{PATHSEND} is not offered in the scope: start the server with --asgi-pathsend',
                self._stream.head,
            )
        if not isinstance(path, str) or not os.path.isabs(path):
            raise ValueError('path is not an absolute one')
        try:
            file = open(path, 'rb')  # noqa: ASYNC230, SIM115 (local, faster than a thread; closed below)
        except OSError as error:
            raise misuse(f'{PATHSEND}: {error}', self._stream.head) from None
        with file:
            about = os.fstat(file.fileno())
            if has_true_size(about):
                self._send_head()
                await self._stream.send_file(file, 0, about.st_size)
            else:
                await self._send_unsized(file.fileno(), about.st_size)
            self._state = DONE
            if not self._stream.disconnected:
                self._stream.send_end()

    async def _send_unsized(self, descriptor: int, apparent: int) -> None:
        """Send a file that has not its `apparent` size. A Content-Length of that size is the file's, too."""
        content = read_first(descriptor)
        fields = [
            (name, value)
            for name, value in self._headers
            if (name.lower(), value) != (b'content-length', b'%d' % apparent)
        ]
        whole = len(content) <= IN_MEMORY
        if whole and len(fields) < len(self._headers):
            fields.append((b'content-length', b'%d' % len(content)))
        self._headers = cast('Headers', fields)
        self._send_head()
        if whole:
            self._stream.send_data(content)
        else:
            await send_unsized(self._stream, descriptor, 0, None)

    # -- the end of the application

    def returned(self) -> None:
        """End the response after the application returned without completing it."""
        if self._stream.disconnected or self._state is DONE:
            return
        if self._stream.client_left:
            self.fail(
                400, BODY_CUT
            )  # the client half-closed within its request; it can still read the answer
            return
        if self._state is WAITING:
            missing = 'without a response'
        elif self._state is STARTED:
            missing = 'without a body for its response'
            if self._pathsend:
                missing += f'; if a middleware has dropped {PATHSEND}, start without --asgi-pathsend'
        else:
            missing = 'without the end of its response'
        head = self._stream.head
        logger.error(
            'ASGI application error: %s %s: it returned %s', head.method, ascii(head.path)[1:-1], missing
        )
        self.fail()

    def fail(self, status: int = 500, reason: str = '') -> None:
        """Answer with `status` if nothing was sent, else break the response off visibly."""
        stream = self._stream
        if not (stream.response_ended or stream.disconnected):
            if stream.status == 0:
                stream.respond(status, *error_parts(status, reason))
            else:
                stream.abort()
        self._state = DONE
        self._wake()


def as_bytes(body: object) -> bytes:
    """Convert a bytearray or memoryview. Raise TypeError for anything else."""
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    raise TypeError(f'body is {type(body).__name__}, not bytes')
