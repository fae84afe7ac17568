"""What is counted of an exchange, by whom, and what the pool knows of its threads."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from granian.core.blocking.work import MeasuredQueue
from granian.core.threads.pool import Pool
from granian.core.threads.watchdog import Watchdog
from granian.observe.counters import BUCKETS, CLASSES, Counters

ROOT = Path(__file__).parents[2]


def exchange(status=200, took=0.0, path='/', upgrade=None, version='1.1', received=0, sent=0):
    head = SimpleNamespace(path=path, upgrade=upgrade, version=version)
    return SimpleNamespace(
        status=status, head=head, bytes_received=received, bytes_sent=sent, started=time.monotonic() - took
    )


def test_nothing_yet():
    figures = Counters().snapshot()
    assert figures['requests_handled'] == 0
    assert figures['responses'] == [0] * len(CLASSES)
    assert figures['durations'] == [0] * (len(BUCKETS) + 1)
    assert set(map(type, figures.values())) == {int, list}


@pytest.mark.parametrize('greenlets', [True, False])
def test_an_exchange(greenlets):
    counters = Counters(greenlets)
    for status in (200, 204, 304, 404, 500, 599, 600, 999, 0):
        counters(exchange(status, received=10, sent=100))
    figures = counters.snapshot()
    assert figures['requests_handled'] == 9
    assert dict(zip(CLASSES, figures['responses'])) == {
        'none': 1, '1xx': 0, '2xx': 2, '3xx': 1, '4xx': 1, '5xx': 4,
    }  # fmt: skip
    assert (figures['request_body_bytes'], figures['response_body_bytes']) == (90, 900)
    assert sum(figures['durations']) == 9


@pytest.mark.parametrize(
    ('took', 'place'), [(0, 0), (0.0011, 1), (0.02, 4), (0.3, 8), (7, 12), (11, 13), (1000, 13)]
)
def test_durations(took, place):
    counters = Counters()
    counters(exchange(took=took))
    figures = counters.snapshot()
    assert figures['durations'].index(1) == place
    assert took <= figures['durations_sum'] < took + 0.5
    assert figures['blocking_busy_cumulative'] == int(figures['durations_sum'] * 1e6)


@pytest.mark.parametrize(('status', 'version'), [(101, '1.1'), (200, '2')])
def test_an_accepted_websocket_has_no_duration(status, version):
    counters = Counters()
    counters.websockets.opened = 3
    counters(exchange(status, took=3600, upgrade='websocket', version=version, sent=5))
    figures = counters.snapshot()
    assert (figures['websockets_active'], figures['websockets_handled']) == (2, 3)
    assert figures['responses'][CLASSES.index('1xx')] == 1
    assert sum(figures['durations']) == 0
    assert figures['response_body_bytes'] == 5


@pytest.mark.parametrize(('status', 'version'), [(403, '1.1'), (403, '2'), (0, '1.1'), (200, '1.1')])
def test_a_refused_websocket_is_a_request(status, version):
    counters = Counters()
    counters(exchange(status, upgrade='websocket', version=version))
    figures = counters.snapshot()
    assert sum(figures['durations']) == 1
    assert figures['websockets_active'] == 0


def test_static_files():
    counters = Counters()
    counters.is_static = lambda path: path.startswith('/static/')
    for path, status in [('/', 200), ('/static/a', 200), ('/static/a', 304), ('/static/b', 404), ('/x', 404)]:
        counters(exchange(status, path=path))
    figures = counters.snapshot()
    assert (figures['static_requests_handled'], figures['static_requests_err']) == (2, 1)
    assert figures['requests_handled'] == 5


def test_many_threads_that_come_and_go():
    """Give each thread numbers of its own; add those of ended threads up, and do not keep them."""
    counters = Counters()
    each = 500

    def work():
        for _ in range(each):
            counters(exchange(sent=1))

    seen = []
    for _ in range(4):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            seen.append(counters.snapshot()['requests_handled'])
        for thread in threads:
            thread.join()
    counters(exchange())
    figures = counters.snapshot()
    assert figures['requests_handled'] == 4 * 8 * each + 1
    assert figures['response_body_bytes'] == 4 * 8 * each
    assert seen == sorted(seen)
    assert len(counters._tallies) == 1


# The pool


def test_waiting_is_added_up():
    queue = MeasuredQueue()
    with pytest.raises(IndexError):
        queue.popleft()
    queue.append('a')
    queue.append('b')
    queue._since[0] -= 2
    queue._since[1] -= 1
    assert (queue.popleft(), queue.popleft()) == ('a', 'b')
    assert 3 <= queue.waited < 3.5
    assert not queue
    assert not queue._since


class Busy:
    """A unit that calls an application, which blocks until it is let go."""

    def __init__(self, pool):
        self.pool = pool
        self.called = threading.Event()
        self.let_go = threading.Event()

    def work(self):
        self.pool.enter_call()
        self.called.set()
        self.let_go.wait(10)
        return self.pool.leave_call(1, time.monotonic())


def test_idle_time():
    """Count parked threads, during their life and after their end."""
    news = threading.Semaphore(0)
    pool = Pool(lambda: news.acquire(timeout=0.01), 2, 0.3, measured=True)
    done = threading.Event()
    watchdog = threading.Thread(target=Watchdog(pool).watch, args=(done,))
    watchdog.start()
    pool.start()
    units = [Busy(pool), Busy(pool)]
    for unit in units:
        pool.ready.append(unit)
        news.release()
        assert unit.called.wait(10)
    assert pool.threads == 2
    for unit in units:
        unit.let_go.set()
    seen = [pool.idle_time()]
    deadline = time.monotonic() + 20
    while len(pool._idle_time.members) > 1 and time.monotonic() < deadline:  # it leaves after it is counted
        seen.append(pool.idle_time())
    assert pool.threads == 1
    assert 0.2 < pool.idle_time() < 20
    assert len(pool._idle_time.members) == 1
    done.set()
    pool.close()
    watchdog.join(10)


def test_nothing_is_measured_where_nobody_asked():
    pool = Pool(lambda: None, 1, 1)
    assert type(pool.ready).__name__ == 'deque'
    assert pool.idle_time() == 0


def test_hub_and_loop_of_gevent_count_apart():
    """Neither a greenlet's end nor the other thread's counting loses a number."""
    pytest.importorskip('gevent')
    code = """
from gevent import monkey; monkey.patch_all()
import gevent, sys
sys.path.insert(0, 'tests/metrics')
from granian.observe.counters import Counters
from test_counters import exchange
counters = Counters(greenlets=True)
start, allocate_lock = monkey.get_original('_thread', ['start_new_thread', 'allocate_lock'])

def work(rounds):
    for _ in range(rounds):
        counters(exchange(sent=1))

done = allocate_lock()
done.acquire()
start(lambda: (work(20000), done.release()), ())
for _ in range(200):
    gevent.spawn(work, 100).join()
    assert counters.snapshot()['response_body_bytes'] >= 100
done.acquire()
assert counters.snapshot()['response_body_bytes'] == 40000, counters.snapshot()
assert len(counters._tallies) == 2
assert type(counters._changing) is type(allocate_lock())
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
