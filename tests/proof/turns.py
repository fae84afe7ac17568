"""Measure the longest turn of a core: between two polls it takes no news of any connection.

`proof_apps` imports this in a worker where PROOF_TURNS is set, and answers /turns/x with `take()`. A turn is
measured by its processor time: that says what the server did in it, however busy the machine is.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Any

from granian.core.blocking.poller import EpollPoller
from granian.core.loop.core import LoopCore

BEAT = 0.002
"""Seconds between two looks of an event loop, which cannot be asked when it polls."""


class Longest:
    """Processor time of the longest turn so far, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.seconds = 0.0
        self._since = clock()

    def began(self) -> None:
        self._since = self._clock()

    def ended(self) -> None:
        self.seconds = max(self.seconds, self._clock() - self._since)


_longest: list[Longest] = []


def take() -> bytes:
    """Return the processor time of the longest turn since the last call, in ms."""
    longest = max((each.seconds for each in _longest), default=0.0)
    for each in _longest:
        each.seconds = 0.0
    return b'%.1f' % (longest * 1e3)


def watch_poller(poller: type[EpollPoller]) -> None:
    """Have each poll end a turn and begin the next."""
    longest = Longest(time.process_time)
    _longest.append(longest)
    poll = poller.poll

    @functools.wraps(poll)
    def watched(self: EpollPoller, timeout: float | None) -> list[tuple[int, int]]:
        longest.ended()
        try:
            return poll(self, timeout)
        finally:
            longest.began()

    poller.poll = watched  # type: ignore[method-assign]


def watch_loop(core: type[LoopCore]) -> None:
    """Have a timer of the loop end a turn and begin the next."""
    serve = core.serve

    async def watched(self: LoopCore, *arguments: Any) -> None:
        longest = Longest(time.thread_time)
        _longest.append(longest)

        def beat() -> None:
            longest.ended()
            longest.began()
            timer.append(self.loop.call_later(BEAT, beat))
            del timer[:-1]

        timer: list[asyncio.TimerHandle] = []
        beat()
        try:
            await serve(self, *arguments)
        finally:
            timer[-1].cancel()

    core.serve = watched  # type: ignore[method-assign]


watch_poller(EpollPoller)
watch_loop(LoopCore)
