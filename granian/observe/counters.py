"""What a worker counts for the metrics: of its exchanges, and of its WebSockets.

Nothing here is made, or called, where metrics are off. Where they are on, `Counters` is called
after every exchange: it writes to numbers of the calling thread's own, without a lock, and
`snapshot` adds up what all threads have.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from threading import Thread, current_thread
from typing import TYPE_CHECKING, Any, Final

from ..clocks import monotonic
from ..unpatched import original

if TYPE_CHECKING:
    from .exchange import Exchange

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the request durations' histogram, in seconds; the last bucket is without one."""
CLASSES: Final = ('none', '1xx', '2xx', '3xx', '4xx', '5xx')
"""Of statuses; `none`: the client left, or the application failed to answer, before there was one."""

# One thread's numbers, by place: responses by class, durations by bucket, and the rest.
_DURATIONS: Final = len(CLASSES)
_SECONDS: Final = _DURATIONS + len(BUCKETS) + 1
_IN: Final = _SECONDS + 1
_OUT: Final = _IN + 1
_STATIC: Final = _OUT + 1
_STATIC_FAILED: Final = _STATIC + 1
_PLACES: Final = _STATIC_FAILED + 1

Tally = list[Any]
Figures = dict[str, Any]
"""By the metric's name: numbers, or lists of them (`responses`, by CLASSES; `durations`, by bucket)."""


class WebSocketCounts:
    """`open` and `close` may be called by any thread. Messages are the event loop's thread's."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.received = 0
        """Messages, not frames."""
        self.sent = 0
        self._changing = original('_thread', 'allocate_lock')()

    def open(self) -> None:
        with self._changing:
            self.opened += 1

    def close(self) -> None:
        with self._changing:
            self.closed += 1


class Counters:
    """An `on_exchange` that counts.

    `greenlets`: gevent has patched threads. `threading` then knows greenlets only, and the threads of the
    system that end exchanges, the hub's and the event loop's, live as long as the process.
    `is_static(path)` says whether an exchange was the static files'.
    """

    def __init__(self, greenlets: bool = False) -> None:
        self.is_static: Callable[[str], bool] | None = None
        self.websockets = WebSocketCounts()
        self._tallies: list[tuple[Thread | None, Tally]] = []
        self._ended: Tally = [0] * _PLACES
        """Of threads that have ended: they come and go."""
        self._greenlets = greenlets
        # The system's, not gevent's: the reader of a snapshot is a real thread, and so is the event loop's.
        self._own = original('_thread', '_local')()
        self._changing = original('_thread', 'allocate_lock')()

    def __call__(self, exchange: Exchange) -> None:
        """Count an exchange. Called by the thread that has run it, the only one that changes its list."""
        try:
            tally: Tally = self._own.tally
        except AttributeError:
            tally = self._begin()
        status = exchange.status
        head = exchange.head
        tally[_IN] += exchange.bytes_received
        tally[_OUT] += exchange.bytes_sent
        if head.upgrade is not None and (status == 101 or (status == 200 and head.version == '2')):
            # A WebSocket: how long it was open is not how long a request took.
            tally[1] += 1
            self.websockets.close()
            return
        tally[min(status // 100, 5)] += 1  # above 599 as a fault of the server
        seconds = monotonic() - exchange.started
        tally[_DURATIONS + bisect_left(BUCKETS, seconds)] += 1
        tally[_SECONDS] += seconds
        is_static = self.is_static
        if is_static is not None and is_static(head.path):
            tally[_STATIC if status < 400 else _STATIC_FAILED] += 1

    def _begin(self) -> Tally:
        tally: Tally = [0] * _PLACES
        self._own.tally = tally
        thread = None if self._greenlets else current_thread()
        with self._changing:
            self._tallies.append((thread, tally))
        return tally

    def snapshot(self) -> Figures:
        """Return the sums, none of them less than before. Called by any thread."""
        with self._changing:
            living = []
            for thread, tally in self._tallies:
                if thread is None or thread.is_alive():
                    living.append((thread, tally))
                else:
                    self._ended = [a + b for a, b in zip(self._ended, tally)]
            self._tallies = living
            sums = [sum(column) for column in zip(self._ended, *(tally for _, tally in living))]
        websockets = self.websockets
        return {
            'requests_handled': sum(sums[:_DURATIONS]),
            'responses': sums[:_DURATIONS],
            'durations': sums[_DURATIONS:_SECONDS],
            'durations_sum': sums[_SECONDS],
            'request_body_bytes': sums[_IN],
            'response_body_bytes': sums[_OUT],
            'static_requests_handled': sums[_STATIC],
            'static_requests_err': sums[_STATIC_FAILED],
            'websockets_active': websockets.opened - websockets.closed,
            'websockets_handled': websockets.opened,
            'websocket_messages_received': websockets.received,
            'websocket_messages_sent': websockets.sent,
            'blocking_busy_cumulative': int(sums[_SECONDS] * 1e6),
        }
