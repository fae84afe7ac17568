"""Pings, and the end of a client that does not answer them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocol.websocket.codec import WebSocket
from ..protocol.websocket.events import INTERNAL_ERROR, State

if TYPE_CHECKING:
    from ..stream import AsyncStream
    from .inbox import Inbox


class KeepAlive:
    """Sends a ping every `interval` seconds. `abort` is called where no byte arrives within `timeout`."""

    __slots__ = (
        '_abort', '_codec', '_inbox', '_interval', '_loop', '_ping_timer', '_pong_timer', '_stream',
        '_timeout',
    )  # fmt: skip

    def __init__(
        self,
        stream: AsyncStream,
        codec: WebSocket,
        inbox: Inbox,
        interval: float,
        timeout: float | None,
        abort: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._codec = codec
        self._inbox = inbox
        self._interval = interval
        self._timeout = timeout
        self._abort = abort
        self._loop = asyncio.get_running_loop()
        self._ping_timer = self._loop.call_later(interval, self._ping)
        self._pong_timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        self._ping_timer.cancel()
        if self._pong_timer is not None:
            self._pong_timer.cancel()

    def _ping(self) -> None:
        self._ping_timer = self._loop.call_later(self._interval, self._ping)
        if self._codec.state is not State.OPEN or not self._inbox.reading or self._stream.congested:
            return  # an answer could not be seen, or the ping not leave
        if self._pong_timer is not None:
            if not self._inbox.heard:
                return  # an earlier one has not been answered
            self._pong_timer.cancel()
            self._pong_timer = None
        self._stream.send_data(self._codec.ping())
        self._inbox.heard = False
        if self._timeout is not None:
            self._pong_timer = self._loop.call_later(self._timeout, self._pong_missing)

    def _pong_missing(self) -> None:
        """Close, unless bytes have arrived since the ping: a pong may wait behind a long message."""
        self._pong_timer = None
        if self._inbox.heard or not self._inbox.reading or self._codec.state is not State.OPEN:
            return
        self._stream.send_data(self._codec.close(INTERNAL_ERROR, 'keep-alive ping timeout'))
        self._abort()
