"""The deadlines of a connection, and its graceful end when the worker stops."""

from __future__ import annotations

import select
from functools import partial
from typing import TYPE_CHECKING

from ...protocol.limits import GRACE, LINGER, RECENT
from ...protocol.response import BODY_TIMEOUT, HEAD_TIMEOUT, error_response

if TYPE_CHECKING:
    from ...protocol.http2 import Http2
    from .connection import LoopConnection
    from .stream import LoopStream

_LEFT = getattr(select, 'POLLRDHUP', 0)
_GONE = getattr(select, 'POLLHUP', 0) | getattr(select, 'POLLERR', 0)


def sweep(connection: LoopConnection, now: float) -> None:
    """Act on the deadlines of `connection` that have passed. The core calls it about once a second."""
    unsent = connection.transport.get_write_buffer_size()
    if connection.reading_paused and not connection.closing:
        _look_for_end(connection)
    if unsent:
        _watch_writing(connection, unsent, now)
        return
    connection.unsent_before = 0
    if connection.closing:
        if now - connection.closing_since >= LINGER:
            connection.transport.abort()
    elif connection.streams:
        for stream in list(connection.streams.values()):
            _sweep_stream(stream, connection, now)
        _keep_alive(connection, now)
    elif connection.head_since:
        if now - connection.head_since >= connection.settings.head_timeout:
            _refuse_head(connection)
    else:
        _sweep_idle(connection, now)


def _refuse_head(connection: LoopConnection) -> None:
    if not connection.multiplexed:
        connection.transport.write(error_response(408, HEAD_TIMEOUT, connection.core.clock))
    connection.core.refused(408, HEAD_TIMEOUT)
    connection.end()


def _sweep_idle(connection: LoopConnection, now: float) -> None:
    settings = connection.settings
    limit = settings.keep_alive_timeout if connection.negotiated else settings.head_timeout
    if now - connection.since < limit:
        _keep_alive(connection, now)
    elif not connection.multiplexed:
        connection.end()
    elif not connection.leaving:
        connection.say_goodbye()
        close_if_idle(connection, recent=True)


def _watch_writing(connection: LoopConnection, unsent: int, now: float) -> None:
    """Give up on a client that has taken no bytes for the write timeout."""
    if unsent != connection.unsent_before:
        connection.unsent_before, connection.stuck_since = unsent, now
    elif now - connection.stuck_since >= connection.settings.write_timeout:
        connection.give_up()


def _look_for_end(connection: LoopConnection) -> None:
    """Notify the handlers if the client has left: while reading is paused, the loop does not notice."""
    if not _LEFT:
        return
    poll = select.poll()
    poll.register(connection.socket.fileno(), _LEFT)
    for _, happened in poll.poll(0):
        if happened & _GONE:
            connection.transport.abort()
        else:
            connection.client_left()


def _sweep_stream(stream: LoopStream, connection: LoopConnection, now: float) -> None:
    if stream.stalled_since and now - stream.stalled_since >= connection.settings.write_timeout:
        stream.write_timed_out = True
        connection.abort_stream(stream)
    elif stream.waiting_since and now - stream.waiting_since >= connection.settings.body_timeout:
        connection.refuse_stream(stream, 408, BODY_TIMEOUT)


def _keep_alive(connection: LoopConnection, now: float) -> None:
    """Send a PING if it is due (HTTP/2); abort if the last one was not answered in time."""
    http2: Http2 | None = connection.http2
    interval = connection.settings.http2_keep_alive_interval
    if http2 is None or interval is None:
        return
    if http2.awaiting_pong:
        if now - connection.pinged >= connection.settings.http2_keep_alive_timeout:
            connection.transport.abort()
    elif now - max(connection.pinged, connection.since) >= interval:
        connection.pinged = now
        connection.write(http2.ping())


# -- the worker stops


def shut_down(connection: LoopConnection) -> None:
    """Take no new request here; close an idle connection at once."""
    if connection.closing:
        return
    busy = bool(connection.streams or connection.head_since)
    recent = connection.loop.time() - connection.since < RECENT or bool(connection.head_since)
    # HTTP/1 between two requests is told when the next one begins (`AsyncCore.start`): told now, it
    # would not read that any more.
    if connection.negotiated and (connection.multiplexed or busy or not recent):
        connection.say_goodbye()
    for stream in list(connection.streams.values()):
        if stream.on_shutdown is not None:
            stream.on_shutdown(connection.core.reloading)
    close_if_idle(connection, recent)


def close_if_idle(connection: LoopConnection, recent: bool = False) -> None:
    """Close unless a request is under way; after GRACE if one may be on its way."""
    if connection.closing or (not connection.leaving and (connection.streams or connection.head_since)):
        return
    if recent or connection.streams:
        # To close now would lose the client's next request. Its answer says `Connection: close`.
        connection.loop.call_later(GRACE, partial(close_if_idle, connection))
        return
    if connection.leaving:
        connection.say_goodbye()
    connection.close()
