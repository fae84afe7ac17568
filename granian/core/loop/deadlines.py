"""The deadlines of a connection, and its graceful end when the worker stops."""

from __future__ import annotations

import math
import select
from typing import TYPE_CHECKING

from ...clocks import monotonic
from ...protocol.error_pages import BODY_TIMEOUT, HEAD_TIMEOUT, error_response
from ...protocol.limits import GRACE, LINGER, RECENT
from ..progress import Lag, unacknowledged, unread
from ..spare import answered, spare_from

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from ...protocol.http2.timers import Timed, Timers
    from ..contract import CoreSettings
    from .connection import LoopConnection
    from .stream import LoopStream

SWEPT = 0.002
"""Seconds of one turn in which deadlines are looked at."""
_LEFT = getattr(select, 'POLLRDHUP', 0)
_GONE = getattr(select, 'POLLHUP', 0) | getattr(select, 'POLLERR', 0)


class Sweeps:
    """Look at the deadlines of all connections, a part in each turn of the loop: each takes 30 µs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left: list[LoopConnection] = []
        self._now = 0.0

    def begin(self, connections: Iterable[LoopConnection], now: float) -> None:
        """Begin with all of them, or go on where the last sweep has not ended."""
        self._left = self._left or list(connections)
        self._now = now
        self._go_on()

    def _go_on(self) -> None:
        until = monotonic() + SWEPT
        while self._left:
            sweep(self._left.pop(), self._now)
            if monotonic() >= until:
                self._loop.call_soon(self._go_on)
                break


def sweep(connection: LoopConnection, now: float) -> None:
    """Act on the deadlines of `connection` that have passed. The core calls it about once a second."""
    if connection.lost:
        return
    unsent = connection.transport.get_write_buffer_size()
    put_off = _is_put_off(connection)
    if connection.reading_paused and not (put_off or connection.behind or connection.closing):
        _look_for_end(connection)
    if unsent or _is_taking_rest(connection):
        connection.closing_since = now
        _watch_writing(connection, unsent, now)
        return
    connection.lag = None
    if connection.closing:
        if now - connection.closing_since >= LINGER:
            connection.abort()
        return
    if connection.timers is not None:
        _sweep_windows(connection, connection.timers.http, now)
    if not put_off:
        _sweep_input(connection, now)


def _sweep_input(connection: LoopConnection, now: float) -> None:
    """Act on what the client owes us. Not while input of it waits for its turn: that may be all of it."""
    if connection.timers is not None:
        _sweep_bodies(connection, now)
        _sweep_timers(connection, connection.timers, now)
    elif connection.streams:
        _sweep_bodies(connection, now)
    elif connection.head_since:
        if now - connection.head_since >= connection.settings.head_timeout:
            _refuse_head(connection)
    else:
        _end_if_idle(connection, now)


def _end_if_idle(connection: LoopConnection, now: float) -> None:
    settings = connection.settings
    limit = settings.keep_alive_timeout if connection.negotiated else settings.head_timeout
    if now - connection.since >= limit:
        connection.end()


def connection_spare_from(connection: LoopConnection) -> float:
    """Return the time from which it may be closed to free its descriptor; math.inf while it is used."""
    if connection.outbox or connection.transport.get_write_buffer_size():
        return math.inf
    if connection.behind or _is_put_off(connection):
        return math.inf
    if connection.streams:
        return max(each.spare_from for each in connection.streams.values())
    if connection.closing:
        return spare_from(connection.closing_since, connection.socket)  # what we have sent last is on its way
    now = connection.loop.time()
    if not connection.head_since and unread(connection.socket.fileno()):
        return spare_from(now)  # its request has arrived, and this turn was long
    if connection.since == connection.opened:  # its first request
        return spare_from(connection.opened, connection.handshaken)
    return spare_from(connection.head_since or answered(connection.since, now, connection.socket))


def _is_put_off(connection: LoopConnection) -> bool:
    """Return whether input has arrived that waits for its turn."""
    return bool(connection.allowance.waiting(connection))


def _refuse_head(connection: LoopConnection) -> None:
    if not connection.multiplexed:
        connection.transport.write(error_response(408, HEAD_TIMEOUT, connection.core.clock))
    connection.core.refused(connection.client, 408, HEAD_TIMEOUT)
    connection.end()


def _watch_writing(connection: LoopConnection, unsent: int, now: float) -> None:
    """Give up on a client that is the write timeout behind with its response, ours and the kernel's part.

    While the worker stops and only the kernel has a part, a second.
    """
    settings = connection.settings
    timeout = settings.write_timeout if unsent or not connection.core.stopping else LINGER
    taken = -unsent - unacknowledged(connection.socket.fileno())
    if connection.lag is None:
        connection.lag = Lag(now, taken)
    elif connection.lag.behind(now, taken, settings.response_min_rate) >= timeout:
        connection.give_up()


def _is_taking_rest(connection: LoopConnection) -> bool:
    """Return whether we linger and the kernel holds a part of the response: a reset would destroy it.

    While the worker stops, only on HTTP/2, whose client sends WINDOW_UPDATE: to others the kernel sends it.
    """
    lingers = connection.closing and (connection.multiplexed or not connection.core.stopping)
    return lingers and unacknowledged(connection.socket.fileno()) > 0


def _look_for_end(connection: LoopConnection) -> None:
    """Notify the handlers if the client has left: while reading is paused, the loop does not notice."""
    if not _LEFT:
        return
    poll = select.poll()
    poll.register(connection.socket.fileno(), _LEFT)
    for _, happened in poll.poll(0):
        if happened & _GONE:
            connection.abort()
        else:
            connection.client_left()


def _sweep_bodies(connection: LoopConnection, now: float) -> None:
    """Refuse requests whose body arrives too slowly. The streams of one client share the minimum rate."""
    settings = connection.settings
    streams = list(connection.streams.values())
    waiting = sum(1 for stream in streams if stream.waiting_since and not stream.status)
    rate = settings.request_min_rate // max(1, waiting)
    for stream in streams:
        if _sends_too_slowly(stream, settings, rate, now):
            connection.refuse_stream(stream, 408, BODY_TIMEOUT)


def _takes_too_slowly(stream: LoopStream, settings: CoreSettings, http2: Timed, now: float) -> bool:
    """Return whether the client is the write timeout behind with the stream's window.

    A stream that waits for the connection's window waits for its turn: the client's progress with all its
    streams counts.
    """
    if not stream.stalled_since:
        stream.taking = stream.sharing = None
        return False
    rate, timeout = settings.response_min_rate, settings.write_timeout
    taken = stream.bytes_sent - stream.protocol.unsent(stream.stream_id)
    own = stream.taking = stream.taking or Lag(stream.stalled_since, taken)
    shared = stream.sharing = stream.sharing or Lag(stream.stalled_since, http2.data_sent)
    behind = own.behind(now, taken, rate)
    if http2.is_starved(stream.stream_id) and shared.behind(now, http2.data_sent, rate) < timeout:
        stream.taking = Lag(now, taken)
        return False
    return behind >= timeout


def _sends_too_slowly(stream: LoopStream, settings: CoreSettings, rate: int, now: float) -> bool:
    """Return whether the client has sent nothing of its body for the timeout, or is that far behind.

    The rate holds until the response begins: a conversation in both directions may pause.
    """
    if not stream.waiting_since:
        stream.sending = None
        return False
    if now - stream.waiting_since >= settings.body_timeout:
        return True
    if stream.status or not rate:
        return False
    if stream.sending is None:
        stream.sending = Lag(stream.waiting_since, stream.received)
    return stream.sending.behind(now, stream.received, rate) >= settings.body_timeout


def _sweep_windows(connection: LoopConnection, http2: Timed, now: float) -> None:
    """Break off the streams whose client takes too little of their output (HTTP/2)."""
    for stream in list(connection.streams.values()):
        if _takes_too_slowly(stream, connection.settings, http2, now):
            stream.write_timed_out = True
            connection.abort_stream(stream)


def _sweep_timers(connection: LoopConnection, timers: Timers, now: float) -> None:
    if timers.overdue(now):
        connection.abort()
    else:
        _act(connection, timers, now)


def _act(connection: LoopConnection, timers: Timers, now: float) -> None:
    """Send the PING or GOAWAY that is due, and end a connection that is over."""
    out = timers.act(now, bool(connection.streams))
    if out:
        connection.write(out)
    if connection.protocol.must_close and not connection.streams:
        connection.end()


# -- the worker stops


def shut_down(connection: LoopConnection) -> None:
    """Take no new request here; close an idle connection at once."""
    if connection.closing:
        return
    core = connection.core
    busy = bool(connection.streams or connection.head_since)
    fresh = core.reloading and not connection.negotiated
    recent = fresh or busy or connection.loop.time() - connection.since < RECENT
    # An HTTP/1 connection between two requests says goodbye when the next begins (`LoopCore.start`): if it
    # did so now, it would not read that request.
    if connection.negotiated and (connection.multiplexed or busy or not recent):
        connection.say_goodbye()
    for stream in list(connection.streams.values()):
        notify_stop(stream, core.reloading)
    if connection.timers is not None:
        _end_when_quiet(connection, connection.timers)
    elif recent and not busy:
        # To close now would lose the client's next request. Its answer says `Connection: close`.
        grace = core.grace if connection.negotiated else core.first_grace
        connection.loop.call_later(grace, _close_if_idle, connection)
    else:
        _close_if_idle(connection)


def notify_stop(stream: LoopStream, reload: bool) -> None:
    """Tell the stream's WebSocket, if it is one, that the worker stops."""
    if stream.on_shutdown is not None:
        stream.on_shutdown(reload)


def _close_if_idle(connection: LoopConnection) -> None:
    if not (connection.closing or connection.streams or connection.head_since):
        connection.close()


def _end_when_quiet(connection: LoopConnection, timers: Timers) -> None:
    """Look every GRACE seconds whether the last requests that the client sent have been answered."""
    if not connection.closing:
        _act(connection, timers, connection.loop.time())
        connection.loop.call_later(GRACE, _end_when_quiet, connection, timers)
