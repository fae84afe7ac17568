"""HTTP/2's options, as an h2 client sees them."""

from __future__ import annotations

import threading

import h2.settings
import pytest

from tests.support.configured_core import answer, hello, rest, wait_for
from tests.support.http2_client import Http2Client

CODES = h2.settings.SettingCodes
BOTH = pytest.mark.parametrize('interface', ['wsgi', 'asginl'])


async def asgi(scope, receive, send):
    await answer(send, b'hello')


APPS = {'wsgi': hello, 'asginl': asgi}


def greeted(sock, **options):
    """Return a client that has received the server's settings."""
    client = Http2Client(sock, **options)
    assert client.get().status == 200
    return client


@pytest.mark.proves('--http2-initial-connection-window-size', '--http2-initial-stream-window-size')
@BOTH
def test_windows(serve, interface):
    served = serve(APPS[interface], interface, http2_initial_connection_window_size=300_000,
                   http2_initial_stream_window_size=200_000)  # fmt: skip
    with served.connect() as sock:
        client = greeted(sock)
        assert client.connection.remote_settings[CODES.INITIAL_WINDOW_SIZE] == 200_000
        assert client.connection.outbound_flow_control_window == 300_000
        stream = client.start(method='POST', end=False)
        assert client.connection.local_flow_control_window(stream) == 200_000


@pytest.mark.proves('--http2-engine')
@BOTH
@pytest.mark.parametrize('engine', ['lean', 'h2'])
def test_either_engine_serves(serve, interface, engine, monkeypatch):
    from granian.protocol.http2 import h2_engine

    made = []
    monkeypatch.setattr(
        h2_engine, 'connect', lambda limits, to=h2_engine.connect: made.append(1) or to(limits)
    )
    served = serve(APPS[interface], interface, http2_engine=engine)
    with served.connect() as sock:
        client = greeted(sock)
        streams = [client.start(method='POST', end=False) for _ in range(5)]
        for stream in streams:
            client.send(stream, b'x' * 10_000, end=True)
        assert [client.finish(stream).status for stream in streams] == [200] * 5
    assert bool(made) == (engine == 'h2')


@pytest.mark.proves('--http2-adaptive-window')
@pytest.mark.parametrize('adaptive', [True, False])
def test_windows_grow_with_what_a_round_trip_brings(serve, adaptive):
    def app(environ, start_response):
        while environ['wsgi.input'].read(65536):
            pass
        return hello(environ, start_response)

    served = serve(app, http2_adaptive_window=adaptive, http2_initial_connection_window_size=65_535,
                   http2_initial_stream_window_size=65_535)  # fmt: skip
    with served.connect() as sock:
        client = greeted(sock)
        for _ in range(20 if adaptive else 3):
            stream = client.start(method='POST', end=False)
            client.send(stream, b'x' * 500_000, end=True)
            assert client.finish(stream).status == 200
            grown = client.connection.remote_settings[CODES.INITIAL_WINDOW_SIZE]
            if grown > 65_535:
                break
        assert (grown > 65_535) == adaptive


@pytest.mark.proves('--http2-keep-alive-interval')
@BOTH
def test_pings_are_sent(serve, interface):
    with serve(APPS[interface], interface, http2_keep_alive_interval=50).connect() as sock:
        client = greeted(sock)
        while client.pings < 3:
            assert client.receive()


@pytest.mark.proves('--http2-keep-alive-timeout')
@BOTH
def test_a_ping_that_is_not_answered(serve, interface):
    brief = {'http2_keep_alive_timeout': 0.2}
    served = serve(APPS[interface], interface, http2_keep_alive_interval=50, brief=brief)
    with served.connect() as sock:
        sock.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes(3) + b'\4' + bytes(5))
        assert b'\0\0\x08\x06\0' in rest(sock), 'asked, not answered, closed'


@pytest.mark.proves('--http2-max-concurrent-streams')
def test_streams_at_once(serve):
    release = threading.Event()

    def app(environ, start_response):
        assert environ['PATH_INFO'] == '/' or release.wait(20)
        return hello(environ, start_response)

    with serve(app, http2_max_concurrent_streams=10).connect() as sock:
        client = greeted(sock)
        assert client.connection.remote_settings[CODES.MAX_CONCURRENT_STREAMS] == 10
        client.connection.remote_settings[CODES.MAX_CONCURRENT_STREAMS] = 100  # a client that does not care
        client.connection.remote_settings.acknowledge()
        held = [client.start('/held') for _ in range(10)]
        refused = client.finish(client.start('/held'))
        assert refused.reset == 7  # REFUSED_STREAM
        release.set()
        assert client.finish(*held).status == 200


def read_body(environ, start_response):
    environ['wsgi.input'].read()
    return hello(environ, start_response)


async def read_body_async(scope, receive, send):
    while (await receive()).get('more_body'):
        pass
    await answer(send, b'hello')


READERS = {'wsgi': read_body, 'asginl': read_body_async}


def taken(served):
    """Return the number of streams beyond those that are each client's own."""
    return len(getattr(served.core, '_core', served.core).shared_streams)


@pytest.mark.proves('--http2-worker-streams')
@BOTH
def test_streams_of_all_clients(serve, interface):
    """Have 10 streams beyond 8 of each client."""
    served = serve(READERS[interface], interface, http2_worker_streams=10)
    with served.connect() as one, served.connect() as two:
        clients = [greeted(one), greeted(two)]
        held = [[client.start(method='POST', end=False) for _ in range(13)] for client in clients]
        wait_for(lambda: taken(served) == 10)
        refused = [client.finish(client.start(method='POST', end=False)) for client in clients]
        assert [each.reset for each in refused] == [7, 7], 'REFUSED_STREAM'
        for client, streams in zip(clients, held):
            for stream in streams:
                client.send(stream, b'', end=True)
                assert client.finish(stream).status == 200
        wait_for(lambda: taken(served) == 0)


@BOTH
def test_streams_that_time_out_make_room(serve, interface):
    served = serve(READERS[interface], interface, brief={'request_body_timeout': 0.05})
    with served.connect() as sock:
        client = greeted(sock)
        streams = [client.start(method='POST', end=False) for _ in range(20)]
        for stream in streams:
            assert client.finish(stream).status == 408
        wait_for(lambda: taken(served) == 0)


@pytest.mark.proves('--http2-max-frame-size')
@pytest.mark.parametrize('size', [20_000, 20_001])
def test_the_largest_frame(serve, size):
    with serve(hello, http2_max_frame_size=20_000).connect() as sock:
        client = greeted(sock)
        assert client.connection.remote_settings[CODES.MAX_FRAME_SIZE] == 20_000
        stream = client.start(method='POST', end=False)
        sock.sendall(size.to_bytes(3, 'big') + b'\0\1' + stream.to_bytes(4, 'big') + b'x' * size)
        if size == 20_000:
            assert client.finish(stream).status == 200
        else:
            client.read_to_end()
            assert client.goaways[-1][1] == 6  # FRAME_SIZE_ERROR


@pytest.mark.proves('--http2-max-headers-size')
@BOTH
def test_the_size_of_a_header_list(serve, interface):
    with serve(APPS[interface], interface, http2_max_headers_size=1000).connect() as sock:
        client = greeted(sock)
        assert client.connection.remote_settings[CODES.MAX_HEADER_LIST_SIZE] == 1000
        assert client.get(headers=[('x-a', 'b' * 500)]).status == 200
        assert client.get(headers=[('x-a', 'b' * 1000)]).status == 431


@pytest.mark.proves('--http2-max-send-buffer-size')
@BOTH
def test_no_more_is_held_for_a_stream_than_said(serve, interface):
    made = []

    def wsgi(environ, start_response):
        start_response('200 OK', [])
        for _ in range(100):
            made.append(10_000)
            yield b'x' * 10_000

    async def endless(scope, receive, send):
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        for n in range(100):
            made.append(10_000)
            await send({'type': 'http.response.body', 'body': b'x' * 10_000, 'more_body': n < 99})

    app = wsgi if interface == 'wsgi' else endless
    served = serve(app, interface, http2_max_send_buffer_size=50_000)
    with served.connect() as sock:
        client = Http2Client(sock, window=0)
        stream = client.start()
        wait_for(lambda: sum(made) > 50_000)
        while not client.responses[stream].status:
            client.receive()
        assert sum(made) <= 70_000
        client.connection.increment_flow_control_window(2_000_000, stream)
        client.connection.increment_flow_control_window(2_000_000)
        client.flush()
        assert client.finish(stream).received == 1_000_000
