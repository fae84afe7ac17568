"""Turns of the loop for responses that send much."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from types import SimpleNamespace
from typing import Any

from granian.core.contract import CoreSettings
from granian.core.loop.allowance import Allowance
from granian.core.loop.input import READ_AT_ONCE, LoopInput, bound_read
from granian.core.loop.output import LoopOutput
from granian.protocol.limits import WRITES
from granian.turns import IN_TURN, TURN, Turns
from tests.support.turns import turns as run

PLAIN = [(b'content-type', b'text/plain')]


def allowance(loop: asyncio.AbstractEventLoop) -> Allowance:
    return Allowance(loop, contextvars.copy_context(), ())


async def take(turns: Turns) -> None:
    turn = turns.ask()
    if turn is not None:
        await turn


def test_turns_of_one_turn_of_the_loop_are_bounded() -> None:
    given = []

    async def sender(turns: Turns, name: int) -> None:
        for _ in range(3):
            await take(turns)
            given.append(name)

    async def main() -> None:
        turns = Turns(asyncio.get_running_loop())
        tasks = [asyncio.create_task(sender(turns, name)) for name in range(100)]
        while not all(task.done() for task in tasks):
            before = len(given)
            await asyncio.sleep(0)
            assert len(given) - before <= IN_TURN

    asyncio.run(main())
    assert len(given) == 300


class Endless:
    """A connection whose streams have more output than its socket has room."""

    holds_back = True
    parts = 0

    def send_more(self) -> list[int]:
        self.parts += 1
        return []

    def data_to_send(self) -> bytes:
        return b'x'


def test_client_that_takes_everything_leaves_turns_to_others() -> None:
    http2: Any = Endless()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        output: LoopOutput[Any] = LoopOutput(loop, CoreSettings(), allowance(loop))
        output.transport = SimpleNamespace(write=len, is_closing=lambda: False)
        output.http2 = http2
        output.flush()
        for turn in range(1, 4):
            assert http2.parts == turn * WRITES
            await asyncio.sleep(0)

    asyncio.run(main())


def test_turns_are_given_in_order() -> None:
    given = []

    async def sender(turns: Turns, name: int) -> None:
        await take(turns)
        given.append(name)

    async def main() -> None:
        turns = Turns(asyncio.get_running_loop())
        await asyncio.gather(*(sender(turns, name) for name in range(100)))

    asyncio.run(main())
    assert given == list(range(100))


def test_single_sender_waits_once_in_many_turns() -> None:
    async def main() -> None:
        turns = Turns(asyncio.get_running_loop())
        seen = []
        asyncio.get_running_loop().call_soon(seen.append, 'other')
        for _ in range(IN_TURN):
            await take(turns)
        assert seen == []
        await take(turns)
        assert seen == ['other']

    asyncio.run(main())


def test_cancelled_sender_takes_no_turn() -> None:
    async def main() -> None:
        turns = Turns(asyncio.get_running_loop())
        waiting = [asyncio.create_task(take(turns)) for _ in range(3 * IN_TURN)]
        await asyncio.sleep(0)
        waiting[IN_TURN].cancel()
        await run()
        assert [task.cancelled() for task in waiting].index(True) == IN_TURN
        assert all(task.done() for task in waiting)

    asyncio.run(main())


def test_bytes_sent_in_one_turn_are_bounded_however_many_send(serve) -> None:  # type: ignore[no-untyped-def]
    """Begin 60 responses that no client reads: their first 64 KiB, then 1 MiB of all in a turn."""
    sent, counted = [0], []

    async def handler(stream) -> None:  # type: ignore[no-untyped-def]
        loop = asyncio.get_running_loop()
        stream.send_response(200, PLAIN)
        for number in range(4):
            stream.send_data(b'x' * TURN)
            if number:
                if not sent[-1]:
                    loop.call_soon(sent.append, 0)
                sent[-1] += TURN
            await stream.take_turn()
        stream.send_end()
        counted.append(stream)

    served = serve(handler)
    clients = [served.connect() for _ in range(60)]
    for client in clients:
        client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: len(counted) == 60)
    assert sum(sent) == 60 * 3 * TURN
    assert max(sent) <= 2 * IN_TURN * TURN


def test_asyncio_read_allocates_no_more_than_its_bound() -> None:
    """Bound each read: asyncio closes the connection where 256 KiB cannot be allocated."""
    pieces: list[int] = []

    class Reader(LoopInput):
        def connection_made(self, transport: Any) -> None:
            bound_read(transport)

        def data_received(self, data: bytes) -> None:
            pieces.append(len(data))

    async def main() -> None:
        client, server = socket.socketpair()
        with client:
            client.setblocking(False)
            client.send(b'x' * (4 * READ_AT_ONCE))
            loop = asyncio.get_running_loop()
            reader: Reader = Reader(loop, CoreSettings(), allowance(loop))
            transport, _ = await loop.connect_accepted_socket(lambda: reader, server)
            await run()
            transport.close()

    asyncio.run(main())
    assert max(pieces) == READ_AT_ONCE
