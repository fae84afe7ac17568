"""`Http2`: the commands of the one interface that every core drives (`protocol.interface.Connection`)."""

from __future__ import annotations

from typing import Final

from ..head import CONTROLS
from ..interface import Headers, InvalidResponse
from ..response import (
    HAS_CONTENT_LENGTH,
    HAS_DATE,
    HAS_HOP_BY_HOP,
    HAS_SERVER,
    TRAILERS_REFUSED,
    content_length,
    field_value,
    response_field,
)
from . import frames
from .receiving import KEEP_ALIVE_PING, SHUTDOWN_PING, Receiver
from .streams import Stream

_STATUSES: Final = {status: str(status).encode() for status in range(100, 1000)}
_LENGTHS: Final = [str(length).encode() for length in range(2048)]

Fields = list[tuple[bytes, bytes]]


class Http2(Receiver):
    """A server's side of one HTTP/2 connection.

    Additions to the interface: a stream that failed (RequestFailed) keeps its place among the
    concurrent ones until the core says its last word on it, `send_end`, `respond` or `abort`;
    `shutdown()` twice does not wait for the round trip between its two GOAWAYs; `ping()` and
    `awaiting_pong` are for the keep-alive timer; what a command had produced before it raised
    is in `data_to_send()`. Not thread-safe: a core calls it under the connection's lock, and
    writes what comes out in that order.
    """

    # ---- the request's side

    def body_wanted(self, stream_id: int) -> bytes:
        """Sends 100 (Continue), if the client waits for it and has sent nothing yet."""
        stream = self._streams.get(stream_id)
        if stream is None or not stream.continue_wanted:
            return b''
        stream.continue_wanted = False
        if stream.responded or stream.body_received or not stream.receiving:
            return b''
        self._send_block(stream, [(b':status', b'100')], 0)
        return self._flush()

    def consumed(self, stream_id: int, credit: int) -> bytes:
        stream = self._streams.get(stream_id)
        if stream is None or self._over:
            return b''
        credit = min(credit, stream.credit)
        stream.credit -= credit
        self._return_window(stream, credit)
        return self._flush()

    # ---- the response's side

    def _sendable(self, stream_id: int) -> Stream | None:
        """The stream, if anything can still be sent on it."""
        stream = self._streams.get(stream_id)
        if stream is None or self._over or stream.ending or stream.closed:
            return None
        return stream

    def _release(self, stream_id: int) -> None:
        """The last word on a stream that was broken off: now its place is free."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.closed:
            stream.released = True
            self._leave(stream)

    def send_informational(self, stream_id: int, status: int, headers: Headers) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None or stream.responded:
            return b''
        if not 102 <= status <= 199:
            raise InvalidResponse(f'{status!r} is not an informational status that can be sent')
        fields: Fields = [(b':status', _STATUSES[status])]
        _read_fields(headers, fields)
        self._send_block(stream, fields, 0)
        return self._flush()

    def send_response(
        self, stream_id: int, status: int, headers: Headers, reason: bytes | None = None
    ) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None:
            return b''
        self._send_block(stream, self._head(stream, status, headers), 0)
        return self._flush()

    def respond(
        self, stream_id: int, status: int, headers: Headers, body: bytes, reason: bytes | None = None
    ) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None:
            self._release(stream_id)
            return self._flush()
        fields = self._head(stream, status, headers)
        size = len(body)
        if stream.promised is None:
            if size or not stream.no_body:
                fields.append((b'content-length', _LENGTHS[size] if size < 2048 else str(size).encode()))
        elif stream.promised != size and not stream.no_body:
            stream.responded = False
            stream.promised = None
            raise InvalidResponse(f'the body has {size} bytes, Content-Length says otherwise')
        stream.ending = True
        if not size or stream.no_body:
            self._send_block(stream, fields, frames.END_STREAM)
            self._sent_end(stream)
        else:
            self._send_block(stream, fields, 0)
            self._queue(stream, body)
        return self._flush()

    def send_data(self, stream_id: int, data: bytes) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None:
            return b''
        if not stream.responded:
            raise InvalidResponse('data before the response head')
        excess = False
        promised = stream.promised
        if promised is not None:
            excess = len(data) > promised
            if excess:
                data = data[:promised]
            stream.promised = promised - len(data)
        if data and not stream.no_body:
            self._queue(stream, data)
        if excess:
            raise InvalidResponse('more data than Content-Length says')
        return self._flush()

    def send_end(self, stream_id: int, trailers: Headers = ()) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None:
            self._release(stream_id)
            return self._flush()
        if not stream.responded:
            raise InvalidResponse('the end before the response head')
        if stream.promised and not stream.no_body:
            missing = stream.promised
            self._abandon(stream)
            raise InvalidResponse(f'{missing} bytes less than Content-Length says')
        if trailers and not stream.no_body:
            stream.trailers = _check_trailers(trailers)
        stream.ending = True
        if not stream.queue:
            if stream.trailers:
                self._send_trailers(stream)
            else:
                self._out.append(frames.frame_header(0, frames.DATA, frames.END_STREAM, stream_id))
                self._sent_end(stream)
        return self._flush()

    def accept_tunnel(self, stream_id: int, headers: Headers) -> bytes:
        """200 to an extended CONNECT (RFC 8441 5): from now on DATA is the tunnel."""
        stream = self._sendable(stream_id)
        if stream is None:
            return b''
        fields = self._head(stream, 200, headers)
        if stream.promised is not None:
            raise InvalidResponse('Content-Length on a tunnel')
        stream.tunnel = True
        self._send_block(stream, fields, 0)
        return self._flush()

    def abort(self, stream_id: int) -> bytes:
        stream = self._streams.get(stream_id)
        if stream is None or self._over:
            return b''
        if stream.closed:
            self._release(stream_id)
        else:
            self._abandon(stream)
        return self._flush()

    def _abandon(self, stream: Stream) -> None:
        stream.released = True
        self._reset(stream, frames.INTERNAL_ERROR, None)

    # ---- heads

    def _head(self, stream: Stream, status: int, headers: Headers) -> Fields:
        """The field list of a final response; the stream then knows what body may follow."""
        if stream.responded:
            raise InvalidResponse('a second response on one stream')
        if type(status) is not int or not 200 <= status <= 999:
            raise InvalidResponse(f'status {status!r} is not a number from 200 to 999')
        fields: Fields = [(b':status', _STATUSES[status])]
        flags, length = _read_fields(headers, fields)
        if not flags & HAS_DATE:
            fields.append((b'date', self._clock.date))
        if not flags & HAS_SERVER and self._clock.server:
            fields.append((b'server', self._clock.server))
        stream.responded = True
        if status == 204 or status == 304 or stream.method == 'HEAD':
            stream.no_body = True
            if status == 204 and length is not None:  # RFC 9110 8.6
                fields = [field for field in fields if field[0] != b'content-length']
                length = None
        stream.promised = length
        return fields

    def _send_block(self, stream: Stream, fields: Fields, flags: int) -> None:
        block = self._encoder.encode(fields)
        self._out.append(frames.header_frames(stream.stream_id, block, flags, self._peer_max_frame))

    def _queue(self, stream: Stream, data: bytes) -> None:
        """Send what the windows allow now; the rest waits."""
        waiting = bool(stream.queue)
        stream.put(data)
        if not waiting:
            while self._send_frame(stream):
                pass
            if stream.queue:
                self._blocked[stream.stream_id] = stream

    # ---- the connection

    def ping(self) -> bytes:
        """A keep-alive PING; `awaiting_pong` turns false when its answer has come."""
        if self._over:
            return b''
        self.awaiting_pong = True
        self._out.append(frames.ping_frame(KEEP_ALIVE_PING))
        return self._flush()

    def shutdown(self) -> bytes:
        """GOAWAY twice (RFC 9113 6.8): first with the largest identifier and a PING, then, when its
        answer has come or this is called again, with the last one taken. Between them requests are
        served that were on their way, also where no stream was open: a client loses none."""
        if self._over or self._last_accepted is not None:
            return b''
        if self._going_away:
            self._finish_going_away()
        else:
            self._going_away = True
            self._out.append(frames.goaway_frame(frames.MAX_STREAM_ID, frames.NO_ERROR))
            self._out.append(frames.ping_frame(SHUTDOWN_PING))
        return self._flush()

    def raw_body(self, stream_id: int) -> bool:
        """Never: on HTTP/2 every byte of a body goes through a frame."""
        return False

    def count_data(self, stream_id: int, length: int) -> None:
        raise InvalidResponse('on HTTP/2 no body is sent past the frames')

    def unsent(self, stream_id: int) -> int:
        stream = self._streams.get(stream_id)
        return stream.queued if stream is not None else 0

    @property
    def idle(self) -> bool:
        return not self._streams and self._block is None and self._reader.empty

    @property
    def must_close(self) -> bool:
        if self._over:
            return True
        if self._streams or self._events:
            return False
        return self._last_accepted is not None or self._peer_going_away


def _read_fields(headers: Headers, fields: Fields) -> tuple[int, int | None]:
    """Check an application's fields and add them as HTTP/2 wants them: lower case, none that belongs
    to the connection (RFC 9113 8.2.2). The HAS_ flags and the Content-Length, if any."""
    flags = 0
    length: int | None = None
    start = len(fields)
    for name, value in headers:
        field = response_field(name)
        role = field.role
        if role:
            flags |= role
            if role & HAS_HOP_BY_HOP:
                continue
            if role == HAS_CONTENT_LENGTH:
                length = content_length(value, -1 if length is None else length)
        fields.append((field.raw, value if type(value) is bytes else field_value(name, value)))
    _check_values(fields, start)
    return flags, length


def _check_values(fields: Fields, start: int) -> None:
    try:
        values = b''.join([value for _, value in fields])
    except TypeError:
        for name, value in fields:
            if not isinstance(value, bytes):
                raise InvalidResponse(f'header {name!r}: value {value!r} is not bytes') from None
        raise
    if len(values.translate(None, CONTROLS)) != len(values):
        for name, value in fields:
            if len(value.translate(None, CONTROLS)) != len(value):
                raise InvalidResponse(f'header {name.decode()!r}: control character in value {value!r}')
    for index in range(start, len(fields)):
        name, value = fields[index]
        if value[:1].isspace() or value[-1:].isspace():
            fields[index] = name, value.strip(b' \t')


def _check_trailers(trailers: Headers) -> Fields:
    fields: Fields = []
    for name, value in trailers:
        field = response_field(name)
        if field.raw in TRAILERS_REFUSED:
            raise InvalidResponse(f'{field.raw.decode()} is not allowed in trailers')
        fields.append((field.raw, value if type(value) is bytes else field_value(name, value)))
    _check_values(fields, 0)
    return fields
