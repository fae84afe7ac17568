"""A blocking core and the event loop beside it."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from granian.core.beside.core import LoopThread, PairedCore, WebSocketCore
from granian.core.beside.transport import SEND_SIZE, SocketTransport
from granian.core.beside.tunnel import Http2Tunnel
from granian.core.contract import CoreSettings
from granian.stream import ClientDisconnected


class QuickCore:
    """A blocking core without connections: it has ended before `stop` returns."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.pair_ended = threading.Event()

    def take_upgrades(self, upgrades: Any) -> None:
        pass

    def run(self, on_ready: Any) -> None:
        self.stopped.wait(5)

    def stop(self, reload: bool) -> None:
        self.stopped.set()
        self.pair_ended.wait(5)


class Loop:
    """A loop's thread that notes how it is stopped."""

    core = None

    def __init__(self) -> None:
        self.stops: list[bool] = []

    def start(self) -> None:
        pass

    def stop(self, reload: bool) -> None:
        self.stops.append(reload)

    def join(self) -> None:
        pass


def test_reload_reaches_the_loop_before_the_other_core_ends() -> None:
    """Send 1012 to the WebSockets, not 1001, whichever thread is faster."""
    blocking, loop = QuickCore(), Loop()
    pair: Any = PairedCore(blocking, loop)  # type: ignore[arg-type]
    stop = threading.Thread(target=pair.stop, args=(True,))
    stop.start()
    pair.run(lambda: None)
    blocking.pair_ended.set()
    stop.join(5)
    assert loop.stops == [True, True]


def test_handshake_on_its_way_is_waited_for_at_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other core end while it hands its last connection over."""
    adopted, ready = [], threading.Event()
    core = WebSocketCore([], CoreSettings(), asyncio.sleep, loop=asyncio.new_event_loop())  # type: ignore[arg-type]
    monkeypatch.setattr(core, '_go_on', lambda old, request: adopted.append(old))
    thread = threading.Thread(target=core.run, args=(ready.set,))
    thread.start()
    assert ready.wait(10)
    core.stop()

    class Connection:
        def detach(self) -> None:
            core.end_supply()
            thread.join(0.2)  # it would end

    connection: Any = Connection()
    core.take_http1(connection, None)  # type: ignore[arg-type]
    thread.join(10)
    core.loop.close()
    assert adopted == [connection]


def test_closed_transport_lets_its_protocol_go() -> None:
    """Leave no cycle: it would keep a TLS connection's buffers until a garbage collection."""

    class Protocol:
        transport: Any

        def connection_lost(self, error: Any) -> None:
            pass

    loop = asyncio.new_event_loop()
    near, far = socket.socketpair()
    protocol = Protocol()
    protocol.transport = SocketTransport(loop, near, protocol, lambda: None)
    protocol.transport.abort()
    left = weakref.ref(protocol)
    del protocol
    gc.disable()
    try:
        loop.run_until_complete(asyncio.sleep(0))
        assert left() is None
    finally:
        gc.enable()
        far.close()
        loop.close()


@pytest.mark.parametrize(
    ('starved', 'rate', 'given_up'), [(True, 1, False), (True, 0, True), (False, 1, True)]
)
def test_websocket_beside_lives_while_its_client_takes_output(
    starved: bool, rate: int, given_up: bool
) -> None:
    """Wait for longer than the write timeout for a slow socket, but not for the stream's own window."""
    looks = iter(range(100))
    connection: Any = SimpleNamespace(
        lock=threading.Lock(), waiting=set(), outbox=0, scheme='http', client=None, server='', tls=None,
        settings=SimpleNamespace(write_timeout=0.01), push=len, flush=lambda: None,
        is_full=lambda stream_id: next(looks) < 3, taken=lambda: 0, keeps_rate=lambda before: rate > 0,
        http=SimpleNamespace(is_starved=lambda stream_id: starved, cancel=lambda _: b'', data_to_send=bytes),
    )  # fmt: skip
    request: Any = SimpleNamespace(stream_id=1, head=None, body=b'')

    async def drain() -> None:
        await Http2Tunnel(connection, request, asyncio.get_running_loop()).drain()

    if given_up:
        with pytest.raises(ClientDisconnected):
            asyncio.run(drain())
    else:
        asyncio.run(drain())


@pytest.mark.parametrize(('chosen', 'then'), [(0.005, 0.0002), (0.001, 0.0002), (0.0001, 0.0001)])
def test_threads_switch_soon_beside_the_loop(chosen: float, then: float) -> None:
    """Do not have a request wait 5 ms for the interpreter's lock, unless the application has chosen less."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(chosen)
    try:
        beside = LoopThread(asyncio.new_event_loop, CoreSettings(), asyncio.sleep, lifespan=None)  # type: ignore[arg-type]
        beside.start()
        assert sys.getswitchinterval() == pytest.approx(then, rel=0.02)
        beside.stop(False)
        beside.join()
    finally:
        sys.setswitchinterval(before)


def test_writers_of_a_lost_client_are_not_woken_as_if_there_were_room() -> None:
    """Compare `heap.Peak`: a connection that leaves with unsent output has a client that did not read."""
    calls: list[str] = []

    class Protocol(asyncio.Protocol):
        def pause_writing(self) -> None:
            calls.append('pause')
            client.close()

        def resume_writing(self) -> None:
            calls.append('resume')

        def connection_lost(self, error: Exception | None) -> None:
            calls.append('lost')
            lost.set()

    async def main() -> None:
        transport = SocketTransport(asyncio.get_running_loop(), server, Protocol(), lambda: None)
        transport.write(bytes(4_000_000))
        await asyncio.wait_for(lost.wait(), 10)

    server, client = socket.socketpair()
    server.setblocking(False)
    lost = asyncio.Event()
    asyncio.run(main())
    assert calls == ['pause', 'lost']


def test_long_output_is_copied_in_pieces_for_a_slow_client() -> None:
    """Give the socket no more than it may take: the whole rest each time is quadratic."""
    size = 20 * SEND_SIZE
    given: list[int] = []

    class Socket:
        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock
            self.fileno = sock.fileno
            self.close = sock.close

        def send(self, data: bytes) -> int:
            given.append(len(data))
            return self.sock.send(data)

    class Protocol:
        def pause_writing(self) -> None:
            pass

        def resume_writing(self) -> None:
            pass

        def connection_lost(self, error: Exception | None) -> None:
            assert error is None
            sent.set_result(None)

    async def main() -> int:
        nonlocal sent
        loop = asyncio.get_running_loop()
        sent = loop.create_future()
        transport = SocketTransport(loop, Socket(server), Protocol(), lambda: None)
        transport.write(bytes(size))
        transport.close()
        received = 0
        while received < size:
            received += len(await loop.sock_recv(client, SEND_SIZE))
        await sent
        return received

    sent: asyncio.Future[None]
    server, client = socket.socketpair()
    server.setblocking(False)
    client.setblocking(False)
    with client:
        assert asyncio.run(main()) == size
    assert given[0] == size  # not copied
    assert max(given[1:]) <= SEND_SIZE
