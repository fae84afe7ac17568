from __future__ import annotations

import asyncio
import gc
import weakref

from granian.per_loop import PerLoop


def test_each_loop_has_one_object_as_long_as_it_lives():
    made = PerLoop(lambda loop: [loop.time()])
    loops = [asyncio.new_event_loop() for _ in range(2)]
    first, second = (made(loop) for loop in loops)
    assert first is not second
    assert made(loops[0]) is first
    ended = weakref.ref(loops[0])
    for loop in loops:
        loop.close()
    loops.clear()
    del loop
    gc.collect()
    assert ended() is None
