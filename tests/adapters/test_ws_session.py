from __future__ import annotations

import asyncio
import functools
from array import array

import pytest

from granian.protocol.http1.grammar import parse_head
from granian.protocol.interface import InvalidResponse
from granian.protocol.limits import Limits
from granian.protocol.websocket.codec import FRAMES_AT_ONCE, PINGS_PER_FRAME
from granian.stream import ClientDisconnected
from granian.websocket_session import (
    Closed,
    WebSocketClosed,
    WebSocketSession,
    WebSocketSettings,
    open_session,
)
from granian.websocket_session.inbox import MOST_BYTES
from tests.support.rows import rows
from tests.support.turns import take_turn
from tests.support.ws_frames import binary, close, frame, text

PINGS_AT_ONCE = FRAMES_AT_ONCE * PINGS_PER_FRAME
HANDSHAKE = {
    'Host': 'h',
    'Upgrade': 'websocket',
    'Connection': 'keep-alive, Upgrade',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
}


def head(request: str = 'GET /chat HTTP/1.1', extra: str = '', **changed: str | None):
    fields = HANDSHAKE | {name.replace('_', '-'): value for name, value in changed.items()}
    lines = ''.join(f'{name}: {value}\r\n' for name, value in fields.items() if value is not None)
    return parse_head(f'{request}\r\n{lines}{extra}'.removesuffix('\r\n').encode(), Limits())


class Stream:
    """An AsyncStream that keeps what it is told. `congestion` is an event to wait for, or None."""

    def __init__(self, request=None):
        self.head = request or head()
        self.disconnected = False
        self.on_shutdown = self.on_disconnect = None
        self.ended = asyncio.Event()
        self.congestion: asyncio.Event | None = None
        self.log: list = []
        self.sent = b''
        self.bytes_sent = 0
        self.receiver = None
        self.reading = True

    def accept_websocket(self, headers, receiver):
        if any(b'\n' in value for _, value in headers):
            raise InvalidResponse('a line end in a header')
        self.log.append(('accept', dict(headers)))
        self.receiver = receiver

    def respond(self, status, headers, body):
        self.log.append(('respond', status, dict(headers), body))

    def send_data(self, data):
        self.sent += data
        self.bytes_sent += len(data)

    def send_end(self):
        self.log.append('end')
        self.ended.set()

    def abort(self):
        self.log.append('abort')

    def pause_reading(self):
        assert self.reading
        self.reading = False

    def resume_reading(self):
        assert not self.reading
        self.reading = True

    @property
    def congested(self):
        return self.congestion is not None and not self.congestion.is_set()

    take_turn = take_turn

    async def drain(self):
        await self.congestion.wait()

    def lose(self):
        self.disconnected = True
        self.on_disconnect()

    def take(self) -> bytes:
        sent, self.sent = self.sent, b''
        return sent


def on_loop(test):
    """Run a test on a loop; an error that the loop caught, or a task left over, fails it."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        async def main():
            errors = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
            await test(*args, **kwargs)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not errors

        asyncio.run(main())

    return run


def session(stream: Stream, **settings) -> WebSocketSession:
    made = open_session(stream, WebSocketSettings(**settings))
    assert made is not None
    return made


async def accepted(stream: Stream | None = None, **settings) -> tuple[Stream, WebSocketSession]:
    stream = stream or Stream()
    made = session(stream, **settings)
    await made.accept()
    return stream, made


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@on_loop
async def test_sends_that_never_wait_leave_turns_to_other_tasks():
    _, ws = await accepted()
    ran = []

    async def count():
        while True:
            ran.append(1)
            await asyncio.sleep(0)

    other = asyncio.ensure_future(count())
    for _ in range(64):
        await ws.send(b'x' * 65536)
    other.cancel()
    ws._abort()
    assert len(ran) >= 3


# the handshake


@on_loop
async def test_accept():
    stream, ws = await accepted()
    assert stream.log == [('accept', {b'sec-websocket-accept': b's3pPLMBiTxaQ9kYGzzhZRbK+xOo='})]
    assert ws.accepted
    assert not ws.closed
    with pytest.raises(RuntimeError):
        await ws.accept()
    with pytest.raises(RuntimeError):
        ws.refuse()
    ws._abort()


@on_loop
async def test_accept_with_a_subprotocol_headers_and_compression():
    request = head(
        Sec_WebSocket_Protocol='chat, superchat',
        Sec_WebSocket_Extensions='permessage-deflate',
        extra='Sec-WebSocket-Protocol: third\r\n',
    )
    stream = Stream(request)
    ws = session(stream)
    assert ws.subprotocols == ['chat', 'superchat', 'third']
    with pytest.raises(InvalidResponse, match='not offered'):
        await ws.accept('other')
    with pytest.raises(InvalidResponse):
        await ws.accept(None, [(b'x', b'a\nb')])
    assert not ws.accepted
    await ws.accept(
        'superchat', [(b'X-A', b'1'), (b'Sec-WebSocket-Accept', b'forged'), (b'connection', b'close')]
    )
    ((_, headers),) = stream.log
    assert headers == {
        b'sec-websocket-accept': b's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
        b'sec-websocket-protocol': b'superchat',
        b'sec-websocket-extensions': b'permessage-deflate; server_max_window_bits=12',
        b'X-A': b'1',
    }
    ws._abort()


@on_loop
async def test_compression_can_be_turned_off():
    stream = Stream(head(Sec_WebSocket_Extensions='permessage-deflate'))
    _, ws = await accepted(stream, per_message_deflate=False)
    assert list(stream.log[0][1]) == [b'sec-websocket-accept']
    ws._abort()


@rows(
    ('request_head', 'status'),
    [
        (lambda: head(Sec_WebSocket_Key=None), 400),
        (lambda: head(Sec_WebSocket_Key='AAAA'), 400),
        (lambda: head(Sec_WebSocket_Key='!' * 24), 400),
        (lambda: head(Sec_WebSocket_Version=None), 400),
        (lambda: head(Sec_WebSocket_Version='8'), 426),
        (lambda: head('POST /chat HTTP/1.1', Content_Length='0'), 400),
        (lambda: head(Content_Length='4'), 400),
        (lambda: head(Sec_WebSocket_Protocol='a b'), 400),
    ],
)
def test_handshakes_that_are_refused(request_head, status):
    @on_loop
    async def refused():
        stream = Stream(request_head())
        assert open_session(stream, WebSocketSettings()) is None
        ((kind, answered, headers, body),) = stream.log
        assert (kind, answered) == ('respond', status)
        assert body
        assert (headers.get(b'sec-websocket-version') == b'13') is (status == 426)

    refused()


@on_loop
async def test_on_http2_there_is_no_key():
    request = head('GET / HTTP/1.1', Sec_WebSocket_Key=None, Connection=None, Upgrade=None)
    request.version, request.method, request.upgrade = '2', 'CONNECT', 'websocket'
    stream, ws = await accepted(Stream(request))
    assert stream.log == [('accept', {})]
    ws._abort()


@on_loop
async def test_refuse():
    stream = Stream()
    ws = session(stream)
    ws.refuse(401, [(b'a', b'b')], b'no')
    assert stream.log == [('respond', 401, {b'a': b'b'}, b'no')]
    assert ws.closed
    assert await ws.receive() == Closed(1006, '')
    with pytest.raises(RuntimeError):
        await ws.accept()
    with pytest.raises(RuntimeError):
        await ws.send('x')
    await ws.close()
    await ws.finish()
    assert len(stream.log) == 1


@on_loop
async def test_before_accept_nothing_is_sent_and_receive_waits_for_the_client_to_go():
    stream = Stream()
    ws = session(stream)
    for call in (ws.send('x'), ws.close()):
        with pytest.raises(RuntimeError, match='before'):
            await call
    waiting = asyncio.ensure_future(ws.receive())
    await turns()
    stream.lose()
    assert await waiting == Closed(1006, '')
    await ws.accept()
    assert await ws.receive() == Closed(1006, '')
    with pytest.raises(WebSocketClosed):
        await ws.send('x')
    await ws.finish()


@on_loop
async def test_receive_before_accept_goes_on_after_it():
    stream = Stream()
    ws = session(stream)
    waiting = asyncio.ensure_future(ws.receive())
    await turns()
    await ws.accept()
    stream.receiver(text('hi'))
    assert await waiting == 'hi'
    ws._abort()


# messages


@on_loop
async def test_messages_both_ways():
    stream, ws = await accepted()
    stream.receiver(text('a') + binary(b'b'))
    assert [await ws.receive(), await ws.receive()] == ['a', b'b']
    for message in ('x', b'y', bytearray(b'z'), memoryview(b'w')):
        await ws.send(message)
    await ws.send(memoryview(array('H', [1, 2])))
    assert stream.take() == b'\x81\x01x\x82\x01y\x82\x01z\x82\x01w\x82\x04' + array('H', [1, 2]).tobytes()
    with pytest.raises(TypeError, match='int'):
        await ws.send(5)
    ws._abort()


@on_loop
async def test_a_waiting_receive_gets_the_first_of_several_messages():
    stream, ws = await accepted()
    waiting = asyncio.ensure_future(ws.receive())
    await turns()
    with pytest.raises(RuntimeError, match='another task'):
        await ws.receive()
    stream.receiver(text('a') + text('b'))
    assert await waiting == 'a'
    assert await ws.receive() == 'b'
    ws._abort()


@on_loop
async def test_a_cancelled_receive_loses_nothing():
    stream, ws = await accepted()
    waiting = asyncio.ensure_future(ws.receive())
    await turns()
    stream.receiver(text('a') + text('b'))
    waiting.cancel()  # after the message was delivered, before the task ran
    with pytest.raises(asyncio.CancelledError):
        await waiting
    waiting = asyncio.ensure_future(ws.receive())
    assert await waiting == 'a'
    assert await ws.receive() == 'b'
    waiting = asyncio.ensure_future(ws.receive())
    await turns()
    waiting.cancel()
    stream.receiver(text('c'))
    await asyncio.wait([waiting])
    assert await ws.receive() == 'c'
    ws._abort()


@on_loop
async def test_reading_pauses_when_the_queue_is_full():
    stream, ws = await accepted(max_queue=4)
    stream.receiver(b''.join(text(str(i)) for i in range(11)))
    assert not stream.reading
    got = [await ws.receive(), await ws.receive()]
    assert not stream.reading  # room was filled from what had been read
    while not stream.reading:
        got.append(await ws.receive())
        await turns(1)
    stream.receiver(close())
    while isinstance(message := await ws.receive(), str):
        got.append(message)
    assert got == [str(i) for i in range(11)]
    assert message == Closed(1000, '')


@on_loop
async def test_reading_pauses_when_the_waiting_messages_are_large():
    stream, ws = await accepted()
    part = MOST_BYTES // 4
    stream.receiver(binary(b'x' * part) * 3)
    assert stream.reading
    stream.receiver(text('é' * part))
    assert not stream.reading
    await ws.receive()
    await turns(1)
    assert not stream.reading
    await ws.receive()
    await ws.receive()
    await turns(1)
    assert stream.reading
    ws._abort()


@on_loop
async def test_message_larger_than_the_queue_passes():
    stream, ws = await accepted()
    message = binary(b'x' * MOST_BYTES * 2)
    for _ in range(3):
        stream.receiver(message)
        assert not stream.reading
        assert await ws.receive() == b'x' * MOST_BYTES * 2
        await turns(1)
        assert stream.reading
    ws._abort()


@on_loop
async def test_characters_count_by_their_memory():
    stream, ws = await accepted()
    stream.receiver(text('€' * (MOST_BYTES // 2)))
    assert not stream.reading
    ws._abort()


@on_loop
async def test_send_waits_for_a_slow_client():
    stream, ws = await accepted()
    stream.congestion = asyncio.Event()
    sending = asyncio.ensure_future(ws.send('x'))
    await turns()
    assert not sending.done()
    stream.congestion.set()
    await sending
    ws._abort()


# control frames


@on_loop
async def test_pings_are_answered_and_not_read_without_end():
    stream, ws = await accepted()
    stream.receiver(frame(9, b'1'))
    assert stream.take() == b'\x8a\x011'
    stream.congestion = asyncio.Event()
    stream.receiver(frame(9, b'2') * (PINGS_AT_ONCE + 4))
    assert stream.take() == b'\x8a\x012' * PINGS_AT_ONCE
    assert not stream.reading
    await turns()
    stream.congestion.set()
    await turns()
    assert stream.take() == b'\x8a\x012' * 4
    assert stream.reading
    ws._abort()


@on_loop
async def test_answer_to_close_is_read_from_a_client_that_was_slow():
    stream, ws = await accepted()
    stream.congestion = asyncio.Event()
    stream.receiver(frame(9))
    assert not stream.reading
    finished = asyncio.ensure_future(ws.finish())
    await turns()
    stream.congestion.set()
    await turns()
    assert stream.reading
    stream.receiver(frame(8, (1000).to_bytes(2, 'big')))
    await turns()
    assert finished.done()
    assert stream.ended.is_set()


@on_loop
async def test_flood_of_pings_is_answered_over_several_turns():
    stream, ws = await accepted()
    stream.receiver(frame(9) * PINGS_AT_ONCE * 3)
    for turn in range(1, 3):
        assert len(stream.take()) == PINGS_AT_ONCE * 2, turn
        assert not stream.reading
        await turns(1)
    assert len(stream.take()) == PINGS_AT_ONCE * 2
    assert stream.reading
    ws._abort()


@on_loop
async def test_flood_of_fragments_is_joined_over_several_turns():
    stream, ws = await accepted()
    count = FRAMES_AT_ONCE * 3
    stream.receiver(text('a', fin=False) + frame(0, b'a', fin=False) * (count - 2) + frame(0, b'a'))
    assert not stream.reading
    assert await ws.receive() == 'a' * count
    assert stream.reading
    ws._abort()


@on_loop
async def test_flood_of_a_lost_client_is_not_handled_further():
    stream, ws = await accepted()
    stream.receiver(frame(9) * PINGS_AT_ONCE * 3)
    stream.take()
    stream.lose()
    await turns()
    assert stream.take() == b''
    assert not stream.reading
    assert await ws.receive() == Closed(1006, '')


@on_loop
async def test_flood_of_an_aborted_session_is_not_handled_further():
    stream, ws = await accepted()
    stream.receiver(frame(9) * PINGS_AT_ONCE * 3)
    stream.take()
    ws._abort()
    await turns()
    assert stream.take() == b''
    assert not stream.reading


@on_loop
async def test_receive_does_not_refill_its_queue_in_the_same_turn():
    stream, ws = await accepted(max_queue=4)
    stream.receiver(text('x') * 100)
    received = 0

    async def receive_all():
        nonlocal received
        while True:
            await ws.receive()
            received += 1

    receiving = asyncio.ensure_future(receive_all())
    await turns(1)
    assert received == 4
    await turns(200)
    assert received == 100
    receiving.cancel()
    await asyncio.wait([receiving])
    ws._abort()


@on_loop
async def test_messages_after_our_close_are_discarded_over_several_turns():
    stream, ws = await accepted()
    await ws.close()
    stream.receiver(text('') * 5000 + close())
    assert not stream.reading
    assert 'end' not in stream.log
    await ws.finish()
    assert 'end' in stream.log
    assert ws.closed


@on_loop
async def test_no_sign_of_life_after_a_ping():
    stream, ws = await accepted(ping_interval=0.01, ping_timeout=0.01)
    assert await ws.receive() == Closed(1006, '')
    sent = stream.take()
    assert sent.startswith(b'\x89\x00\x88')
    assert sent[4:6] == (1011).to_bytes(2, 'big')
    assert stream.log[-1] == 'abort'
    with pytest.raises(WebSocketClosed):
        await ws.send('x')
    await ws.finish()


@on_loop
async def test_pongs_keep_it_alive():
    stream, ws = await accepted(ping_interval=0.005, ping_timeout=0.05)
    pings = 0
    while pings < 15:
        await asyncio.sleep(0.001)
        for _ in range(stream.take().count(b'\x89\x00')):
            pings += 1
            stream.receiver(frame(10))
    assert not ws.closed
    ws._abort()


@on_loop
async def test_without_an_interval_there_are_no_pings():
    _, ws = await accepted(ping_interval=None)
    assert ws._keep_alive is None
    ws._abort()


# the end


@on_loop
async def test_the_clients_close_is_answered_at_once_when_the_application_waits():
    stream, ws = await accepted()
    waiting = asyncio.ensure_future(ws.receive())
    await turns()
    stream.receiver(close(4001, b'bye'))
    assert stream.take() == b'\x88\x02\x0f\xa1'
    assert stream.log[-1] == 'end'
    assert await waiting == Closed(4001, 'bye')
    assert await ws.receive() == Closed(4001, 'bye')
    assert ws.closed
    with pytest.raises(ClientDisconnected):
        await ws.send('x')
    await ws.close()
    await ws.finish()
    stream.receiver(b'')
    assert stream.log.count('end') == 1


@on_loop
async def test_messages_before_a_close_or_a_violation_can_be_answered():
    for last, answer in ((close(1000), b'\x88\x02\x03\xe8'), (frame(3), b'\x88')):
        stream, ws = await accepted()
        stream.receiver(text('a') + last)
        assert await ws.receive() == 'a'
        await ws.send('a')
        assert stream.take() == b'\x81\x01a'
        assert (await ws.receive()).code in (1000, 1002)
        assert stream.take().startswith(answer)
        assert stream.log[-1] == 'end'


@on_loop
async def test_a_close_is_answered_after_a_while_when_the_application_does_not_receive(monkeypatch):
    monkeypatch.setattr('granian.websocket_session.session._LAST_WORD', 0.01)
    stream, ws = await accepted()
    stream.receiver(text('a') + close(1000))
    await asyncio.wait_for(stream.ended.wait(), 10)
    assert stream.take() == b'\x88\x02\x03\xe8'
    with pytest.raises(WebSocketClosed):
        await ws.send('late')
    assert [await ws.receive(), await ws.receive()] == ['a', Closed(1000, '')]


@on_loop
async def test_half_close_behind_the_close_frame_leaves_the_last_word():
    stream, ws = await accepted()
    stream.receiver(text('a') + close(1000))
    stream.receiver(b'')
    assert await ws.receive() == 'a'
    await ws.send('b')
    assert await ws.receive() == Closed(1000, '')
    assert stream.take() == b'\x81\x01b\x88\x02\x03\xe8'
    assert stream.log[-1] == 'end'


@on_loop
async def test_client_that_is_lost_behind_its_close_frame_has_no_last_word():
    stream, ws = await accepted()
    stream.receiver(text('a') + close(1000))
    stream.lose()
    assert stream.log[-1] == 'end'
    assert await ws.receive() == 'a'
    with pytest.raises(WebSocketClosed):
        await ws.send('b')
    assert await ws.receive() == Closed(1000, '')
    await ws.finish()


@on_loop
async def test_end_of_input_behind_a_flood_needs_no_lingering():
    stream, ws = await accepted(max_message_size=3)
    stream.receiver(text('a') + text('four'))
    stream.receiver(b'')
    assert [await ws.receive(), (await ws.receive()).code] == ['a', 1009]
    assert stream.log[-1] == 'end'


@on_loop
async def test_our_close():
    stream, ws = await accepted()
    stream.receiver(text('unread'))
    await ws.close(4000, 'enough')
    assert stream.take() == b'\x88\x08\x0f\xa0enough'
    assert await ws.receive() == Closed(4000, 'enough')
    assert ws.closed
    with pytest.raises(WebSocketClosed):
        await ws.send('x')
    finishing = asyncio.ensure_future(ws.finish())
    await turns()
    assert not finishing.done()
    stream.receiver(text('still coming') + frame(9))
    assert stream.take() == b''
    stream.receiver(close(4000))
    await finishing
    assert stream.log[-1] == 'end'


@on_loop
async def test_our_close_with_a_full_queue_reads_on_to_the_answer():
    stream, ws = await accepted(max_queue=2)
    stream.receiver(text('x') * 10)
    assert not stream.reading
    await ws.close()
    await turns(1)
    assert stream.reading
    stream.receiver(close())
    assert stream.log[-1] == 'end'
    await ws.finish()


@on_loop
async def test_our_close_wakes_a_waiting_receive():
    _stream, ws = await accepted()
    waiting = asyncio.ensure_future(ws.receive())
    await turns()
    await ws.close(3000)
    assert await waiting == Closed(3000, '')
    ws._abort()


@on_loop
async def test_a_client_that_does_not_answer_our_close():
    stream, ws = await accepted(close_timeout=0.01)
    await ws.finish()
    assert stream.take() == b'\x88\x02\x03\xe8'
    assert stream.log[-1] == 'abort'


@rows('code', [1005, 1006, 1015, 999, 5000])
def test_a_code_that_cannot_be_sent_is_refused_in_any_state(code):
    @on_loop
    async def refused():
        _, ws = await accepted()
        with pytest.raises(ValueError, match=str(code)):
            await ws.close(code)
        assert not ws.closed
        ws._abort()

    refused()


@on_loop
async def test_the_client_goes_without_a_word():
    stream, ws = await accepted()
    stream.receiver(text('a'))
    stream.receiver(b'')
    assert await ws.receive() == 'a'
    assert await ws.receive() == Closed(1006, '')
    assert stream.log[-1] == 'end'
    with pytest.raises(WebSocketClosed):
        await ws.send('x')
    await ws.finish(1011)
    assert stream.take() == b''


@on_loop
async def test_the_client_is_lost_while_reading_is_paused():
    stream, ws = await accepted(max_queue=2)
    stream.receiver(text('a') * 3)
    assert not stream.reading
    stream.on_disconnect()  # half-closed: what it sent is still good
    assert not ws.closed
    stream.lose()
    assert ws.closed
    with pytest.raises(WebSocketClosed):
        await ws.send('x')
    assert [await ws.receive() for _ in range(3)] == ['a', 'a', Closed(1006, '')]
    await ws.finish()


@on_loop
async def test_too_big_a_message_is_read_to_its_end_before_the_connection_is(monkeypatch):
    monkeypatch.setattr('granian.websocket_session.session._LINGER', 0.01)
    stream, ws = await accepted(max_message_size=10)
    stream.receiver(binary(b'x' * 100)[:20])
    assert (await ws.receive()).code == 1009
    assert stream.take()[2:4] == (1009).to_bytes(2, 'big')
    assert 'end' not in stream.log
    stream.receiver(b'x' * 88)
    await ws.finish()
    assert stream.log[-1] == 'end'


@on_loop
async def test_a_close_frame_that_says_1009_is_a_close_like_others():
    stream, ws = await accepted()
    stream.receiver(close(1009))
    assert (await ws.receive()).code == 1009
    assert stream.log[-1] == 'end'


@on_loop
async def test_shutdown():
    for reload, code in ((False, 1001), (True, 1012)):
        stream, ws = await accepted()
        waiting = asyncio.ensure_future(ws.receive())
        await turns()
        stream.on_shutdown(reload)
        assert await waiting == Closed(code, '')
        assert stream.take() == b'\x88\x02' + code.to_bytes(2, 'big')
        stream.receiver(close(code))
        await ws.finish()
        stream = Stream()
        ws = session(stream)
        waiting = asyncio.ensure_future(ws.receive())
        await turns()
        stream.on_shutdown(reload)
        assert await waiting == Closed(code, '')
        assert stream.log == [('respond', 503, {}, b'')]


@on_loop
async def test_finish_answers_for_an_application_that_did_not():
    for code, status in ((1000, 403), (1011, 500)):
        stream = Stream()
        await session(stream).finish(code)
        assert stream.log == [('respond', status, {}, b'')]
    stream, ws = await accepted()
    finishing = asyncio.ensure_future(ws.finish(1011))
    await turns()
    assert stream.take() == b'\x88\x02\x03\xf3'
    stream.receiver(b'')
    await finishing
