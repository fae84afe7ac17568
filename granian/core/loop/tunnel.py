"""The raw bytes of an HTTP/1 connection after its 101: from the transport straight to the WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...protocol.events import Data

if TYPE_CHECKING:
    from .input import LoopInput
    from .stream import LoopStream


class Tunnel(asyncio.Protocol):
    """Takes the connection's place as the transport's protocol; all but input goes on to the connection."""

    __slots__ = ('_connection', '_receive', '_stream', 'eof_received', 'pause_writing', 'resume_writing')

    def __init__(self, connection: LoopInput, stream: LoopStream, receive: Callable[[bytes], None]) -> None:
        self._connection = connection
        self._stream = stream
        self._receive = receive
        self.eof_received = connection.eof_received  # type: ignore[method-assign]
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        stream = self._stream
        connection = self._connection
        if connection.closing:
            return
        allowance = connection.allowance
        if allowance.left:
            allowance.left -= 1
        elif not allowance.admits(connection, self.data_received, data):
            connection.bound_held(len(data))
            return
        allowance.resumed += 1
        if stream.flowing:
            stream.received += len(data)
            self._receive(data)
        else:  # some transports deliver more after pause_reading()
            stream.feed(Data(1, data, len(data)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)
