"""The handler: calls the application, and sends its response."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..forked import leave_if_child
from ..protocol.error_pages import error_parts
from ..stream import ClientDisconnected, InvalidResponse, RequestBodyError, log_failure
from ..unsized import IN_MEMORY
from .environ import environ_maker, normalize_prefix
from .files import FileWrapper
from .forwarder import with_forwarder_headers
from .head import Pair, Statuses, content_length, header_list
from .input import Input
from .upgrade import serve_upgrade

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ..stream import Handler, Stream

logger = logging.getLogger('_granian')

JOIN_LIMIT = 65536
"""Bytes of the blocks of a list that are joined and sent in one write. Copying takes a few µs."""

statuses = Statuses()


def make_handler(
    app: WSGIApplication,
    *,
    url_path_prefix: str | None = None,
    multithread: bool,
    multiprocess: bool,
    websockets: bool = True,
    forwarder_headers: Sequence[str] = (),
) -> Handler:
    """Return a handler that serves `app` (PEP 3333).

    `url_path_prefix` is the SCRIPT_NAME of the application; other paths get 404. `multithread` and
    `multiprocess` are the values of their environ keys. With `websockets` the application may take the
    socket of a WebSocket handshake. The handler raises nothing: exceptions of the application,
    BaseException included, are logged and answered.
    """
    environ_of = environ_maker(
        prefix=normalize_prefix(url_path_prefix), multithread=multithread, multiprocess=multiprocess
    )
    if forwarder_headers:
        environ_of = with_forwarder_headers(environ_of, forwarder_headers)

    def handle(stream: Stream) -> None:
        response = Response()
        response.stream = stream
        env = environ_of(stream)
        if env is None:
            response.answer(404)
            return
        env['wsgi.early_hints'] = response.early_hints
        if stream.head.upgrade is not None:
            serve_upgrade(app, env, response, stream, websockets)
            return
        body = env['wsgi.input']
        try:
            result = app(env, response.start)
            # Fast path for what most applications return. A list has no close().
            if type(result) is list and len(result) == 1 and response.status and not response.begun:
                chunk = result[0]
                if chunk and type(chunk) is bytes:
                    try:
                        stream.respond(response.status, response.headers, chunk, response.reason)
                        return
                    except InvalidResponse:
                        pass  # nothing was sent; `deliver` reports the error, or cuts a body that is too long
            response.deliver(result)
        except BaseException as error:  # SystemExit and GreenletExit must not end a pool thread
            response.fail(error)
        finally:
            response.over = True
            if type(body) is Input:
                body.detach_stream()

    return handle


class Response:
    """start_response, write and body of one request. Has no __init__, which would cost time per request."""

    stream: Stream
    status = 0
    """0 until start_response has been called."""
    reason: bytes | None = None
    headers: list[Pair]
    begun = False
    """The head has been given to the stream and cannot be changed."""
    ended = False
    over = False
    """The exchange has ended: calls by an application that kept this object fail."""

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Implement start_response. Raise InvalidResponse for a status or header that cannot be sent."""
        if exc_info:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # break the reference cycle through the traceback
        elif self.status:
            raise AssertionError('start_response was called a second time, without exc_info')
        # Check the first only: the protocol converts later lists when it sends them.
        if type(headers) is not list or (headers and type(headers[0]) is not tuple):
            headers = header_list(headers)
        self.status, self.reason = statuses[status]
        self.headers = headers[:]  # a copy: the application may change its list
        return self.write

    def write(self, data: bytes) -> None:
        """Send a block at once, before those of the iterable (PEP 3333 write())."""
        if self.over or self.ended:
            raise InvalidResponse('write() was called after the end of the response')
        if not isinstance(data, bytes):
            raise InvalidResponse(f'write() takes bytes, not {type(data).__name__}')
        if data:
            if not self.begun:
                self._begin()
            self._send(data)

    def early_hints(self, headers: list[tuple[str, str]]) -> None:
        """Send a 103 with these headers (RFC 8297) unless the response has begun."""
        if not self.begun and not self.over:
            self.stream.send_informational(103, header_list(headers))

    def deliver(self, result: Iterable[bytes]) -> None:
        """Send the application's iterable, and call its close() in any case."""
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
                # isinstance(…, Sized) would take three times as long as hasattr.
                single = hasattr(result, '__len__') and len(result) == 1  # type: ignore[arg-type]
                self._deliver(result, single)
        finally:
            close = getattr(result, 'close', None)
            if close is not None:
                close()

    def _deliver(self, blocks: Iterable[bytes], single: bool) -> None:
        """Send blocks. `single`: there is one, so its size is the Content-Length (PEP 3333)."""
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
            # Refuse a single block shorter than Content-Length now, while a 500 is possible.
            if declared == len(block) or (single and (declared is None or declared > len(block))):
                self._respond(block)
            else:
                self._begin()
                if self.stream.head.method == 'HEAD':
                    break
                self._send(block)
        self._end()

    def _deliver_blocks(self, blocks: list[bytes] | tuple[bytes, ...]) -> None:
        """Send a list of blocks, which all exist already: in one write, or with Content-Length in several."""
        for block in blocks:
            if not isinstance(block, bytes):
                raise wrong_block(block)
        size = sum(map(len, blocks))
        if size <= JOIN_LIMIT:
            self._deliver((b''.join(blocks),), True)
            return
        if content_length(self.headers) is None:
            self.headers.append(('Content-Length', str(size)))
        self._deliver(joined(blocks), False)

    def _deliver_file(self, wrapper: FileWrapper) -> None:
        """Send what `wsgi.file_wrapper` wraps, by sendfile where it is a file with a descriptor."""
        declared = content_length(self.headers)
        span = wrapper.span()
        if span is None:
            if wrapper.false_size is not None and declared in (None, wrapper.false_size):
                self._deliver_unsized(wrapper.blocks(None))
            else:
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

    def _deliver_unsized(self, blocks: Iterator[bytes]) -> None:
        """Send a file of /proc or /sys. A Content-Length that the application took from its size is wrong."""
        self.headers = [each for each in self.headers if each[0].lower() != 'content-length']
        first = b''
        for block in blocks:
            first += block
            if len(first) > IN_MEMORY:
                self._deliver(chain((first,), blocks), False)
                return
        self._deliver((first,), True)

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
        """Send a part of the body. Raises InvalidResponse beyond Content-Length, and ClientDisconnected."""
        if self.ended:
            raise InvalidResponse('the application sent more than its Content-Length')
        try:
            self.stream.send_data(data)
        except InvalidResponse:
            # Longer than Content-Length: the first part was sent, so the client has a whole response.
            self._finish()
            raise

    def _end(self) -> None:
        """End the response. Raises InvalidResponse without start_response or below Content-Length."""
        if self.ended:
            return
        if not self.status:
            raise InvalidResponse('the application returned without having called start_response')
        if not self.begun and self.stream.head.method != 'HEAD':
            self._respond(b'')
            return
        if not self.begun:
            # HEAD: an empty body does not tell the length of GET's (RFC 9110 8.6), so none is set.
            self._begin()
        self._finish()

    def _finish(self) -> None:
        self.stream.send_end()
        self.ended = True

    def fail(self, error: BaseException) -> None:
        """Log the exception that ended the exchange, and answer if nothing was sent."""
        head = self.stream.head
        if isinstance(error, ClientDisconnected):
            leave_if_child()
            logger.debug('The client left during %s %s', head.method, ascii(head.target))
            self.stream.abort()
        elif isinstance(error, RequestBodyError):
            logger.debug('The body of %s %s did not come whole: %s', head.method, ascii(head.target), error)
            self.answer(error.status, str(error))
        elif isinstance(error, InvalidResponse):
            logger.error('Invalid response to %s %s: %s', head.method, ascii(head.target), error)
            self.answer(500)
        else:
            log_failure(head, error)
            self.answer(500)

    def answer(self, status: int, reason: str = '') -> None:
        """Send a response of our own if nothing was sent, else break the response off visibly."""
        stream = self.stream
        try:
            if not stream.status:
                stream.respond(status, *error_parts(status, reason))
            elif not self.ended:
                stream.abort()
        except (ClientDisconnected, InvalidResponse):
            stream.abort()


def joined(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Join blocks up to JOIN_LIMIT bytes; a larger one stays as it is."""
    group: list[bytes] = []
    size = 0
    for block in blocks:
        if group and size + len(block) > JOIN_LIMIT:
            yield b''.join(group)
            group, size = [], 0
        group.append(block)
        size += len(block)
    yield b''.join(group)


def wrong_block(block: object) -> InvalidResponse:
    return InvalidResponse(f'the response body must be made of bytes objects, not {type(block).__name__}')
