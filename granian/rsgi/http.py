"""RSGI's HTTP protocol object: reads the request body and sends one response."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Awaitable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from ..protocol.error_pages import error_parts
from ..stream import ClientDisconnected, InvalidResponse, RequestBodyError
from ..turns import TURN
from ..unsized import IN_MEMORY, has_true_size, read_first, send_unsized
from .errors import ProtocolClosed, ProtocolError

if TYPE_CHECKING:
    from ..stream import AsyncStream, Headers

ResponseHeaders = Sequence[tuple[str, str]]
Fields = list[tuple[bytes, bytes]]

logger = logging.getLogger('_granian')

_READ_AT_ONCE = 128 * 1024
"""Bytes: a file up to this size is read on the loop and leaves with its head in one write. A disk too
slow for that would block the loop in the kernel's sendfile as well."""
_PLAIN: Fields = [(b'content-type', b'text/plain; charset=utf-8')]


class HTTPStreamTransport:
    """Sends the body of a response in pieces. The body ends when the application returns."""

    __slots__ = ('_open', '_stream', '_turn_ends')

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream
        self._open = True
        self._turn_ends = TURN

    async def send_bytes(self, data: bytes) -> None:
        """Send `data`; wait while the client does not read.

        Raise ProtocolClosed once the client has disconnected or the application has returned,
        ProtocolError for more bytes than Content-Length.
        """
        if self._put(data if type(data) is bytes else _as_bytes(data)):
            await self._give_way()

    async def send_str(self, data: str) -> None:
        """Send `data` as UTF-8; see send_bytes."""
        if not isinstance(data, str):
            raise TypeError(f'send_str takes str, not {type(data).__name__}')
        if self._put(data.encode()):
            await self._give_way()

    def _put(self, data: bytes) -> bool:
        """Send. Return whether `_give_way` is to be awaited. Raises ProtocolClosed and ProtocolError."""
        stream = self._stream
        if not self._open or stream.disconnected:
            raise ProtocolClosed('the response stream is closed')
        if data:
            try:
                stream.send_data(data)
            except InvalidResponse as error:
                raise ProtocolError(str(error)) from None
        return stream.congested or stream.bytes_sent >= self._turn_ends

    async def _give_way(self) -> None:
        """Wait while the client does not read, then for the next turn if this one is used up."""
        stream = self._stream
        try:
            if stream.congested:
                await stream.drain()
        except ClientDisconnected as error:
            raise ProtocolClosed(str(error)) from None
        if stream.bytes_sent >= self._turn_ends:
            self._turn_ends = stream.bytes_sent + TURN
            await stream.take_turn()

    def close(self) -> None:
        """End the body. Raise InvalidResponse if it is shorter than its Content-Length."""
        if self._open:
            self._open = False
            if not self._stream.disconnected:
                self._stream.send_end()


class HTTPProtocol:
    """One request. The application answers it by one of the `response_` methods."""

    __slots__ = ('_body_taken', '_responded', '_sending', '_stream', '_transport', 'whole')

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream
        self._body_taken = False
        self._responded = False
        self.whole = False  # the response has been sent as a whole
        self._transport: HTTPStreamTransport | None = None
        self._sending: asyncio.Task[None] | None = None

    # the request's body

    async def __call__(self) -> bytes:
        """Return the whole body. Raise ProtocolError on a second call, ProtocolClosed if it was cut short."""
        self._take_body()
        stream = self._stream
        if stream.complete:
            return stream.body
        pieces = []
        while piece := await self._read():
            pieces.append(piece)
        return b''.join(pieces)

    def __aiter__(self) -> HTTPProtocol:
        """Iterate over pieces of the body as they arrive. Raise as `__call__` does."""
        self._take_body()
        return self

    async def __anext__(self) -> bytes:
        piece = await self._read()
        if not piece:
            raise StopAsyncIteration
        return piece

    def _take_body(self) -> None:
        if self._body_taken:
            raise ProtocolError('the request body has been read already')
        self._body_taken = True

    async def _read(self) -> bytes:
        if self._responded and self._transport is None and not self._stream.complete:
            raise ProtocolClosed('the response is complete: the rest of the body is not read')
        try:
            return await self._stream.read()
        except RequestBodyError as error:
            raise RequestBodyCut(str(error)) from error

    async def client_disconnect(self) -> None:
        """Wait until the client disconnects. Another request on the connection does not end the wait."""
        await self._stream.wait_disconnected()

    # the response

    def response_empty(self, status: int, headers: ResponseHeaders) -> None:
        self._respond(status, headers, b'')

    def response_str(self, status: int, headers: ResponseHeaders, body: str) -> None:
        """Send the body as UTF-8."""
        if not isinstance(body, str):
            raise TypeError(f'response_str takes a body of str, not {type(body).__name__}')
        self._respond(status, headers, body.encode())

    def response_bytes(self, status: int, headers: ResponseHeaders, body: bytes) -> None:
        self._respond(status, headers, body if type(body) is bytes else _as_bytes(body))

    def _respond(self, status: int, headers: ResponseHeaders, body: bytes) -> None:
        if self._responded:
            raise SecondResponse
        if type(headers) is not list:
            headers = _repeatable(headers)
        try:
            self._stream.respond(status, headers, body)
        except InvalidResponse as error:
            raise ProtocolError(str(error)) from None
        self._responded = self.whole = True

    def response_stream(self, status: int, headers: ResponseHeaders) -> HTTPStreamTransport:
        """Begin a response, and return the transport that sends its body."""
        if self._responded:
            raise SecondResponse
        self._begin(status, _repeatable(headers))
        self._transport = HTTPStreamTransport(self._stream)
        return self._transport

    def response_file(self, status: int, headers: ResponseHeaders, path: str) -> None:
        """Send a regular file. A missing file is 404, an unreadable one 403 and a line in the log.

        The file's size replaces a Content-Length in `headers`.
        """
        self._file(status, headers, path, 0, None)

    def response_file_range(
        self, status: int, headers: ResponseHeaders, path: str, start: int, end: int
    ) -> None:
        """Send bytes `start` (included) to `end` (excluded, limited to the file's size) of a file.

        A range behind the file's end is 416. Raise ValueError for an invalid range. Content-Range is
        left to the application.
        """
        if not (isinstance(start, int) and isinstance(end, int)):
            raise TypeError('start and end of a range are int')
        if not 0 <= start < end:
            raise ValueError(f'invalid range: {start} to {end}')
        self._file(status, headers, path, start, end)

    def _file(self, status: int, headers: ResponseHeaders, path: str, start: int, end: int | None) -> None:
        """Respond with bytes `start` to `end` (None: the end) of a file. Raises ProtocolError.

        A small file leaves in one write; a task sends a large one. One that cannot be opened gets 404 or 403.
        """
        if self._responded:
            raise SecondResponse
        fields = [field for field in _encoded(headers) if field[0].lower() != b'content-length']
        try:
            file = _open_regular(path)
        except OSError as error:
            self._no_file(error)
            return
        try:
            about = os.fstat(file.fileno())
            if not has_true_size(about):
                self._unsized_file(status, fields, file, start, end)
                return
            size = about.st_size
            ranged = end is not None
            end = size if end is None else min(end, size)
            if start >= end and ranged:
                self._refuse(416, [(b'content-range', b'bytes */%d' % size)])
                return
            fields.append((b'content-length', b'%d' % (end - start)))
            if self._stream.head.method == 'HEAD':
                self._begin(status, fields)
                self._stream.send_end()
                return
            if end - start > _READ_AT_ONCE:
                self._begin(status, fields)
                sending = self._stream.send_file(file, start, end - start)
                self._sending = asyncio.Task(self._send_file(file, sending))
                return
            content = os.pread(file.fileno(), end - start, start)
            if len(content) == end - start:
                self._stream.respond(status, fields, content)
            else:  # the file has shrunk: break the response off visibly
                self._begin(status, fields)
                self._stream.abort()
            self._responded = True
        except InvalidResponse as error:
            raise ProtocolError(str(error)) from None
        finally:
            if self._sending is None:
                file.close()

    def _unsized_file(self, status: int, fields: Fields, file: BinaryIO, start: int, end: int | None) -> None:
        """Respond with a file whose size is not known before it has been read. Raises what `_file` does."""
        content = read_first(file.fileno())
        if len(content) > IN_MEMORY:
            self._begin(status, fields)
            if self._stream.head.method == 'HEAD':
                self._stream.send_end()
            else:
                sending = send_unsized(self._stream, file.fileno(), start, end)
                self._sending = asyncio.Task(self._send_file(file, sending))
        elif end is not None and start >= len(content):
            self._refuse(416, [(b'content-range', b'bytes */%d' % len(content))])
        else:
            content = content[start:end]
            fields.append((b'content-length', b'%d' % len(content)))
            self._stream.respond(status, fields, content)
            self._responded = True

    async def _send_file(self, file: BinaryIO, sending: Awaitable[None]) -> None:
        """Send a large file. One that has shrunk breaks the response off, and is logged."""
        stream = self._stream
        with file:
            try:
                await sending
                if not stream.disconnected:
                    stream.send_end()
            except ClientDisconnected:
                pass
            except (OSError, InvalidResponse) as error:  # the file has become shorter
                logger.error('Cannot send file %s: %s', file.name, error)
                stream.abort()

    def _no_file(self, error: OSError) -> None:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            self._refuse(404)
        else:
            self._refuse(403)
        logger.info('Cannot open file %s: %s', error.filename, error.strerror)

    def _refuse(self, status: int, headers: Fields | None = None) -> None:
        text = {403: b'Forbidden', 404: b'Not found', 416: b'Range not satisfiable'}[status]
        self._stream.respond(status, [*_PLAIN, *(headers or [])], text)
        self._responded = True

    def _begin(self, status: int, headers: Headers) -> None:
        try:
            self._stream.send_response(status, headers)
        except InvalidResponse as error:
            raise ProtocolError(str(error)) from None
        self._responded = True

    # for the handler

    async def finish(self) -> bool:
        """End the response after the application returned. False if it began none.

        Raise InvalidResponse for a stream shorter than its Content-Length.
        """
        if self._transport is not None:
            self._transport.close()
        elif self._sending is not None:
            await self._sending
        return self._responded

    async def fail(self, status: int = 500, reason: str = '') -> None:
        """End the response after an exception: complete a file, abort a stream, else answer `status`."""
        stream = self._stream
        if self._sending is not None:
            await self._sending
        elif self._transport is not None:
            self._transport._open = False
            stream.abort()
        elif not self._responded:
            stream.respond(status, *error_parts(status, reason))

    def cancel(self) -> None:
        """Cancel a file being sent, when the core cancels the handler."""
        if self._sending is not None:
            self._sending.cancel()


class RequestBodyCut(ProtocolClosed):
    """The request body was cut short or malformed: the client's fault, not the application's."""


class SecondResponse(ProtocolError):
    """Raised by a second response. If the application lets it pass, the first response is complete."""

    def __init__(self) -> None:
        super().__init__('a response has been given already')


def _repeatable(headers: ResponseHeaders) -> ResponseHeaders:
    """Return headers that can be read twice. The protocol refuses those that cannot be read at all."""
    return list(headers) if isinstance(headers, Iterator) else headers


def _encoded(headers: ResponseHeaders) -> Fields:
    try:
        return [(name.encode('latin-1'), value.encode('latin-1')) for name, value in headers]
    except UnicodeEncodeError as error:
        raise ProtocolError(f'a header can hold latin-1 only: {error.object!r}') from None
    except (AttributeError, ValueError):
        raise TypeError('headers are a list of (str, str)') from None


def _as_bytes(data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f'bytes are needed, not {type(data).__name__}')


def _open_regular(path: str) -> BinaryIO:
    """Open a regular file. Raise OSError for anything else; never wait for the other end of a FIFO."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, 'rb', buffering=0)
        raise PermissionError(None, 'not a regular file', path)
    except BaseException:
        os.close(descriptor)
        raise
