"""What only the gevent core has; run by test_greenlets in a process that gevent has patched."""

from __future__ import annotations

import contextvars
import gc
import logging
import threading
import time
from typing import Any

import gevent
import gevent.event
import gevent.local
import greenlet
import pytest

from granian.core.blocking import http1_stream
from granian.core.blocking.work import CROWD
from granian.core.greenlets import hub
from granian.core.greenlets import pool as greenlet_pool
from granian.core.greenlets import watchdog as greenlet_watchdog
from tests.support.blocking_core import GET, GET_CLOSE, read_all, read_response, running
from tests.support.http2_client import Http2Client

TEXT = [(b'Content-Type', b'text/plain')]


def test_many_calls_wait_at_the_same_time() -> None:
    """Let each call wait for all the others, which needs a greenlet for each."""
    count = 200
    barrier = threading.Barrier(count)

    def handler(stream: Any) -> None:
        barrier.wait(20)
        stream.respond(200, TEXT, b'ok')

    with running(handler, threads=count) as server:
        socks = [server.connect() for _ in range(count)]
        for sock in socks:
            sock.sendall(GET_CLOSE % b'/')
        for sock in socks:
            assert read_all(sock).endswith(b'ok')
            sock.close()
        assert server.core.pool.threads == count


def test_no_memory_for_a_greenlet_leaves_work_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, refused = gevent.event.Event(), gevent.event.Event()

    class Short(greenlet_pool.PoolGreenlet):
        """A greenlet whose stack finds no memory while the first one waits."""

        def switch(self, *args: Any) -> Any:
            if waiting.is_set() and not refused.is_set() and not self:
                refused.set()
                raise MemoryError
            return super().switch(*args)

    def handler(stream: Any) -> None:
        if stream.head.path == '/wait':
            waiting.set()
            assert refused.wait(20)
        stream.respond(200, TEXT, b'ok')

    monkeypatch.setattr(greenlet_pool, 'PoolGreenlet', Short)
    with running(handler) as server, server.connect() as first, server.connect() as second:
        first.sendall(GET_CLOSE % b'/wait')
        assert waiting.wait(20)
        second.sendall(GET_CLOSE % b'/')
        for sock in (first, second):
            assert read_all(sock).endswith(b'ok')
        assert server.core.pool.threads == 1


def test_first_greenlet_has_its_memory_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    full = gevent.event.Event()

    class Short(greenlet_pool.PoolGreenlet):
        """A greenlet whose stack finds no memory once the server is up."""

        def switch(self, *args: Any) -> Any:
            if full.is_set() and not self:
                raise MemoryError
            return super().switch(*args)

    monkeypatch.setattr(greenlet_pool, 'PoolGreenlet', Short)
    with running(lambda stream: stream.respond(200, TEXT, b'ok')) as server, server.connect() as sock:
        full.set()
        sock.sendall(GET_CLOSE % b'/')
        assert read_all(sock).endswith(b'ok')


def test_quick_calls_share_one_greenlet() -> None:
    seen = set()

    def handler(stream: Any) -> None:
        seen.add(id(gevent.getcurrent()))
        stream.respond(200, TEXT, b'ok')

    with running(handler) as server, server.connect() as sock:
        for _ in range(50):
            sock.sendall(GET % b'/')
            read_response(sock)
        assert server.core.pool.threads == 1
    assert len(seen) == 1


variable: contextvars.ContextVar[str] = contextvars.ContextVar('variable')
native_local = threading.local()
greenlet_local = gevent.local.local()


@pytest.mark.parametrize('waits', [False, True])
def test_context_variable_does_not_reach_next_request(waits: bool) -> None:
    found: list[str] = []

    def handler(stream: Any) -> None:
        found.append(variable.get('nothing'))
        variable.set('left behind')
        if waits:
            gevent.sleep(0)
        assert variable.get() == 'left behind'
        stream.respond(200, TEXT, b'ok')

    with running(handler, threads=1) as server:
        # Pipelined, so that one greenlet may run several without the hub in between.
        data = server.request(GET % b'/' * 5 + GET_CLOSE % b'/')
    assert data.count(b'HTTP/1.1 200') == 6
    assert found == ['nothing'] * 6


@pytest.mark.parametrize('waits', [False, True])
@pytest.mark.parametrize('local', [native_local, greenlet_local], ids=['threading', 'gevent'])
def test_thread_local_is_kept_for_next_request(local: Any, waits: bool) -> None:
    """Open a database connection that the application keeps in it once for each greenlet."""
    opened: list[int] = []
    local.__dict__.clear()

    def handler(stream: Any) -> None:
        if not hasattr(local, 'connection'):
            opened.append(1)
            local.connection = object()
        if waits:
            gevent.sleep(0.001)
        stream.respond(200, TEXT, b'ok')

    with running(handler) as server, server.connect() as sock:
        for _ in range(20):
            sock.sendall(GET % b'/')
            read_response(sock)
    assert len(opened) == 1


def test_thread_locals_are_no_more_than_calls_at_once() -> None:
    class Connection:
        pass

    local = threading.local()
    made: list[Connection] = []

    def handler(stream: Any) -> None:
        if not hasattr(local, 'connection'):
            local.connection = Connection()
            made.append(local.connection)
        gevent.sleep(0.001)
        stream.respond(200, TEXT, b'ok')

    with running(handler, threads=100) as server:
        socks = [server.connect() for _ in range(4)]
        for _ in range(25):
            for sock in socks:
                sock.sendall(GET % b'/')
            for sock in socks:
                read_response(sock)
        for sock in socks:
            sock.close()
    assert len(made) <= 4


def test_thread_local_ends_with_idle_greenlet() -> None:
    closed: list[int] = []

    class Connection:
        def __del__(self) -> None:
            closed.append(1)

    def handler(stream: Any) -> None:
        native_local.connection = Connection()
        stream.respond(200, TEXT, b'ok')

    with running(handler, thread_idle_timeout=0.05) as server, server.connect() as sock:
        sock.sendall(GET % b'/')
        read_response(sock)
        deadline = time.monotonic() + 10
        while not closed:
            assert time.monotonic() < deadline
            gevent.sleep(0.005)
        assert server.core.pool.threads == 1  # a new one
        assert not server.core.pool.trims


def test_a_timeout_left_running_does_not_hit_a_later_request() -> None:
    def handler(stream: Any) -> None:
        if stream.head.path == '/leave':
            gevent.Timeout(0.05).start()
        else:
            gevent.sleep(0.15)
        stream.respond(200, TEXT, b'ok')

    with running(handler, threads=1) as server, server.connect() as sock:
        sock.sendall(GET % b'/leave')
        assert read_response(sock).endswith(b'ok')
        sock.sendall(GET_CLOSE % b'/later')
        assert read_all(sock).endswith(b'ok')


def test_greenlets_that_are_held_end() -> None:
    held: list[Any] = []

    def handler(stream: Any) -> None:
        held.append(gevent.getcurrent())
        stream.respond(200, TEXT, b'ok')

    with running(handler) as server, server.connect() as sock:
        for _ in range(20):
            sock.sendall(GET % b'/')
            read_response(sock)
        assert server.core.pool.threads <= 1
        held.clear()
        gc.collect()
        members = [thing for thing in gc.get_objects() if type(thing) is greenlet_pool.PoolGreenlet]
        assert sum(not member.dead for member in members) <= 1


def test_quick_calls_do_not_keep_the_hub() -> None:
    """Run a greenlet of the application's own beside a client that pipelines without end."""
    ticks: list[int] = []
    seen: list[int] = []

    def handler(stream: Any) -> None:
        end = time.monotonic() + 0.002
        while time.monotonic() < end:
            pass
        seen.append(len(ticks))
        stream.respond(200, TEXT, b'ok')

    def tick() -> None:
        while True:
            ticks.append(1)
            gevent.sleep(0)

    with running(handler) as server, server.connect() as sock:
        ticker = gevent.spawn(tick)
        sock.sendall(GET % b'/' * 30 + GET_CLOSE % b'/')
        read_all(sock)
        ticker.kill()
    assert seen[-1] - seen[0] > 5


def test_a_greenlet_that_does_not_yield_is_reported(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greenlet_watchdog, 'LOOK_EVERY', 0.02)

    def busy_for_ever(until: float) -> None:
        while time.monotonic() < until and len(caplog.records) < 1:
            pass

    def handler(stream: Any) -> None:
        if stream.head.path == '/busy':
            busy_for_ever(time.monotonic() + 20)
        else:
            gevent.sleep(0.3)
        stream.respond(200, TEXT, b'ok')

    with running(handler) as server, caplog.at_level(logging.WARNING, '_granian'):
        assert server.request(GET_CLOSE % b'/yields').endswith(b'ok')
        assert caplog.records == []
        assert server.request(GET_CLOSE % b'/busy').endswith(b'ok')
        (record,) = caplog.records
        assert 'busy_for_ever' in record.getMessage()
        assert 'core/threads.py' not in record.getMessage()


def test_the_watchdog_sleeps_while_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greenlet_watchdog, 'LOOK_EVERY', 0.01)
    with running(lambda stream: stream.respond(200, TEXT, b'ok')) as server:
        for _ in range(2):
            server.request(GET_CLOSE % b'/')
            deadline = time.monotonic() + 10
            while not server.core._watchdog.asleep:
                assert time.monotonic() < deadline
                time.sleep(0.01)


def test_sockets_are_not_gevents() -> None:
    """Use no gevent socket: it costs several times as much, and waits where the core must not."""
    kinds = set()

    def handler(stream: Any) -> None:
        kinds.add(type(stream._connection.sock).__module__)
        stream.respond(200, TEXT, b'ok')

    with running(handler) as server:
        server.request(GET_CLOSE % b'/')
    assert kinds == {'_socket'}


@pytest.mark.parametrize('window', [65535, 1000])
def test_no_switch_happens_under_a_connection_lock(window: int) -> None:
    """Switch to no greenlet under the lock: a greenlet that waited for it would stop the hub."""
    switches = []

    def handler(stream: Any) -> None:
        size = 0
        while chunk := stream.read():
            size += len(chunk)
        stream.send_response(200, TEXT)
        for _ in range(20):
            stream.send_data(b'x' * 50_000)
        stream.send_end()

    def trace(event: str, _: Any) -> None:
        switches.append([c.lock.locked() for c in list(connections.values()) if hasattr(c, 'lock')])

    with running(handler) as server, server.connect() as sock:
        connections = server.core.reactor.connections
        client = Http2Client(sock, window=window)
        before = greenlet.settrace(trace)
        try:
            streams = [client.start(method='POST', end=False) for _ in range(5)]
            for stream in streams:
                client.send(stream, b'y' * 100_000, end=True)
            client.finish(*streams)
        finally:
            greenlet.settrace(before)
    held = [locked for locked in switches if locked]
    assert len(held) > 10
    assert not any(any(locked) for locked in held)


def test_the_harness_runs_the_gevent_core() -> None:
    with running(lambda stream: None) as server:
        assert type(server.core).__name__ == 'GreenletCore'
        assert isinstance(server.core.reactor, hub.HubReactor)


def test_call_that_sends_much_lets_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll every 5 ms, although the call never waits: the kernel has room for all pieces."""
    monkeypatch.setattr(greenlet_pool, 'SLICE', 0.0)
    monkeypatch.setattr(http1_stream, 'LARGE_PIECE', 1)
    log: list[str] = []

    def handler(stream: Any) -> None:
        if stream.head.path == '/small':
            log.append('small')
            stream.respond(200, TEXT, b'ok')
            return
        stream.send_response(200, TEXT)
        for _ in range(5000):
            stream.send_data(b'x')
            if not log:
                small.sendall(GET % b'/small')
            log.append('piece')
        stream.send_end()

    with running(handler) as server, server.connect() as large, server.connect() as small:
        large.sendall(GET % b'/large')
        assert read_response(small).endswith(b'ok')
    assert log.index('small') < 5000


def test_call_that_receives_much_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[bool] = []

    def handler(stream: Any) -> None:
        while stream.read():
            pass
        stream.respond(200, TEXT, b'ok')

    with running(handler) as server, server.connect() as sock:
        monkeypatch.setattr(server.core.pool, 'give_way', lambda: turns.append(True))
        sock.sendall(b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n' + b'y' * 200_000)
        assert read_response(sock).endswith(b'ok')
    assert turns


def test_unit_that_is_always_ready_leaves_turns_to_the_hub() -> None:
    """Such as a connection whose client sends without end: it calls no application."""
    asked = threading.Event()
    pool = greenlet_pool.GreenletPool(2)
    pool.start(asked.set)

    class Always:
        progress = 1

        def work(self) -> bool:
            if not asked.is_set():
                pool.ready.append(self)  # type: ignore[arg-type]
            return True

    with gevent.Timeout(5):
        pool.ready.append(Always())  # type: ignore[arg-type]
        gevent.get_hub().loop.run_callback(pool.serve)
        asked.wait()


def test_unit_that_is_always_ready_leaves_turns_while_all_greenlets_wait() -> None:
    asked = threading.Event()
    pool = greenlet_pool.GreenletPool(0)
    pool.start(asked.set)

    class Always:
        def prepare(self) -> None:
            if not asked.is_set():
                pool.ready.append(self)  # type: ignore[arg-type]

    with gevent.Timeout(5):
        pool.ready.append(Always())  # type: ignore[arg-type]
        gevent.get_hub().loop.run_callback(pool.serve)
        asked.wait()


def test_crowd_and_later_arrivals_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a unit that becomes ready after a long turn before the rest of the crowd which that turn left."""
    monkeypatch.setattr(greenlet_pool, 'STINT', -1.0)  # each unit ends a turn
    order: list[str] = []
    over = gevent.event.Event()
    pool = greenlet_pool.GreenletPool(1)
    hub_loop = gevent.get_hub().loop

    class Noted:
        progress = 1

        def __init__(self, name: str) -> None:
            self.name = name

        def work(self) -> bool:
            order.append(self.name)
            return True

    def turn() -> None:
        if order == ['crowd']:
            pool.ready.append(Noted('late'))  # type: ignore[arg-type]
        pool.serve()
        if not pool.ready:
            pool.close()
            over.set()

    pool.start(lambda: hub_loop.run_callback(turn))
    pool.ready.extend(Noted('crowd') for _ in range(4 * CROWD))  # type: ignore[misc]
    hub_loop.run_callback(turn)
    assert over.wait(10)
    assert order.index('late') <= 2
    assert len(order) == 4 * CROWD + 1
