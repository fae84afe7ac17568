from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress

import pytest

from granian.per_loop import PerLoop
from granian.turns import IN_TURN, turns_of
from granian.websocket_session.line import line_of

FACTORIES = [asyncio.new_event_loop]
with suppress(ImportError):
    import uvloop

    FACTORIES.append(uvloop.new_event_loop)


def test_each_loop_has_one_object():
    made = PerLoop('test', lambda loop: [loop.time()])
    loops = [asyncio.new_event_loop() for _ in range(2)]
    first, second = (made(loop) for loop in loops)
    assert first is not second
    assert made(loops[0]) is first
    for loop in loops:
        loop.close()


@pytest.mark.parametrize('new_event_loop', FACTORIES)
def test_closed_loop_is_freed_with_what_waits_on_it(new_event_loop):
    async def ask() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(IN_TURN + 2):  # two wait
            turns_of(loop).ask()
        line_of(loop).join(lambda: None)

    loop = new_event_loop()
    loop.run_until_complete(ask())
    loop.close()
    ended = weakref.ref(loop)
    del loop
    gc.collect()
    assert ended() is None
