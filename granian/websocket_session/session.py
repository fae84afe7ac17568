"""The session: the handshake's outcomes, messages, and the close handshake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocol.websocket.events import (
    ABNORMAL,
    GOING_AWAY,
    INTERNAL_ERROR,
    POLICY,
    RESTART,
    TOO_BIG,
    TRY_LATER,
    Close,
    Event,
    More,
    Pings,
    State,
    may_be_sent,
)
from ..protocol.websocket.handshake import Handshake
from ..stream import ClientDisconnected, Headers, InvalidResponse
from ..turns import TURN
from .counted import make_codec
from .inbox import Closed, Inbox
from .keepalive import KeepAlive
from .line import line_of
from .stall import Stall
from .unfinished import unfinished_of

if TYPE_CHECKING:
    from ..protocol.websocket.codec import WebSocket
    from ..stream import AsyncStream
    from .settings import WebSocketSettings

_OPEN, _CLOSE_DUE = State.OPEN, State.CLOSE_DUE
_LAST_WORD = 1.0  # seconds between the peer's close frame and ours, while messages wait for the application
_STOPPING = 3.0  # seconds for the answer to our close frame when the worker stops, at most
_LINGER = 1.0  # seconds in which input is thrown away after a message that was too big


class WebSocketClosed(ClientDisconnected):
    """send() or close() after the WebSocket was over."""


class WebSocketSession:
    """A WebSocket, from the client's wish for one to the end of the close handshake.

    The adapter calls `open_session()`, then the application's `accept()` or `refuse()`, then
    `receive()` (see `Inbox.receive`) and `send()` in any order, and always, when the application has ended,
    `await finish()`. One task at a time may wait in `receive()`.
    """

    __slots__ = (
        '_answered', '_codec', '_flooded', '_handshake', '_inbox', '_keep_alive', '_loop',
        '_over', '_released', '_scheduled', '_settings', '_stall', '_stream', '_timer', '_turn_ends',
        '_unfinished', 'accepted', 'receive',
    )  # fmt: skip

    def __init__(self, stream: AsyncStream, handshake: Handshake, settings: WebSocketSettings) -> None:
        self._stream = stream
        self._handshake = handshake
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._codec: WebSocket | None = None
        self._turn_ends = TURN
        self.accepted = False
        """accept() has been called."""
        self._answered = False  # accepted, refused, or being refused in pieces
        self._inbox = inbox = Inbox(self._loop, settings, self._read_soon, self._answer_close)
        self.receive = inbox.receive
        self._over: asyncio.Future[None] | None = None  # the stream has been ended; for finish()
        self._scheduled = False  # _read_on() runs in the loop's next turn
        self._stall = Stall()
        self._flooded = False  # the client sends a message that is too big, or in tiny fragments
        self._timer: asyncio.TimerHandle | None = None  # of the close handshake
        self._keep_alive: KeepAlive | None = None
        self._released = False  # the stream has been ended, no timer runs
        self._unfinished = False  # a message has begun, and is counted
        stream.on_shutdown = self._on_shutdown
        stream.on_disconnect = self._on_disconnect
        if stream.disconnected:
            self._on_disconnect()

    @property
    def subprotocols(self) -> list[str]:
        """Subprotocols that the client offers, in its order."""
        return self._handshake.subprotocols

    @property
    def closed(self) -> bool:
        """Nothing more can be sent: refused, closed by either side, or the client has gone."""
        if self._codec is None:
            return self._answered
        return self._codec.state in (State.CLOSING, State.CLOSED)

    # the handshake's two outcomes

    async def accept(self, subprotocol: str | None = None, headers: Headers = ()) -> None:
        """Answer the handshake. `subprotocol` must be one of those offered.

        Raises InvalidResponse for what the handshake does not allow, RuntimeError when it has
        been answered already. A client that has gone is no error: receive() tells.
        """
        self._only_once()
        response = self._handshake.response(subprotocol, headers)
        settings = self._settings
        self._codec = make_codec(settings, self._handshake.deflate)
        try:
            self._stream.accept_websocket(response, self._on_data)
        except InvalidResponse:
            self._codec = None
            raise
        self._answered = self.accepted = True
        if settings.counts is not None and not self._stream.disconnected:
            settings.counts.open()
        if self._stream.disconnected:
            self._on_data(b'')
        elif settings.ping_interval is not None:
            self._keep_alive = KeepAlive(
                self._stream, self._codec, self._inbox, settings.ping_interval, settings.ping_timeout,
                self._abort,
            )  # fmt: skip

    def refuse(self, status: int = 403, headers: Headers = (), body: bytes = b'') -> None:
        """Answer the handshake with an ordinary response instead, whole. RuntimeError when it has
        been answered already; InvalidResponse, and it has not been answered yet."""
        self._only_once()
        self._stream.respond(status, headers, body)
        self._refused()

    def refusing(self) -> AsyncStream:
        """Return the stream, to answer the handshake with a response in pieces by its send_response,
        send_data and send_end. RuntimeError when it has been answered already."""
        self._only_once()
        self._refused()
        return self._stream

    def _only_once(self) -> None:
        if self._answered:
            raise RuntimeError('the WebSocket handshake has been answered already')

    def _refused(self) -> None:
        self._answered = True
        self._inbox.conclude(Closed(ABNORMAL, ''))
        self._let_go()

    # messages

    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """Send a message; wait while the client does not read. Raise WebSocketClosed (an
        OSError) when the WebSocket is over, RuntimeError before accept(), TypeError for another type."""
        codec = self._codec
        if codec is None:
            raise RuntimeError('send() before the WebSocket was accepted')
        stream = self._stream
        if (codec.state is not _OPEN and codec.state is not _CLOSE_DUE) or stream.disconnected:
            raise WebSocketClosed('the WebSocket is closed')
        if isinstance(message, str):
            frame = codec.send_text(message)
        elif isinstance(message, (bytes, bytearray, memoryview)):
            frame = codec.send_bytes(message if isinstance(message, bytes) else bytes(message))
        else:
            raise TypeError(f'a WebSocket message is str or bytes, not {type(message).__name__}')
        stream.send_data(frame)
        if stream.congested:
            await stream.drain()
        if stream.bytes_sent >= self._turn_ends:
            self._turn_ends = stream.bytes_sent + TURN
            await stream.take_turn()

    # the end

    async def close(self, code: int = 1000, reason: str = '') -> None:
        """Start the close handshake; does not wait for the client's answer (finish() does).

        From then on receive() returns Closed(code, reason). A second close does nothing.
        ValueError for a code that must not be sent (1005, 1006, 1015, outside 1000-4999),
        RuntimeError before the handshake was answered: refuse() is meant then.
        """
        if not may_be_sent(code):
            raise ValueError(f'{code} cannot be sent as a WebSocket close code')
        if not self._answered:
            raise RuntimeError('close() before the WebSocket was accepted')
        self.start_close(code, reason)

    def shutdown(self, code: int = 1001) -> None:
        """Close because the server stops (1001) or reloads (1012); receive() returns Closed(code, '').
        Before accept(): the handshake is refused with 503."""
        if self._answered:
            self.start_close(code, '')
        else:
            self._inbox.conclude(Closed(code, ''))
            self.refuse(503)

    def _on_shutdown(self, reload: bool) -> None:
        self.shutdown(RESTART if reload else GOING_AWAY)
        if self._codec is not None and self._codec.state is State.CLOSING and not self._released:
            self._restart_timer(min(_STOPPING, self._settings.close_timeout), self._abort)

    async def finish(self, code: int = 1000) -> None:
        """End for an application that has returned: close with `code` if it did not (1011 after an
        exception), refuse with 403 (500 for 1011) if it never answered, and wait for the peer's close frame,
        close_timeout seconds at most. Then the stream is ended and the handler may return."""
        if not self._answered:
            self.refuse(500 if code == INTERNAL_ERROR else 403)
        if self._codec is None:
            return
        self.start_close(code, '')
        if not self._released and not self._stream.disconnected:
            self._over = self._loop.create_future()
            await self._over

    def start_close(self, code: int, reason: str = '') -> None:
        """Start the close handshake without waiting; do nothing where there is no open WebSocket."""
        codec = self._codec
        if codec is None:
            return
        frame = codec.close(code, reason)
        if not frame:
            return
        self._stream.send_data(frame)
        self._inbox.clear()
        self._inbox.conclude(Closed(code, reason))
        if codec.state is State.CLOSED:
            self._end_stream()
            return
        self._restart_timer(self._settings.close_timeout, self._abort)
        self._read_soon()  # the peer's close frame may be behind what was not read

    def _answer_close(self) -> None:
        """Send the close frame we owe, if we do."""
        codec = self._codec
        if codec is not None and codec.state is _CLOSE_DUE:
            self._stream.send_data(codec.answer_close())
            if self._flooded:
                # To close with input unread would reset the connection, and lose the close frame
                # (RFC 9112 9.6 says it of HTTP): let the client come to its end first.
                self._restart_timer(_LINGER, self._end_stream)
            else:
                self._end_stream()

    def _end_stream(self) -> None:
        """End the stream after both close frames, or after the peer's end.

        RFC 6455 7.1.1 lets the server close the connection first.
        """
        self._stream.send_end()
        self._release()

    def _abort(self) -> None:
        self._stream.abort()
        if self._codec is not None:
            self._codec.receive_eof()
        self._inbox.conclude(Closed(ABNORMAL, ''))
        self._release()

    def _release(self) -> None:
        """Stop timers and tasks, and let finish() return."""
        self._released = True
        if self._timer is not None:
            self._timer.cancel()
        if self._keep_alive is not None:
            self._keep_alive.cancel()
        self._timer = self._keep_alive = None
        if self._unfinished:
            self._note(0)
        self._let_go()
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _let_go(self) -> None:
        """Stop waiting, and undo the cycles: they would keep OpenSSL's buffers until a garbage collection."""
        self._stall.cancel()
        self._inbox.let_go()
        self._stream.on_shutdown = self._stream.on_disconnect = None

    def _restart_timer(self, seconds: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, action)

    # input

    def _on_data(self, data: bytes) -> None:
        """Take bytes that the core has read; b'' when the client's side has ended."""
        codec = self._codec
        assert codec is not None
        if not data:
            self._on_eof(codec)
            return
        self._inbox.heard = True
        codec.receive_data(data)
        if not self._pull(codec):
            self._inbox.reading = False
            self._stream.pause_reading()
            self._read_soon()

    def _on_eof(self, codec: WebSocket) -> None:
        if codec.state is _CLOSE_DUE and not self._stream.disconnected:
            self._flooded = False  # no input is left that could reset the connection
            return  # it has half-closed after its close frame, and may still read: see `_on_close`
        codec.receive_eof()
        self._inbox.conclude(Closed(ABNORMAL, ''))
        if not self._released:
            self._end_stream()

    def _pull(self, codec: WebSocket) -> bool:
        """Handle the received frames. Return False when some are left for a later turn of the loop."""
        inbox, whole = self._inbox, True
        while whole and (event := codec.next_event()) is not None:
            if isinstance(event, (str, bytes)):
                waiter = inbox.waiter
                if waiter is not None and not waiter.done():
                    waiter.set_result(event)
                else:
                    whole = inbox.put(event)
            else:
                whole = self._on_control(codec, event)
        unfinished = codec.unfinished
        if unfinished or self._unfinished:
            self._note(unfinished)
        return whole

    def _note(self, unfinished: int) -> None:
        account = unfinished_of(self._loop)
        self._unfinished = account.note(self, unfinished, self._settings.max_message_size)

    def _on_control(self, codec: WebSocket, event: Event) -> bool:
        """Handle an event that is no message. Return False when the frames after it have to wait."""
        if isinstance(event, Pings) and event.answers:
            self._stream.send_data(event.answers)
            if self._stream.congested and not self._stall.active:
                self._stall.begin(self._stream, self._read_soon)
                return False
        elif isinstance(event, Close):
            self._on_close(codec, event)
        return not isinstance(event, More)

    def _read_soon(self) -> None:
        """Read on in the loop's next turn if reading is paused, and there is room for messages and pongs.

        Not at once: the frames of one read can keep the loop from the other connections for seconds.
        """
        inbox = self._inbox
        if inbox.reading or self._scheduled or self._stall.active or not inbox.has_room:
            return
        self._scheduled = True
        if self._codec is not None and self._codec.inflating:
            line_of(self._loop).join(self._read_on)
        else:
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        """Handle the frames left over, then read from the client again. Do nothing if it has gone."""
        self._scheduled = False
        if self._released:
            return
        codec = self._codec
        assert codec is not None
        if self._pull(codec):
            self._inbox.reading = True
            self._stream.resume_reading()
        else:
            self._read_soon()

    def _on_close(self, codec: WebSocket, event: Close) -> None:
        """Handle the client's close frame: the answer to ours, or the first of the two."""
        if codec.state is State.CLOSED:  # it answers ours, or was sent at the same time
            self._end_stream()
            return
        self._flooded = event.violation and event.code in (POLICY, TOO_BIG, TRY_LATER)
        self._inbox.conclude(Closed(event.code, event.reason))
        if codec.state is _CLOSE_DUE:
            # The application has not received the close yet. Its answers to earlier messages may be sent
            # before ours (RFC 6455 5.5.1), for _LAST_WORD seconds.
            self._restart_timer(_LAST_WORD, self._answer_close)

    def give_up_message(self) -> None:
        """Close with 1013: messages that have begun, of all WebSockets, hold too much (see `unfinished`)."""
        codec = self._codec
        if codec is not None and (event := codec.give_up()) is not None:
            self._on_close(codec, event)

    def _on_disconnect(self) -> None:
        """Note that the client has gone. _on_data() handles one that has only ended its side."""
        codec = self._codec
        if codec is None:
            self._inbox.conclude(Closed(ABNORMAL, ''))
        elif self._stream.disconnected and not self._released:
            self._on_eof(codec)
