"""Messages that begin and do not end, of many WebSockets: what they hold together is bounded."""

from __future__ import annotations

import asyncio
import logging
import os
import zlib

import pytest

from granian.protocol.websocket.codec import WebSocket
from granian.protocol.websocket.deflate import DeflateParameters
from granian.websocket_session import Closed, unfinished
from granian.websocket_session.unfinished import unfinished_of
from tests.adapters.test_ws_session import Stream, accepted, head, on_loop
from tests.support.ws_frames import binary, close, frame, text

BEGUN = binary(bytes(60_000), fin=False)
END = frame(0, b'end')


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(unfinished, 'MOST', 100_000)
    monkeypatch.setattr(unfinished, 'MESSAGES', 1)


async def small_one():
    return await accepted(max_message_size=80_000)


def counted() -> int:
    return unfinished_of(asyncio.get_running_loop())._bytes


@on_loop
async def test_oldest_is_closed_and_the_one_that_arrives_is_whole(caplog):
    (old, old_ws), (new, new_ws) = (
        await small_one(),
        await small_one(),
    )
    with caplog.at_level(logging.WARNING, '_granian'):
        old.receiver(BEGUN)
        new.receiver(BEGUN)
    assert await old_ws.receive() == Closed(1013, 'too many messages that have not ended')
    assert old.take() == b'\x88\x27\x03\xf5too many messages that have not ended'
    assert len(caplog.messages) == 1
    assert counted() == 60_000
    new.receiver(END)
    assert await new_ws.receive() == bytes(60_000) + b'end'
    assert counted() == 0
    for ws in old_ws, new_ws:
        ws._abort()


@pytest.mark.parametrize('how', ['ends', 'goes', 'breaks a rule', 'is closed by us'])
@on_loop
async def test_what_has_ended_counts_no_more(how):
    first, ws = await small_one()
    first.receiver(BEGUN)
    assert counted() == 60_000
    if how == 'ends':
        first.receiver(END)
    elif how == 'goes':
        first.lose()
    elif how == 'breaks a rule':
        first.receiver(frame(1, b'within'))
    else:
        ws.start_close(1000)
        first.receiver(END + close())
    assert counted() == 0
    ws._abort()


@on_loop
async def test_message_after_another_is_a_new_one():
    (busy, busy_ws), (stays, stays_ws) = (
        await small_one(),
        await small_one(),
    )
    busy.receiver(BEGUN)
    stays.receiver(binary(bytes(30_000), fin=False))
    busy.receiver(END + binary(bytes(50_000), fin=False))
    busy.receiver(frame(0, bytes(25_000), fin=False))
    assert not busy_ws.closed
    assert stays_ws._codec.state.name == 'CLOSE_DUE'
    for ws in busy_ws, stays_ws:
        ws._abort()


@on_loop
async def test_text_and_the_part_of_a_frame_count():
    stream, _ = await small_one()
    stream.receiver(text('x' * 1000, fin=False))
    stream.receiver(frame(0, bytes(50_000), fin=False)[:10_008])
    assert counted() == 11_000
    stream.receiver(b'')
    assert counted() == 0


@on_loop
async def test_one_message_may_be_as_large_as_is_allowed():
    stream, ws = await accepted(max_message_size=300_000)
    stream.receiver(binary(bytes(290_000), fin=False))
    stream.receiver(END)
    assert await ws.receive() == bytes(290_000) + b'end'
    ws._abort()


@on_loop
async def test_closing_handshake_goes_on_for_one_that_is_given_up_after_our_close():
    (old, old_ws), (new, new_ws) = (
        await small_one(),
        await small_one(),
    )
    old.receiver(BEGUN)
    old_ws.start_close(1000)
    new.receiver(BEGUN)
    assert 'end' in old.log
    assert not new_ws.closed
    for ws in old_ws, new_ws:
        ws._abort()


@on_loop
async def test_compressed_messages_that_wait_for_their_turn_count():
    packer = zlib.compressobj(wbits=-15)
    noise = os.urandom(3_000_000)
    payload = (packer.compress(noise) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    stream, ws = await accepted(
        Stream(head(Sec_WebSocket_Extensions='permessage-deflate')), max_message_size=4_000_000
    )
    stream.receiver(binary(payload, rsv=0x40))
    assert counted() == len(payload)
    assert await ws.receive() == noise
    assert counted() == 0
    ws._abort()


def test_frame_of_a_message_that_is_only_announced_counts_nothing():
    codec = WebSocket(1000)
    codec.receive_data(binary(bytes(900), fin=False)[:8])
    assert codec.next_event() is None
    assert codec.unfinished == 0


def test_one_that_has_ended_cannot_be_given_up():
    codec = WebSocket(1000, DeflateParameters())
    assert codec.give_up() is not None
    assert codec.give_up() is None
    assert codec.unfinished == 0
