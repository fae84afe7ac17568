"""--metrics: the exporter, a companion of the main loop.

Workers send their figures every --metrics-scrape-interval; this adds those of each worker's
predecessors to them, and answers Prometheus from what there is. It is part of the main process's
one thread: sockets are read and written as far as that goes at once, and HTTP is the protocol
room's.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from math import inf
from typing import Any, Final

from .. import net
from ..clocks import monotonic, time
from ..dates import http_date
from ..messages import WARNINGS
from ..observe.counters import BUCKETS, CLASSES, Figures
from ..protocol.events import Refused, Request, RequestFailed
from ..protocol.http1 import Http1
from ..protocol.limits import Clock, Limits
from ..worker.ipc import Reason
from .handles import keep_from_children
from .records import Counts, Slot, WorkerRecord
from .supervisor import Supervisor

logger = logging.getLogger('_granian')

CONTENT_TYPE: Final = 'text/plain; version=0.0.4; charset=utf-8'
LIMITS: Final = Limits(max_head_size=16384, max_buffer_size=65536)
MOST_CLIENTS: Final = 32
PATIENCE: Final = 10.0
"""Seconds for a whole request to arrive, and for a response to be taken."""
IDLE: Final = 90.0
"""Seconds between two requests: more than most scrape intervals."""
RETRY: Final = 1.0
"""Seconds between two attempts to have the port of an old main process."""
TRY_AGAIN: Final = 0.05
"""Seconds between two attempts to write to a client whose window is full."""

SERVER_FAMILIES: Final[tuple[tuple[str, str, Callable[[Counts], int]], ...]] = (
    ('workers_spawns', 'Workers started', lambda counts: counts.spawns),
    ('workers_respawns_for_err', 'Workers replaced because they had died', lambda counts: counts.failures),
    ('workers_respawns_for_reload', 'Workers replaced by a reload', lambda counts: counts.reloads),
)
WORKER_FAMILIES: Final = (
    ('worker_lifetime', 'counter', 'Seconds the worker has been serving'),
    ('connections_active', 'gauge', 'Connections open'),
    ('connections_handled', 'counter', 'Connections accepted'),
    ('connections_err', 'counter', 'Connections on which TLS failed, or what the client sent was refused'),
    ('requests_handled', 'counter', 'Requests that are over, WebSockets and static files among them'),
    ('static_requests_handled', 'counter', 'Requests answered from a static mount'),
    ('static_requests_err', 'counter', 'Requests under a static route answered with a status from 400 on'),
    ('blocking_threads', 'gauge', 'Threads (or greenlets) of the pool that runs WSGI applications'),
    ('blocking_queue', 'gauge', 'Connections and requests that are ready and wait for such a thread'),
    ('blocking_idle_cumulative', 'counter', 'Microseconds that those threads have been parked, without work'),
    ('blocking_busy_cumulative', 'counter', 'Microseconds that requests have taken in those threads'),
    ('py_wait_cumulative', 'counter', 'Microseconds that what was ready has waited for one of those threads'),
    ('request_body_bytes', 'counter', 'Bytes of request bodies, and received on WebSockets'),
    ('response_body_bytes', 'counter', 'Bytes of response bodies, and sent on WebSockets'),
    ('websockets_active', 'gauge', 'WebSockets open'),
    ('websockets_handled', 'counter', 'WebSockets accepted'),
    ('websocket_messages_received', 'counter', 'Messages received on WebSockets'),
    ('websocket_messages_sent', 'counter', 'Messages sent on WebSockets'),
)
GAUGES: Final = frozenset(name for name, kind, _ in WORKER_FAMILIES if kind == 'gauge')


class Store:
    """The figures of all workers. A slot's counters go on when its worker is replaced."""

    def __init__(self) -> None:
        self._latest: dict[WorkerRecord, Figures] = {}
        self._before: dict[int, Figures] = {}
        """By the slot's number: the sums of its workers that have ended."""

    def record(self, worker: WorkerRecord, figures: Figures) -> None:
        """Record the figures that a worker reports.

        A counter that seems to go back keeps its value: it was read while it was written, and Prometheus
        would take it for a reset.
        """
        known = self._latest.get(worker)
        self._latest[worker] = figures if known is None else _combine(known, figures, max)

    def retire(self, workers: Sequence[WorkerRecord]) -> None:
        """Keep the sums of the workers that are not among `workers` any more: they have ended."""
        for worker in [worker for worker in self._latest if worker not in workers]:
            figures = self._latest.pop(worker)
            counters = {name: value for name, value in figures.items() if name not in GAUGES}
            number = worker.slot.number
            self._before[number] = _combine(self._before.get(number, {}), counters, _plus)

    def of(self, slot: Slot) -> Figures:
        """Return the sum of a slot's workers: while one replaces another, both serve."""
        total = self._before.get(slot.number, {})
        for worker, figures in self._latest.items():
            if worker.slot is slot:
                gauges = {name: total.get(name, 0) + figures.get(name, 0) for name in GAUGES}
                total = {**_combine(total, figures, _plus), **gauges}
        return total


def _plus(a: Any, b: Any) -> Any:
    return a + b


def _combine(before: Figures, figures: Figures, how: Callable[[Any, Any], Any]) -> Figures:
    """Combine the counters, and the items of lists, by `how`. Return them with the latest gauges."""
    combined = {**before, **figures}
    for name in before.keys() & figures.keys() - GAUGES:
        a, b = before[name], figures[name]
        combined[name] = list(map(how, a, b)) if isinstance(a, list) else how(a, b)
    return combined


def page(counts: Counts, workers: Sequence[tuple[int, Figures]]) -> str:
    """Return the page in Prometheus' text format, version 0.0.4. `workers` are (number, figures)."""
    return '\n'.join([*_server_lines(counts), *_worker_lines(workers), ''])


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f'# HELP granian_{name} {text}'
    yield f'# TYPE granian_{name} {kind}'


def _server_lines(counts: Counts) -> Iterator[str]:
    for name, text, value in SERVER_FAMILIES:
        yield from _head(name, 'counter', text)
        yield f'granian_{name} {value(counts)}'
    for reason in Reason:
        name = f'workers_respawns_for_{reason.name.lower()}'
        yield from _head(name, 'counter', f'Workers replaced because {reason.value}')
        yield f'granian_{name} {counts.replaced[reason]}'


def _worker_lines(workers: Sequence[tuple[int, Figures]]) -> Iterator[str]:
    """Yield the lines of the workers' figures, a family after the other (Prometheus' text format)."""
    for name, kind, text in WORKER_FAMILIES:
        yield from _head(name, kind, text)
        for number, figures in workers:
            yield f'granian_{name}{{worker="{number}"}} {figures.get(name, 0)}'
    yield from _head('responses', 'counter', 'Requests that are over, by the class of their status')
    for number, figures in workers:
        for label, count in zip(CLASSES, figures.get('responses', [0] * len(CLASSES))):
            yield f'granian_responses{{worker="{number}",status="{label}"}} {count}'
    name = 'request_duration_seconds'
    yield from _head(name, 'histogram', 'From a request to the end of its response, without WebSockets')
    for number, figures in workers:
        so_far = 0
        durations = figures.get('durations', [0] * (len(BUCKETS) + 1))
        for bound, count in zip((*BUCKETS, '+Inf'), durations):
            so_far += count
            yield f'granian_{name}_bucket{{worker="{number}",le="{bound}"}} {so_far}'
        yield f'granian_{name}_sum{{worker="{number}"}} {figures.get("durations_sum", 0.0):.6f}'
        yield f'granian_{name}_count{{worker="{number}"}} {so_far}'


class Exporter:
    """Serves the page at /metrics. Raises ListenError when it cannot have its port."""

    def __init__(self, address: str, port: int, supervisor: Supervisor, waits: bool = False) -> None:
        """Listen for the metrics page. Raises ListenError.

        `waits`: an old main process may have the port; it is taken once that has ended.
        """
        self.store = Store()
        self._supervisor = supervisor
        self._address = address, port
        self._endpoint = net.Endpoint([])
        self._clients: list[_Client] = []
        self._retry = inf
        """When to try to listen again."""
        try:
            self._listen()
        except net.ListenError as exc:
            if not (waits and exc.in_use):  # the message must name the metrics' port, not the server's
                raise net.ListenError(exc.where, exc.reason, 'listen_metrics') from exc
            logger.warning(WARNINGS['metrics_later'], exc.where)
            self._retry = 0.0

    def _listen(self) -> None:
        self._endpoint = net.listen(*self._address, backlog=128)
        for sock in self._endpoint.sockets:
            sock.setblocking(False)
            keep_from_children(sock)
        for url in self._endpoint.urls():
            logger.info('Metrics at: %s/metrics', url)

    # As a companion

    @property
    def sources(self) -> Sequence[Any]:
        return [*self._endpoint.sockets, *(client.sock for client in self._clients if client.reading)]

    @property
    def due(self) -> float:
        return min((client.due for client in self._clients), default=self._retry)

    def look(self, ready: Collection[Any], now: float) -> None:
        self.store.retire(self._supervisor.workers)
        if now >= self._retry:
            self._retry = inf
            try:
                self._listen()
            except net.ListenError:
                self._retry = now + RETRY
        for listener in self._endpoint.sockets:
            if listener in ready:
                self._accept(listener, now)
        for client in self._clients:
            if client.sock in ready or client.due <= now:
                client.turn(client.sock in ready, now, self._page)
        self._clients = [client for client in self._clients if not client.closed]

    def close(self) -> None:
        self._endpoint.close()
        for client in self._clients:
            client.close()
        self._clients.clear()

    def _accept(self, listener: socket.socket, now: float) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:  # it has gone again, or there are no descriptors: the next turn tells
            return
        if len(self._clients) >= MOST_CLIENTS:
            self._clients.pop(0).close()
        sock.setblocking(False)
        keep_from_children(sock)
        self._clients.append(_Client(sock, now))

    def _page(self) -> bytes:
        supervisor = self._supervisor
        now = monotonic()
        workers = []
        for slot in sorted(supervisor.slots, key=lambda slot: slot.number):
            since = slot.worker.served_since if slot.worker is not None else inf
            lifetime = 0 if since == inf else int(now - since)
            workers.append((slot.number, {**self.store.of(slot), 'worker_lifetime': lifetime}))
        return page(supervisor.counts, workers).encode()


class _Client:
    """One connection to the exporter. Never waits.

    One request is answered in a turn of the main loop, and nothing is read until its response has been
    taken: a client that pipelines costs one page in memory, and other work has its turn in between.
    """

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.sock = sock
        self.closed = False
        self._clock = Clock()
        self._http = Http1(LIMITS, self._clock)
        self._unsent = memoryview(b'')
        self._buffered = False
        """The connection may hold further requests."""
        self._deadline = now + PATIENCE
        self._again = inf
        """When to try to write the rest, or to answer the next request."""

    @property
    def reading(self) -> bool:
        """True while a request may be read."""
        return not self._unsent and not self._buffered

    @property
    def due(self) -> float:
        """Time of the next turn, if no event comes before."""
        return min(self._deadline, self._again)

    def turn(self, readable: bool, now: float, page: Callable[[], bytes]) -> None:
        """Read, answer and write as far as it goes without waiting; close what is over or overdue."""
        self._again = inf
        try:
            if readable and self.reading:
                self._read(now)
            if self._buffered and not self._unsent:
                self._next(page)
            if self._unsent:
                self._send(now)
            elif self._http.must_close or now >= self._deadline:
                self.close()
        except OSError:
            self.close()
        if self._buffered and not self._unsent:
            self._again = now

    def _read(self, now: float) -> None:
        """Read once. The deadline is set by the first bytes of a request: PATIENCE seconds for all of it."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError
        if self._http.idle:
            self._deadline = now + PATIENCE
        self._http.receive_data(data)
        self._buffered = True

    def _next(self, page: Callable[[], bytes]) -> None:
        """Answer one request of those that are buffered."""
        http = self._http
        while not self._unsent:
            event = http.next_event()
            if event is None:
                self._buffered = False
                return
            if isinstance(event, Request):
                self._clock.date = http_date(time()).encode()
                self._unsent = memoryview(self._answer(event, page))
            elif isinstance(event, Refused):
                self._unsent = memoryview(event.response)
            elif isinstance(event, RequestFailed):
                self._unsent = memoryview(http.abort(1))
                if http.must_close:
                    return

    def _answer(self, request: Request, page: Callable[[], bytes]) -> bytes:
        head = request.head
        headers = [('Content-Type', 'text/plain; charset=utf-8')]
        if head.path != '/metrics':
            return self._http.respond(1, 404, headers, b'Not Found: the metrics are at /metrics\n')
        if head.method not in ('GET', 'HEAD'):
            return self._http.respond(1, 405, [*headers, ('Allow', 'GET, HEAD')], b'Method Not Allowed\n')
        body = page()
        headers = [('Content-Type', CONTENT_TYPE), ('Content-Length', str(len(body)))]
        return self._http.respond(1, 200, headers, b'' if head.method == 'HEAD' else body)

    def _send(self, now: float) -> None:
        """Write once. The deadline moves with each progress, to IDLE seconds once all is written."""
        try:
            sent = self.sock.send(self._unsent)
        except BlockingIOError:
            sent = 0
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._again = now + TRY_AGAIN
        if not self._unsent:
            self._deadline = now + IDLE
            if self._http.must_close:
                self.close()
        elif sent:
            self._deadline = now + PATIENCE
        elif now >= self._deadline:
            self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            try:
                # A worker forked meanwhile may have a copy: close() alone would end nothing then.
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.sock.close()
