"""The handler: calls the application, and turns start_response, write and the iterable into sends."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..stream import ClientDisconnected, InvalidResponse, RequestBodyError
from .environ import environ_maker, normalize_prefix
from .files import FileWrapper
from .head import Pair, Statuses, content_length, header_list
from .input import Input

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ..stream import Handler, Stream

logger = logging.getLogger('_granian')

JOIN_LIMIT = 65536
"""A list of blocks up to this many bytes is joined and sent at once; copying it costs a few µs."""

statuses = Statuses()


def make_handler(
    app: WSGIApplication, *, url_path_prefix: str | None = None, multithread: bool, multiprocess: bool
) -> Handler:
    """A handler that serves `app` (PEP 3333).

    `url_path_prefix` is the path the application is mounted on: SCRIPT_NAME; what is not under
    it gets 404. `multithread` and `multiprocess` are what environ says of the server. The handler
    raises nothing: what the application raises, BaseExceptions too, is logged and answered.
    """
    environ_of = environ_maker(
        prefix=normalize_prefix(url_path_prefix), multithread=multithread, multiprocess=multiprocess
    )

    def handle(stream: Stream) -> None:
        response = Response()
        response.stream = stream
        env = environ_of(stream)
        if env is None:
            response.answer(404, b'Not Found')
            return
        env['wsgi.early_hints'] = response.early_hints
        body = env['wsgi.input']
        try:
            result = app(env, response.start)
            # What most applications return, on the shortest way. A list has no close().
            if type(result) is list and len(result) == 1 and response.status and not response.begun:
                chunk = result[0]
                if chunk and type(chunk) is bytes:
                    try:
                        stream.respond(response.status, response.headers, chunk, response.reason)
                        return
                    except InvalidResponse:
                        pass  # nothing has left; the long way says what is wrong, or cuts what is too long
            response.deliver(result)
        except BaseException as error:  # SystemExit or GreenletExit must not end a pool thread silently
            response.fail(error)
        finally:
            response.over = True
            if type(body) is Input:
                body.detach_stream()

    return handle


class Response:
    """One request's start_response, write and body. Made for each request, so with no __init__."""

    stream: Stream
    status = 0
    """0 until start_response has been called."""
    reason: bytes | None = None
    headers: list[Pair]
    begun = False
    """The head has been handed to the stream: it can no longer be changed."""
    ended = False
    over = False
    """The exchange is over: what the application kept of it is dead."""

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """start_response. Raises InvalidResponse for a status or header that cannot be sent."""
        if exc_info:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no cycle through the traceback's frames
        elif self.status:
            raise AssertionError('start_response was called a second time, without exc_info')
        # One look at the first: the protocol finds a wrong one among the others when they are sent.
        if type(headers) is not list or (headers and type(headers[0]) is not tuple):
            headers = header_list(headers)
        self.status, self.reason = statuses[status]
        self.headers = headers[:]  # what the application does with its list afterwards does not matter
        return self.write

    def write(self, data: bytes) -> None:
        """What start_response returns: sends at once, before the iterable's blocks."""
        if self.over or self.ended:
            raise InvalidResponse('write() was called after the end of the response')
        if not isinstance(data, bytes):
            raise InvalidResponse(f'write() takes bytes, not {type(data).__name__}')
        if data:
            if not self.begun:
                self._begin()
            self._send(data)

    def early_hints(self, headers: list[tuple[str, str]]) -> None:
        """`wsgi.early_hints`: 103 with these headers (RFC 8297), as long as there is no response."""
        if not self.begun and not self.over:
            self.stream.send_informational(103, header_list(headers))

    def deliver(self, result: Iterable[bytes]) -> None:
        """Send what the application returned, and close it, whatever happens."""
        try:
            if result is None or isinstance(result, (bytes, str)):
                raise InvalidResponse(
                    f'the application returned {type(result).__name__}, not an iterable of bytes objects'
                )
            if type(result) is FileWrapper and self.status and not self.begun:
                self._deliver_file(result)
            elif type(result) in (list, tuple) and self.status and not self.begun:
                self._deliver_blocks(result)  # type: ignore[arg-type]
            else:
                # hasattr and not isinstance(…, Sized): that is three times the price.
                single = hasattr(result, '__len__') and len(result) == 1  # type: ignore[arg-type]
                self._deliver(result, single)
        finally:
            close = getattr(result, 'close', None)
            if close is not None:
                close()

    def _deliver(self, blocks: Iterable[bytes], single: bool) -> None:
        """`single`: there is one block, so its length is the response's (PEP 3333, Content-Length)."""
        for block in blocks:
            if not isinstance(block, bytes):
                raise wrong_block(block)
            if not block:
                continue
            if self.begun:
                self._send(block)
                continue
            if not self.status:
                raise InvalidResponse('the application sent body bytes before it called start_response')
            declared = content_length(self.headers)
            # A whole body that is too short is refused at once, while there can still be a 500.
            if declared == len(block) or (single and (declared is None or declared > len(block))):
                self._respond(block)
            else:
                self._begin()
                if self.stream.head.method == 'HEAD':
                    break
                self._send(block)
        self._end()

    def _deliver_blocks(self, blocks: list[bytes] | tuple[bytes, ...]) -> None:
        """All of the body is there: its length is known, and a short one is joined."""
        for block in blocks:
            if not isinstance(block, bytes):
                raise wrong_block(block)
        size = sum(map(len, blocks))
        if size <= JOIN_LIMIT:
            self._deliver((b''.join(blocks),), True)
            return
        if content_length(self.headers) is None:
            self.headers.append(('Content-Length', str(size)))
        self._deliver(blocks, False)

    def _deliver_file(self, wrapper: FileWrapper) -> None:
        declared = content_length(self.headers)
        span = wrapper.span()
        if span is None:
            self._deliver(wrapper.blocks(declared), False)
            return
        bodiless = self.status in (204, 304)
        if declared is None and not bodiless:
            self.headers.append(('Content-Length', str(span.count)))
        self._begin()
        count = span.count if declared is None else min(declared, span.count)
        if count and not bodiless and self.stream.head.method != 'HEAD':
            self.stream.send_file(span.file, span.offset, count)
        self._end()

    def _begin(self) -> None:
        if not self.status:
            raise InvalidResponse('the application sent body bytes before it called start_response')
        self.begun = True
        self.stream.send_response(self.status, self.headers, self.reason)

    def _respond(self, body: bytes) -> None:
        self.begun = True
        self.stream.respond(self.status, self.headers, body, self.reason)
        self.ended = True

    def _send(self, data: bytes) -> None:
        if self.ended:
            raise InvalidResponse('the application sent more than its Content-Length')
        try:
            self.stream.send_data(data)
        except InvalidResponse:
            # Beyond Content-Length; what fits has gone, so the client has a whole response.
            self._finish()
            raise

    def _end(self) -> None:
        if self.ended:
            return
        if not self.status:
            raise InvalidResponse('the application returned without having called start_response')
        if not self.begun and self.stream.head.method != 'HEAD':
            self._respond(b'')
            return
        if not self.begun:
            # An empty body says nothing of GET's length (RFC 9110 8.6): no Content-Length of ours.
            self._begin()
        self._finish()

    def _finish(self) -> None:
        self.stream.send_end()
        self.ended = True

    def fail(self, error: BaseException) -> None:
        """Log what ended the exchange, each kind as it deserves, and answer if nothing was sent."""
        head = self.stream.head
        if isinstance(error, ClientDisconnected):
            logger.debug('The client left during %s %s', head.method, ascii(head.target))
            self.stream.abort()
        elif isinstance(error, RequestBodyError):
            logger.debug('The body of %s %s did not come whole: %s', head.method, ascii(head.target), error)
            self.answer(error.status, HTTPStatus(error.status).phrase.encode())
        elif isinstance(error, InvalidResponse):
            logger.error('Invalid response to %s %s: %s', head.method, ascii(head.target), error)
            self.answer(500, b'Internal Server Error')
        else:
            logger.error('The application failed on %s %s', head.method, ascii(head.target), exc_info=error)
            self.answer(500, b'Internal Server Error')

    def answer(self, status: int, text: bytes) -> None:
        """A response of our own if one can still be given, else an end that the client can tell."""
        stream = self.stream
        try:
            if not stream.status:
                stream.respond(status, [(b'Content-Type', b'text/plain; charset=utf-8')], text)
            elif not self.ended:
                stream.abort()
        except (ClientDisconnected, InvalidResponse):
            stream.abort()


def wrong_block(block: object) -> InvalidResponse:
    return InvalidResponse(f'the response body must be made of bytes objects, not {type(block).__name__}')
