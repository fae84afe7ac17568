"""Frames about the connection itself: SETTINGS, PING, GOAWAY (RFC 9113 6.5, 6.7, 6.8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..limits import Limits
from . import frames
from .frames import BrokenConnection
from .output import WINDOW_SMALL_PING
from .session import Session
from .windows import WINDOW_PING

KEEP_ALIVE_PING, SHUTDOWN_PING = b'granian0', b'granian2'


class ControlFrames:
    """Writes the server's preface, and takes the client's frames that concern all streams."""

    __slots__ = ('_acknowledged', '_guard', '_limits', '_output', '_session', '_table', '_windows', 'settled')

    def __init__(self, session: Session, limits: Limits) -> None:
        self._session = session
        self._limits = limits
        self._table = session.table
        self._output = session.output
        self._windows = session.windows
        self._guard = session.guard
        self.settled = False
        """The client's first SETTINGS has been received (RFC 9113 3.4)."""
        self._acknowledged = False

    def greet(self) -> None:
        """Write the server's preface (RFC 9113 3.4): SETTINGS, and the connection's window."""
        settings = {
            frames.MAX_CONCURRENT_STREAMS: self._limits.max_concurrent_streams,
            frames.INITIAL_WINDOW_SIZE: self._windows.stream,
            frames.MAX_FRAME_SIZE: frames.max_frame_size(self._limits),
            frames.MAX_HEADER_LIST_SIZE: self._limits.max_headers_size,
        }
        if self._limits.websockets:
            settings[frames.ENABLE_CONNECT_PROTOCOL] = 1
        self._output.write(frames.settings_frame(settings))
        self._output.write(self._windows.first_update())

    def on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'SETTINGS on a stream')
        if flags & frames.ACK:
            if payload:
                raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'SETTINGS acknowledgement with a payload')
            self._on_settings_ack()
            return
        if len(payload) % 6:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'SETTINGS of a wrong length')
        self._guard.frame(10 if self.settled else 0)
        self.settled = True
        values: dict[int, int] = {}
        for key, value in frames.iter_settings(payload):
            frames.check_setting(key, value)
            values[key] = value
        # The last value of a setting counts; applied once, however often it was repeated.
        output = self._output
        if frames.HEADER_TABLE_SIZE in values:
            output.encoder.set_table_size(values[frames.HEADER_TABLE_SIZE])
        output.max_frame = min(values.get(frames.MAX_FRAME_SIZE, output.max_frame), frames.LARGEST_SENT)
        # Before any DATA that only the new window allows: the peer counts by it once it has this.
        output.write(frames.SETTINGS_ACK)
        window = values.get(frames.INITIAL_WINDOW_SIZE)
        if window is not None:
            self._session.writable(output.resize(self._table.with_windows(), window))

    def _on_settings_ack(self) -> None:
        if self._acknowledged:
            self._guard.frame()
            return
        self._acknowledged = True
        self._windows.acknowledged(self._table.with_windows())

    def on_push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise BrokenConnection(frames.PROTOCOL_ERROR, 'PUSH_PROMISE from a client')

    def on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'PING on a stream')
        if len(payload) != 8:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'PING of a wrong length')
        if flags & frames.ACK:
            self.on_pong(payload)
            return
        self._guard.frame()
        self._output.write(frames.ping_frame(payload, frames.ACK))

    def on_pong(self, payload: bytes) -> None:
        session = self._session
        if payload == KEEP_ALIVE_PING and session.awaiting_pong:
            session.awaiting_pong = False
        elif payload == WINDOW_SMALL_PING and self._output.probing:
            session.writable(self._output.on_pong())
        else:
            self._guard.frame()
        if payload == SHUTDOWN_PING and session.going_away:
            session.finish_going_away()
        elif payload == WINDOW_PING:
            self._output.write(self._windows.on_pong(self._table.with_windows()))

    def on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'GOAWAY on a stream')
        if len(payload) < 8:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'GOAWAY of a wrong length')
        self._guard.frame()
        self._session.peer_going_away = True


CONTROL: dict[int, Callable[[Any, int, int, bytes], None]] = {
    frames.SETTINGS: ControlFrames.on_settings,
    frames.PUSH_PROMISE: ControlFrames.on_push_promise,
    frames.PING: ControlFrames.on_ping,
    frames.GOAWAY: ControlFrames.on_goaway,
}
