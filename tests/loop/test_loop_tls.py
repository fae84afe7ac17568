"""TLS and HTTP/2 on the asyncio core."""

import asyncio
import contextlib
import socket
import time

import h2.connection
import httpx
import pytest
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, PingFrame

from granian.core.loop import deadlines
from granian.core.loop.allowance import FINISHED, FIRST, HELLO, LITTLE, SET_UP, Allowance
from granian.core.loop.tls import TLSLayer
from granian.core.spare import PROMPT
from granian.protocol.limits import Limits
from tests.support.http2_client import Http2Client
from tests.support.tls_client import Begun, HalfClosing, client_context, wrapped

PLAIN = [(b'content-type', b'text/plain')]


async def hello(stream):
    text = f'{stream.head.version} {stream.scheme} {stream.tls.version if stream.tls else None}'
    stream.respond(200, PLAIN, text.encode())


def test_http1_over_tls(serve, tls):
    client = wrapped(serve(hello, tls=tls), 'http/1.1')
    assert client.get()[2] == b'1.1 https TLSv1.3'
    assert client.get()[2] == b'1.1 https TLSv1.3'


def test_alpn_chooses_http2(serve, tls):
    served = serve(hello, tls=tls)
    with httpx.Client(http2=True, verify=client_context('h2'), trust_env=False, timeout=30) as client:
        response = client.get(f'https://127.0.0.1:{served.address[1]}/')
        assert (response.http_version, response.text) == ('HTTP/2', '2 https TLSv1.3')


def test_plain_http_on_a_tls_port_is_answered_readably(serve, tls):
    client = serve(hello, tls=tls).connect()
    status, _, body = client.get()
    assert status == 400
    assert b'https' in body
    assert client.closed()


def test_first_head_has_no_time_beyond_that_of_the_handshake(serve, tls):
    """Count from our part of the handshake. Else a client that stays holds a descriptor twice as long."""
    served = serve(hello, tls=tls)
    client = wrapped(served, 'http/1.1')
    served.wait_for(lambda: served.core.connections)
    (connection,) = served.core.connections
    before = served.call(lambda: deadlines.connection_spare_from(connection))
    client.send(b'GET / HTTP/1.1\r\nHo')
    served.wait_for(lambda: connection.head_since)
    assert abs(served.call(lambda: deadlines.connection_spare_from(connection)) - before) < 0.001
    client.send(b'st: x\r\n\r\n')
    assert client.response()[0] == 200
    client.send(b'GET / HTTP/1.1\r\nHo')  # a later head counts from its first bytes
    served.wait_for(lambda: connection.head_since)
    later = served.call(lambda: deadlines.connection_spare_from(connection))
    assert later == connection.head_since + PROMPT


@pytest.fixture
def strict(monkeypatch):
    """Leave each share of a turn one call."""
    monkeypatch.setattr('granian.core.loop.allowance.UNWATCHED', 1)
    monkeypatch.setattr('granian.core.loop.allowance.WATCHED', 1)
    monkeypatch.setattr('granian.core.loop.allowance.SHARE', 0.0)


@pytest.mark.usefixtures('strict')
def test_handshakes_of_a_crowd_leave_turns_to_others(serve, tls, monkeypatch):
    steps = [0]
    step, begin = TLSLayer._shake_hands, Allowance._begin

    def count_step(self):
        steps[-1] += 1
        step(self)

    def count_turn(self):
        steps.append(0)
        begin(self)

    monkeypatch.setattr(TLSLayer, '_shake_hands', count_step)
    monkeypatch.setattr(Allowance, '_begin', count_turn)
    with contextlib.ExitStack() as stack:
        listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        address = listener.getsockname()
        clients = [Begun(stack.enter_context(socket.create_connection(address, 10))) for _ in range(40)]
        serve(hello, listeners=[listener], tls=tls)
        answers = [client.get()[:12] for client in clients]
    assert answers == [b'HTTP/1.1 200'] * 40
    assert sum(steps) >= 40
    assert max(steps) <= 4


@pytest.mark.usefixtures('strict')
def test_failure_in_a_handshake_that_waited_ends_it_alone(serve, tls, monkeypatch):
    put_off, failed = Allowance.put_off, []

    def fail(*_):
        raise ValueError('ours')

    def fail_once(self, reader, call, *arguments):
        if not failed and reader.lane == HELLO and arguments:
            failed.append(reader)
            call = fail
        put_off(self, reader, call, *arguments)

    monkeypatch.setattr(Allowance, 'put_off', fail_once)
    serve.errors.append('Internal error on a connection')
    with contextlib.ExitStack() as stack:
        listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        address = listener.getsockname()
        clients = [Begun(stack.enter_context(socket.create_connection(address, 10))) for _ in range(10)]
        serve(hello, listeners=[listener], tls=tls)
        answered = 0
        for client in clients:
            with contextlib.suppress(OSError, EOFError):
                answered += client.get().startswith(b'HTTP/1.1 200')
    assert answered == 9


@pytest.mark.usefixtures('strict')
def test_client_that_leaves_while_its_handshake_waits_is_forgotten(serve, tls):
    with contextlib.ExitStack() as stack:
        listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        address = listener.getsockname()
        clients = [Begun(stack.enter_context(socket.create_connection(address, 10))) for _ in range(20)]
        for client in clients[1::2]:
            client.sock.close()
        served = serve(hello, listeners=[listener], tls=tls)
        assert [client.get()[:12] for client in clients[::2]] == [b'HTTP/1.1 200'] * 10
        served.wait_for(lambda: not (served.core.acceptor.handshakes or served.core.allowance._line))


def test_lane_of_a_connection_is_how_far_it_has_come(serve, tls, monkeypatch):
    """Have each call wait: set-up, our part of the handshake, its end, the first request, the next."""
    put_off, lanes = Allowance.put_off, []

    def note_lane(self, reader, call, *arguments):
        lanes.append(reader.lane)
        put_off(self, reader, call, *arguments)

    monkeypatch.setattr('granian.core.loop.allowance.UNWATCHED', 0)
    monkeypatch.setattr(Allowance, '_goes_on', lambda self: False)
    monkeypatch.setattr(Allowance, 'put_off', note_lane)
    served = serve(hello, tls=tls)
    client = wrapped(served, 'http/1.1')
    served.wait_for(lambda: served.core.connections)
    for _ in range(2):
        assert client.get()[0] == 200
    assert lanes == [SET_UP, HELLO, FINISHED, FIRST, LITTLE]


def test_a_silent_client_costs_only_its_timeout(serve, tls):
    served = serve(hello, tls=tls, handshake_timeout=0.2)
    silent = served.connect()
    assert silent.closed()
    half = served.connect()
    half.send(b'\x16\x03\x01')
    half.rest()
    served.core.acceptor.handshake_timeout = 30  # on a starved machine a handshake takes longer
    served.connect()
    served.wait_for(lambda: served.core.acceptor.handshakes)
    assert wrapped(served, 'http/1.1').get()[0] == 200


def test_a_silent_client_does_not_hold_the_stop(serve, tls):
    served = serve(hello, tls=tls, handshake_timeout=30)
    served.connect()
    served.wait_for(lambda: served.core.acceptor.handshakes)
    begun = time.monotonic()
    served.stop()
    assert time.monotonic() - begun < 10


def test_first_request_over_tls_may_come_late_at_a_reload(serve, tls, monkeypatch):
    """Wait for a client in any state of its handshake, however long ago it connected."""
    monkeypatch.setattr(deadlines, 'RECENT', 0)
    served = serve(hello, tls=tls)
    raw, ready = served.connect(), wrapped(served, 'http/1.1')
    begun = Begun(served.connect().sock)
    served.wait_for(lambda: len(served.core.acceptor.handshakes) == 2)
    served.begin_stop(True)
    served.wait_for(lambda: served.core._stop_told)
    raw.sock = client_context('http/1.1').wrap_socket(raw.sock)
    for client in (raw, ready):
        assert client.get()[0] == 200
    assert begun.get().startswith(b'HTTP/1.1 200 ')
    served.stop()


def test_http2_client_without_a_request_is_told_at_a_reload(serve, tls):
    """Send a GOAWAY that names no stream: the client may repeat its requests elsewhere."""
    served = serve(hello, tls=tls)
    sock = wrapped(served, 'h2').sock
    served.wait_for(lambda: served.core.connections)
    served.begin_stop(True)
    client = Http2Client(sock)
    with contextlib.suppress(OSError):
        client.read_to_end()
    assert client.goaways[-1] == (0, 0)
    served.stop()


def test_a_broken_handshake(serve, tls):
    served = serve(hello, tls=tls)
    client = served.connect()
    client.send(b'\x16\x03\x01\x00\x05hello' + b'\0' * 100)
    client.rest()
    assert wrapped(served, 'http/1.1').get()[0] == 200


def test_the_response_survives_an_unread_body_over_tls(serve, tls):
    client = wrapped(serve(hello, tls=tls), 'http/1.1')
    size = 1 << 20
    client.send(b'POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % size)
    try:
        for _ in range(16):
            client.send(b'x' * 65536)
    except OSError:
        pass
    assert client.response()[0] == 200


def test_response_follows_the_clients_close_notify(serve, tls):
    go_on = asyncio.Event()

    async def handler(stream):
        await go_on.wait()
        stream.respond(200, PLAIN, b'x' * 100_000)

    served = serve(handler, tls=tls)
    client = HalfClosing(served.connect().sock)
    client.send_and_end(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: [each for each in served.core.running if each.client_left])
    served.call(go_on.set)
    assert client.rest().endswith(b'x' * 100_000)


def test_refused_head_over_tls_ends_at_once(serve, tls, monkeypatch):
    monkeypatch.setattr('granian.core.loop.deadlines.LINGER', 60)
    client = wrapped(serve(hello, tls=tls), 'http/1.1')
    client.send(b'GET / HTTP/1.1\r\nHost : x\r\n\r\n')
    assert client.rest().startswith(b'HTTP/1.1 400')


def test_clear_text_without_end_on_a_tls_port(serve, tls):
    served = serve(hello, tls=tls)
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    assert client.response()[0] == 400
    client.send(b'x' * 100_000)
    assert wrapped(served, 'http/1.1').get()[0] == 200


def test_large_bodies_over_tls(serve, tls):
    async def handler(stream):
        size = 0
        while piece := await stream.read():
            size += len(piece)
        stream.respond(200, PLAIN, b'y' * size)

    client = wrapped(serve(handler, tls=tls), 'http/1.1')
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n' + b'x' * 3_000_000)
    assert client.response()[2] == b'y' * 3_000_000


def test_files_over_tls(serve, tls, tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(b'x' * 1_000_000)

    async def handler(stream):
        stream.send_response(200, [(b'content-length', b'1000000')])
        with path.open('rb') as file:
            await stream.send_file(file, 0, 1_000_000)
        stream.send_end()

    assert wrapped(serve(handler, tls=tls), 'http/1.1').get()[2] == b'x' * 1_000_000


def prior_knowledge():
    return httpx.Client(http1=False, http2=True, trust_env=False, timeout=30)


def test_http2_by_prior_knowledge(serve):
    async def echo(stream):
        pieces = []
        while piece := await stream.read():
            pieces.append(piece)
        stream.respond(200, PLAIN, b''.join(pieces))

    served = serve(echo)
    with prior_knowledge() as client:
        url = f'http://127.0.0.1:{served.address[1]}/'
        assert client.get(url).http_version == 'HTTP/2'
        body = b'0123456789' * 300_000
        assert client.post(url, content=body).content == body


def test_http2_body_larger_than_every_window(serve):
    async def handler(stream):
        stream.send_response(200, [])
        for _ in range(200):
            stream.send_data(b'x' * 50_000)
            if stream.congested:
                await stream.drain()
        stream.send_end()

    served = serve(handler)
    with prior_knowledge() as client:
        assert len(client.get(f'http://127.0.0.1:{served.address[1]}/').content) == 10_000_000


def test_http2_upload_stops_when_nobody_reads(serve):
    """Credit goes back when the handler reads, not when bytes arrive."""

    async def handler(stream):
        total = 0
        while piece := await stream.read():
            total += len(piece)
            high.append(stream.buffered)
            await asyncio.sleep(0)
        stream.respond(200, PLAIN, b'%d' % total)

    high = []
    served = serve(handler, limits=Limits(initial_stream_window_size=65535))
    with prior_knowledge() as client:
        response = client.post(f'http://127.0.0.1:{served.address[1]}/', content=b'x' * 3_000_000)
        assert response.text == '3000000'
    assert max(high) <= 65535


def test_http2_streams_run_side_by_side_and_stop_waits_for_them(serve):
    async def handler(stream):
        started.append(stream.head.path)
        while len(started) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        served.begin_stop()
        await asyncio.sleep(0.05)
        stream.respond(200, PLAIN, stream.head.path.encode())

    started = []
    served = serve(handler)
    client = served.connect()
    # h2's client as an encoder only: it takes nothing more once it has seen GOAWAY.
    encoder = h2.connection.H2Connection()
    encoder.initiate_connection()
    for number in range(5):
        fields = [(':method', 'GET'), (':path', f'/{number}'), (':scheme', 'http'), (':authority', 'x')]
        encoder.send_headers(1 + 2 * number, fields, end_stream=True)
    client.send(encoder.data_to_send())
    answers = {}
    goaways = 0
    while len(answers) < 5:
        frame, length = Frame.parse_frame_header(memoryview(client.exactly(9)))
        frame.parse_body(memoryview(client.exactly(length)))
        if isinstance(frame, DataFrame):
            answers[frame.stream_id] = frame.data
        goaways += isinstance(frame, GoAwayFrame)
    assert answers == {1 + 2 * n: b'/%d' % n for n in range(5)}
    assert goaways
    client.close()
    served.stop()


def test_http1_where_only_http2_is_spoken(serve):
    client = serve(hello, http='2').connect()
    assert client.get()[0] == 505
    assert client.closed()


def test_http2_preface_where_only_http1_is_spoken(serve):
    client = serve(hello, http='1').connect()
    client.send(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    assert client.head()[0] == 505


def test_preface_in_pieces(serve):
    client = serve(hello).connect()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.send(b'PRI * HT')
    client.send(b'TP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0\x04\0\0\0\0\0')
    assert client.exactly(9)[3] == 4  # a SETTINGS frame


def exchange_settings(client):
    client.send(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0\x04\0\0\0\0\0' + b'\0\0\0\x04\1\0\0\0\0')


def next_frame(client):
    frame, length = Frame.parse_frame_header(memoryview(client.exactly(9)))
    frame.parse_body(memoryview(client.exactly(length)))
    return frame


def test_http2_keep_alive(serve):
    served = serve(hello, http2_keep_alive_interval=0.05, http2_keep_alive_timeout=0.3)
    client = served.connect()
    exchange_settings(client)
    answered = 0
    while answered < 3:
        frame = next_frame(client)
        if isinstance(frame, PingFrame):
            client.send(PingFrame(0, frame.opaque_data, flags=['ACK']).serialize())
            answered += 1
    client.rest()  # no answer any more: the end
    served.wait_for(lambda: not served.core.connections)


def test_a_reset_stream_keeps_its_place_until_its_handler_has_ended(serve):
    async def handler(stream):
        with contextlib.suppress(asyncio.CancelledError):
            await go.wait()

    served = serve(handler)
    go = served.call(asyncio.Event)
    client = served.connect()
    encoder = h2.connection.H2Connection()
    encoder.initiate_connection()
    fields = [(':method', 'GET'), (':path', '/'), (':scheme', 'http'), (':authority', 'x')]
    encoder.send_headers(1, fields, end_stream=True)
    client.send(encoder.data_to_send())
    served.wait_for(lambda: served.core.running)
    (connection,) = served.core.connections
    encoder.reset_stream(1)
    client.send(encoder.data_to_send())
    served.wait_for(lambda: not connection.streams)
    assert served.call(lambda: (len(served.core.running), connection.protocol.idle)) == (1, False)
    served.loop.call_soon_threadsafe(go.set)
    served.wait_for(lambda: connection.protocol.idle)
