"""The page, and the exporter that serves it inside of the main loop."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections import Counter
from enum import Enum
from math import inf
from multiprocessing.connection import wait
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from granian.net import ListenError
from granian.observe.counters import BUCKETS, CLASSES, Counters
from granian.server import metrics
from granian.server.metrics import GAUGES, SERVER_FAMILIES, WORKER_FAMILIES, Exporter, Store, page
from granian.server.records import Counts, Slot, WorkerRecord
from granian.worker.ipc import Reason


def record(number=1, slot=None):
    return WorkerRecord(slot or Slot(number), SimpleNamespace(pid=1), 0, served_since=time.monotonic() - 5)


def parse(text):
    """Return {(name, labels): value} of every sample, with the families' names and kinds."""
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    samples = {}
    for family in families:
        assert family.name.startswith('granian_')
        assert family.documentation
        for sample in family.samples:
            # The parser gives counters the suffix that OpenMetrics wants, and the page's format does not.
            name = sample.name.removeprefix('granian_').removesuffix('_total')
            key = (name, *sorted(sample.labels.values()))
            assert key not in samples
            samples[key] = sample.value
    return {family.name.removeprefix('granian_'): family.type for family in families}, samples


DOCUMENTED = {
    'workers_spawns': 'counter', 'workers_respawns_for_err': 'counter',
    'workers_respawns_for_lifetime': 'counter', 'workers_respawns_for_rss': 'counter',
    'worker_lifetime': 'counter', 'connections_active': 'gauge', 'connections_handled': 'counter',
    'connections_err': 'counter', 'requests_handled': 'counter', 'static_requests_handled': 'counter',
    'static_requests_err': 'counter', 'blocking_threads': 'gauge', 'blocking_queue': 'gauge',
    'blocking_idle_cumulative': 'counter', 'blocking_busy_cumulative': 'counter',
    'py_wait_cumulative': 'counter',
}  # fmt: skip
"""Those of the compiled server, as its page has them."""


def test_every_name():
    kinds, _ = parse(page(Counts(), [(1, Counters().snapshot())]))
    assert DOCUMENTED.items() <= kinds.items()
    ours = set(kinds) - set(DOCUMENTED)
    assert ours == {
        'workers_respawns_for_requests', 'workers_respawns_for_reload', 'workers_respawns_for_asked',
            'workers_respawns_for_terminated', 'workers_respawns_for_hangs', 'request_body_bytes',
        'response_body_bytes', 'websockets_active', 'websockets_handled', 'websocket_messages_received',
        'websocket_messages_sent', 'responses', 'request_duration_seconds',
    }  # fmt: skip
    text = (Path(__file__).parents[2] / 'docs' / 'metrics.md').read_text()
    assert [name for name in kinds if f'`{name}`' not in text] == []


def test_the_page():
    counters = Counters()
    head = SimpleNamespace(path='/', upgrade=None, version='1.1')
    for status, took in [(200, 0.0001), (200, 0.02), (404, 3), (500, 99), (0, 0.0001)]:
        counters(
            SimpleNamespace(
                status=status, head=head, bytes_received=1, bytes_sent=2, started=time.monotonic() - took
            )
        )
    reasons = {Reason.LIFETIME: 2, Reason.RSS: 4, Reason.REQUESTS: 5}
    counts = Counts(spawns=3, failures=1, reloads=6, replaced=Counter(reasons))
    kinds, samples = parse(page(counts, [(1, counters.snapshot()), (2, {})]))
    assert kinds['request_duration_seconds'] == 'histogram'
    assert samples['workers_spawns',] == 3
    respawns = ('err', 'lifetime', 'rss', 'requests', 'reload')
    assert [samples[f'workers_respawns_for_{why}',] for why in respawns] == [1, 2, 4, 5, 6]
    assert samples['requests_handled', '1'] == 5
    assert samples['requests_handled', '2'] == 0
    assert [samples['responses', '1', label] for label in CLASSES] == [1, 0, 2, 0, 1, 1]
    name = 'request_duration_seconds'
    buckets = [samples[(f'{name}_bucket', *sorted(('1', str(bound))))] for bound in BUCKETS]
    assert buckets == sorted(buckets)
    assert buckets[0] == 2
    assert buckets[-1] == 4
    assert samples[f'{name}_bucket', '+Inf', '1'] == samples[f'{name}_count', '1'] == 5
    assert 102 < samples[f'{name}_sum', '1'] < 103


def test_families_are_declared_once():
    names = [row[0] for row in (*SERVER_FAMILIES, *WORKER_FAMILIES)]
    assert len(set(names)) == len(names)
    assert {'connections_active', 'blocking_threads', 'blocking_queue', 'websockets_active'} == GAUGES


# What becomes of the figures when workers are replaced


def test_counters_go_on_when_a_worker_is_replaced():
    store, slot = Store(), Slot(1)
    old, new = record(slot=slot), record(slot=slot)
    store.record(old, {'requests_handled': 10, 'connections_active': 4, 'durations': [1, 2]})
    store.record(new, {'requests_handled': 1, 'connections_active': 1, 'durations': [0, 1]})
    both = store.of(slot)
    assert (both['requests_handled'], both['connections_active'], both['durations']) == (11, 5, [1, 3])
    store.record(old, {'requests_handled': 12, 'connections_active': 0, 'durations': [1, 4]})
    store.retire([new])
    after = store.of(slot)
    assert (after['requests_handled'], after['connections_active'], after['durations']) == (13, 1, [1, 5])
    store.retire([])
    assert store.of(slot)['requests_handled'] == 13
    assert store.of(slot).get('connections_active', 0) == 0
    assert store.of(Slot(2)) == {}


def test_a_counter_does_not_go_back():
    store, one = Store(), record()
    store.record(one, {'blocking_idle_cumulative': 100, 'connections_active': 4, 'durations': [5, 5]})
    store.record(one, {'blocking_idle_cumulative': 99, 'connections_active': 2, 'durations': [4, 6]})
    figures = store.of(one.slot)
    assert figures['blocking_idle_cumulative'] == 100
    assert figures['connections_active'] == 2
    assert figures['durations'] == [5, 6]


# The exporter


class Looping:
    """An exporter in a loop like the main process's."""

    def __init__(self, workers=2):
        self.now = 0.0
        slots = [Slot(number) for number in range(1, workers + 1)]
        for slot in slots:
            slot.worker = record(slot=slot)
        self.supervisor = SimpleNamespace(
            slots=slots, workers=[slot.worker for slot in slots], counts=Counts(spawns=workers)
        )
        self.exporter = Exporter('127.0.0.1', 0, self.supervisor)
        self.address = self.exporter._endpoint.sockets[0].getsockname()
        self._wake, self._waker = socket.socketpair()
        self._over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._over:
            due = self.exporter.due - time.monotonic() - self.now
            ready = wait([self._wake, *self.exporter.sources], max(0, min(due, 10)))
            if self._wake in ready:
                self._wake.recv(100)
            self.exporter.look(set(ready), time.monotonic() + self.now)

    def wake(self):
        self._waker.send(b'x')

    def later(self, seconds):
        self.now += seconds
        self.wake()

    def connect(self):
        return socket.create_connection(self.address, timeout=10)

    def stop(self):
        self._over = True
        self.wake()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.exporter.close()
        self._wake.close()
        self._waker.close()


@pytest.fixture
def looping():
    made = []

    def start(**options):
        made.append(Looping(**options))
        return made[-1]

    yield start
    for one in made:
        one.stop()


def test_scraped_over_one_connection(looping):
    one = looping()
    connection = http.client.HTTPConnection(*one.address, timeout=10)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request('GET', '/metrics')
        reply = connection.getresponse()
        text = reply.read().decode()
        assert (reply.status, reply.headers['content-type']) == (200, metrics.CONTENT_TYPE)
        _, samples = parse(text)
        assert samples['workers_spawns',] == 2
        assert samples['worker_lifetime', '1'] in range(5, 30)
    connection.request('HEAD', '/metrics?x=1')
    reply = connection.getresponse()
    assert (reply.status, reply.read()) == (200, b'')
    assert int(reply.headers['content-length']) > 1000
    assert connection.sock is first
    connection.close()


def ask(one, raw):
    with one.connect() as sock:
        sock.sendall(raw)
        data = b''
        while piece := sock.recv(65536):
            data += piece
    return data


@pytest.mark.parametrize(
    ('raw', 'status'),
    [
        (b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', b'404'),
        (b'GET /metrics/ HTTP/1.0\r\n\r\n', b'404'),
        (b'POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc', b'405'),
        (b'GET /metrics HTTP/1.0\r\n\r\n', b'200'),
        (b'GARBAGE\r\n\r\n', b'400'),
        (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', b'505'),
        (b'GET /metrics HTTP/1.1\r\nHost: x\r\nX: ' + b'x' * 40000 + b'\r\n\r\n', b'431'),
    ],
)
def test_answers(looping, raw, status):
    one = looping()
    assert ask(one, raw).split(b' ', 2)[1] == status
    assert ask(one, b'GET /metrics HTTP/1.0\r\n\r\n').startswith(b'HTTP/1.1 200 ')


def test_pipelined_and_in_pieces(looping):
    one = looping()
    raw = b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n' * 2 + b'GET /metrics HTTP/1.0\r\n\r\n'
    with one.connect() as sock:
        for start in range(0, len(raw), 7):
            sock.sendall(raw[start : start + 7])
        data = b''
        while piece := sock.recv(65536):
            data += piece
    assert data.count(b'HTTP/1.1 200 OK') == 3


def test_pipelining_client_that_reads_nothing_costs_one_page(looping, monkeypatch):
    one = looping()
    pages = []
    real = one.exporter._page
    monkeypatch.setattr(one.exporter, '_page', lambda: pages.append(1) or real() + b'#' * 5_000_000 + b'\n')
    with one.connect() as sock:
        sock.sendall(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n' * 2000)
        # Other clients are served meanwhile.
        assert ask(one, b'GET / HTTP/1.0\r\n\r\n').startswith(b'HTTP/1.1 404')
        assert ask(one, b'GET / HTTP/1.0\r\n\r\n').startswith(b'HTTP/1.1 404')
        assert len(pages) == 1


def test_one_request_is_answered_in_a_turn():
    turns = []
    client = SimpleNamespace(recv=lambda size: b'GET / HTTP/1.1\r\nHost: x\r\n\r\n' * 50, send=len)
    made = metrics._Client(client, 0.0)
    made.turn(True, 0.0, bytes)
    while not made.reading:
        assert made.due == 0.0
        made.turn(False, 0.0, bytes)
        turns.append(1)
    assert len(turns) == 50


def test_a_client_that_takes_its_page_slowly(looping):
    """Give it the whole page, and serve other clients in between."""
    one = looping(workers=2000)
    with one.connect() as slow:
        slow.settimeout(metrics.PATIENCE / 2)
        slow.sendall(b'GET /metrics HTTP/1.0\r\n\r\n')
        head = slow.recv(1000)
        assert ask(one, b'GET / HTTP/1.0\r\n\r\n').startswith(b'HTTP/1.1 404')
        data = [head]
        while piece := slow.recv(1 << 16):
            data.append(piece)
    text = b''.join(data).partition(b'\r\n\r\n')[2]
    assert b'granian_request_duration_seconds_count{worker="2000"} 0\n' in text
    assert text.endswith(b'_count{worker="2000"} 0\n')


def closed(sock):
    try:
        return sock.recv(10) == b''
    except ConnectionResetError:
        return True


def test_who_says_nothing_is_closed(looping):
    one = looping()
    with one.connect() as silent, one.connect() as slow:
        slow.sendall(b'GET /metr')
        ask(one, b'GET /metrics HTTP/1.0\r\n\r\n')
        one.later(metrics.PATIENCE + 1)
        assert closed(silent)
        assert closed(slow)
    assert ask(one, b'GET /metrics HTTP/1.0\r\n\r\n').startswith(b'HTTP/1.1 200 ')


def test_too_many_clients(looping):
    one = looping()
    socks = [one.connect() for _ in range(metrics.MOST_CLIENTS + 1)]
    assert closed(socks[0])
    socks[-1].sendall(b'GET /metrics HTTP/1.0\r\n\r\n')
    assert socks[-1].recv(20).startswith(b'HTTP/1.1 200')
    for sock in socks:
        sock.close()


def test_a_client_that_resets(looping):
    one = looping()
    for _ in range(20):
        with one.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\x01\0\0\0\0\0\0\0')
            sock.sendall(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
    assert ask(one, b'GET /metrics HTTP/1.0\r\n\r\n').startswith(b'HTTP/1.1 200 ')


def test_the_port_is_taken(looping):
    one = looping()
    with pytest.raises(ListenError, match='the port is in use'):
        Exporter('127.0.0.1', one.address[1], one.supervisor)


def test_port_of_an_old_main_process_is_taken_after_its_end(caplog):
    with socket.create_server(('127.0.0.1', 0)) as old:
        port = old.getsockname()[1]
        exporter = Exporter('127.0.0.1', port, SimpleNamespace(workers=[], slots=[]), waits=True)
        assert f'the old main process has 127.0.0.1:{port}' in caplog.text
        exporter.look((), 10.0)
        assert (exporter.sources, exporter.due) == ([], 10.0 + metrics.RETRY)
    exporter.look((), 10.5)
    assert exporter.sources == []
    exporter.look((), 11.0)
    with socket.create_connection(('127.0.0.1', port)):
        assert (len(exporter.sources), exporter.due) == (1, inf)
    exporter.close()


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='there is no fork')
@pytest.mark.filterwarnings('ignore::DeprecationWarning')  # threads and fork: the child only looks and ends
def test_a_forked_worker_keeps_nothing(looping):
    """Close the copies in a worker: they would keep the port and connections open."""
    one = looping()
    with one.connect() as sock:
        sock.sendall(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
        assert sock.recv(10)
        while len(one.exporter.sources) < 2:  # it has looked for a further request
            time.sleep(0.001)
        held = [each.fileno() for each in one.exporter.sources]
        assert len(held) == 2
        pid = os.fork()
        if not pid:
            open_still = 0
            for fd in held:
                try:
                    os.fstat(fd)
                    open_still += 1
                except OSError:
                    pass
            os._exit(open_still)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_new_reason_needs_one_row(monkeypatch):
    rows = {reason.name: reason.value for reason in Reason}
    more = Enum('Reason', {**rows, 'NEW': 'it is new'})
    monkeypatch.setattr(metrics, 'Reason', more)
    counts = Counts()
    counts.replaced[more.NEW] += 1
    kinds, samples = parse(page(counts, []))
    assert kinds['workers_respawns_for_new'] == 'counter'
    assert samples['workers_respawns_for_new',] == 1
