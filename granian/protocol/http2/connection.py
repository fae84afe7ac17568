"""`Http2`: the commands of the one interface that every core drives (`protocol.interface.Connection`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..events import Event
from ..interface import Headers, InvalidResponse
from ..limits import Clock, Limits, SharedStreams
from ..response import checked_status, read_pairs
from . import frames
from .answers import head_fields, trailer_fields
from .control import KEEP_ALIVE_PING, SHUTDOWN_PING
from .output import ROOM
from .portions import Portions
from .receiving import Receiver
from .session import Session
from .streams import Stream

_STATUSES: Final = {status: str(status).encode() for status in range(100, 1000)}


class Http2:
    """A server's side of one HTTP/2 connection.

    The interface's rules hold. Additions: a second `shutdown()` does not wait for the round trip between
    the two GOAWAYs; `ping()` and `awaiting_pong` are for the keep-alive timer.
    """

    make_session = Session
    make_receiver = Receiver

    def __init__(self, limits: Limits, clock: Clock, shared: SharedStreams | None = None) -> None:
        """Begin a connection. `shared` counts the worker's streams; None: those of this connection alone."""
        self._clock = clock
        if shared is None:  # one that is empty is false
            shared = SharedStreams(limits.worker_streams)
        self._session = session = self.make_session(limits, clock, shared)
        self._table = session.table
        self._output = session.output
        self._receiver = self.make_receiver(session, limits)
        self.receive_data: Callable[[bytes], None] = self._receiver.receive
        self._portions = Portions(self._receiver)
        self.read_on = self._portions.read_on
        self.next_event: Callable[[], Event | None] = session.next_event
        self.data_to_send = session.output.take

    def receive_eof(self) -> None:
        """Note that the client has closed its side; HTTP/2 has no half-closed connections."""
        if not self._session.over:
            self._session.end_all('the client closed the connection')
            self._output.discard()
        self._portions.drop()

    def close(self) -> None:
        """Take no more commands, and break the reference cycles: they would wait for a garbage collection.

        Unsent DATA would wait with them.
        """
        self.receive_eof()
        self._session.unlink()

    # Frames that are costly leave turns to the other connections: 16 KiB may take 15 ms.

    def bound_input(self) -> None:
        """Read a portion of the frames at once from now on; `read_on` reads a further one."""
        self.receive_data = self._portions.receive

    @property
    def unread(self) -> bool:
        """Frames are left over from the last portion; `read_on` reads them."""
        return self._portions.unread

    # ---- the request's side

    def body_wanted(self, stream_id: int) -> bytes:
        """Send 100 (Continue), if the client waits for it and has sent nothing yet."""
        stream = self._table.active.get(stream_id)
        if stream is None or not stream.continue_wanted:
            return b''
        stream.continue_wanted = False
        if self._session.over or stream.responded or stream.body_received or not stream.receiving:
            return b''
        self._output.headers(stream_id, [(b':status', b'100')])
        return self._output.take()

    def consumed(self, stream_id: int, credit: int) -> bytes:
        stream = self._table.active.get(stream_id)
        if stream is None or self._session.over:
            return b''
        credit = min(credit, stream.credit)
        stream.credit -= credit
        self._session.return_window(stream, credit)
        return self._output.take()

    # ---- the response's side

    def _sendable(self, stream_id: int) -> Stream | None:
        """Return the stream, if anything can still be sent on it."""
        stream = self._table.active.get(stream_id)
        if stream is None or self._session.over or stream.ending or stream.closed:
            return None
        return stream

    def _release(self, stream_id: int) -> None:
        """Free the place of a stream that was broken off, after the core's last command on it."""
        stream = self._table.active.get(stream_id)
        if stream is not None and (stream.closed or self._session.over):
            self._session.release(stream)

    def send_informational(self, stream_id: int, status: int, headers: Headers) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None or stream.responded:
            return b''
        status = checked_status(status)
        if status > 199 or status == 101:
            raise InvalidResponse(f'status {status!r} is not an informational one')
        section = read_pairs(headers)
        self._output.headers(stream_id, [(b':status', _STATUSES[status]), *section.pairs])
        return self._output.take()

    def send_response(
        self, stream_id: int, status: int, headers: Headers, reason: bytes | None = None
    ) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None:
            return b''
        self._output.headers(stream_id, head_fields(stream, status, headers, None, self._clock)[0])
        return self._output.take()

    def respond(
        self, stream_id: int, status: int, headers: Headers, body: bytes, reason: bytes | None = None
    ) -> bytes:
        """Return the frames of a whole response, b'' if the stream is gone. Raises InvalidResponse.

        A section of fields that was encoded before, under the same dynamic table, is not encoded again.
        """
        stream = self._sendable(stream_id)
        if stream is None:
            self._release(stream_id)
            return self._output.take()
        encoder = self._output.encoder
        size = len(body)
        key: Any = None
        block: bytes | None = None
        try:
            key = type(status), status, size, self._clock.lines, tuple(headers)
            block = encoder.known.get(key) if stream.method != 'HEAD' and not stream.responded else None
        except TypeError:  # a field that is a list: no key
            pass
        if block is None:
            changes = encoder.changes
            fields, known = head_fields(stream, status, headers, size, self._clock)
            block = encoder.encode(fields)
            if known and key is not None and not stream.no_body and encoder.changes == changes:
                encoder.remember(key, block)
        stream.responded = stream.ending = True
        if not size or stream.no_body:
            self._output.block(stream_id, block, frames.END_STREAM)
            self._session.sent_end(stream)
        else:
            self._output.block(stream_id, block)
            self._output.send(stream, body)
        return self._output.take()

    def send_data(self, stream_id: int, data: bytes) -> bytes:
        """Return frames of a part of the body. Raises InvalidResponse, also beyond Content-Length."""
        stream = self._sendable(stream_id)
        if stream is None:
            return b''
        if not stream.responded:
            raise InvalidResponse('data before the response head')
        if stream.no_body:
            return b''
        excess = 0
        promised = stream.promised
        if promised is not None:
            excess = max(0, len(data) - promised)
            if excess:
                data = data[:promised]
            stream.promised = promised - len(data)
        if data:
            self._output.send(stream, data)
        if excess:
            raise InvalidResponse(f'{excess} bytes more than Content-Length says')
        return self._output.take()

    def send_end(self, stream_id: int, trailers: Headers = ()) -> bytes:
        """Return the frames that end a response. Raises InvalidResponse below Content-Length (and resets)."""
        stream = self._sendable(stream_id)
        if stream is None:
            self._release(stream_id)
            return self._output.take()
        if not stream.responded:
            raise InvalidResponse('the end before the response head')
        if stream.promised and not stream.no_body:
            missing = stream.promised
            self._abandon(stream)
            raise InvalidResponse(f'{missing} bytes fewer than Content-Length says')
        if trailers and not stream.no_body:
            stream.trailers = trailer_fields(trailers)
        stream.ending = True
        if not stream.queue:
            self._output.end(stream)
        return self._output.take()

    def accept_tunnel(self, stream_id: int, headers: Headers) -> bytes:
        """Answer 200 to an extended CONNECT (RFC 8441 5). From now on DATA is the tunnel's."""
        stream = self._sendable(stream_id)
        if stream is None:
            return b''
        fields, _ = head_fields(stream, 200, headers, None, self._clock)
        if stream.promised is not None:
            raise InvalidResponse('Content-Length on a tunnel')
        stream.tunnel = True
        self._output.headers(stream_id, fields)
        return self._output.take()

    def abort(self, stream_id: int) -> bytes:
        """Return the frame that breaks a stream off, b'' where it has ended. Its handler has ended."""
        stream = self._table.active.get(stream_id)
        if stream is None:
            return b''
        if stream.closed or self._session.over:
            self._session.release(stream)
        else:
            self._abandon(stream)
        return self._output.take()

    def cancel(self, stream_id: int) -> bytes:
        """Do as `abort` for a stream whose handler runs: it keeps its place until `abort`."""
        stream = self._table.active.get(stream_id)
        if stream is None or stream.closed or self._session.over:
            return b''
        if stream.ending:
            self._abandon(stream)  # the handler has sent all
        else:
            self._session.cancel(stream)
        return self._output.take()

    def _abandon(self, stream: Stream) -> None:
        stream.released = True
        self._session.reset(stream, frames.INTERNAL_ERROR, None)

    # ---- the connection

    def ping(self) -> bytes:
        """Send a keep-alive PING. `awaiting_pong` turns false when its answer has arrived."""
        if self._session.over:
            return b''
        self._session.awaiting_pong = True
        self._output.write(frames.ping_frame(KEEP_ALIVE_PING))
        return self._output.take()

    def shutdown(self) -> bytes:
        """Send GOAWAY twice (RFC 9113 6.8).

        Send the first with the largest identifier, and a PING. Send the second with the last accepted
        identifier, when the PING's answer has arrived or this is called again. Serve the requests that
        arrive between them, also where no stream was open: a client loses none.
        """
        if self._session.over or self._session.last_accepted is not None:
            return b''
        if self._session.going_away:
            self._session.finish_going_away()
        else:
            self._session.going_away = True
            self._output.write(frames.goaway_frame(frames.MAX_STREAM_ID, frames.NO_ERROR))
            self._output.write(frames.ping_frame(SHUTDOWN_PING))
        return self._output.take()

    def raw_body(self, stream_id: int) -> bool:
        """Return False: on HTTP/2 every byte of a body goes through a frame."""
        return False

    def count_data(self, stream_id: int, length: int) -> None:
        raise InvalidResponse('on HTTP/2 no body is sent past the frames')

    def unsent(self, stream_id: int) -> int:
        stream = self._table.active.get(stream_id)
        return stream.queued if stream is not None else 0

    def is_starved(self, stream_id: int) -> bool:
        """Return whether a stream waits for the connection's window or the socket, not for its own window."""
        stream = self._table.active.get(stream_id)
        return stream is not None and self._output.is_starved(stream)

    # A core that tells when its socket has taken the output: one large response does not delay the others.

    def bound_output(self) -> None:
        """Output no more than ROOM bytes of DATA until `send_more` is called, from now on."""
        self._output.room = ROOM

    @property
    def holds_back(self) -> bool:
        """`send_more` has to be called when the socket has taken the output."""
        return self._output.room <= 0

    def send_more(self) -> list[int]:
        """Output more of the streams that wait, for `data_to_send`. Return those that could send."""
        return self._output.send_more()

    @property
    def data_sent(self) -> int:
        """Bytes of DATA that the connection's window has let through."""
        return self._output.granted - self._output.window

    @property
    def idle(self) -> bool:
        return not (self._table.active or self.unread) and self._receiver.empty

    @property
    def used(self) -> bool:
        """True once the client has opened a stream."""
        return self._table.highest > 0

    @property
    def must_close(self) -> bool:
        session = self._session
        return session.must_close and (session.over or not self.unread)

    @property
    def awaiting_pong(self) -> bool:
        """A PING of `ping()` has not been answered yet."""
        return self._session.awaiting_pong
