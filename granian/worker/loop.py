"""A worker's event loop: the loop that `--loop` chose, the asyncio core on it, and what surrounds its run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from .._loops import loops
from ..core.loop.core import LoopCore, close_loop
from ..core.own import opened_by

if TYPE_CHECKING:
    from ..config import Config
    from ..core.contract import CoreSettings, Listeners
    from ..observe.counters import Figures
    from .adapters import Adapted


class WorkerLoop:
    """The `Core` of ASGI and RSGI workers.

    `before(loop)` and `after(loop)` are called while the loop is not running, unless `loop` is
    a host program's that runs already.
    """

    def __init__(
        self,
        config: Config,
        listeners: Listeners,
        settings: CoreSettings,
        adapted: Adapted,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        opened: list[int] = []
        if loop is not None:
            self._loop = loop
        else:
            self._loop, opened = opened_by(lambda: loops.get(config.loop))
            asyncio.set_event_loop(self._loop)
        if config.runtime_blocking_threads is not None:
            self._loop.set_default_executor(ThreadPoolExecutor(config.runtime_blocking_threads))
        self._before = adapted.before
        self._after = adapted.after
        self._core = LoopCore(
            listeners, settings, adapted.handler, loop=self._loop, lifespan=adapted.lifespan
        )
        self._core.loop_descriptors = opened

    def run(self, on_ready: Callable[[], None]) -> None:
        try:
            if self._before is not None:
                self._before(self._loop)
            self._core.run(on_ready)
            if self._after is not None:
                self._after(self._loop)
        finally:
            close_loop(self._loop)

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Do as `run`, on the running loop, which stays open."""
        if self._before is not None:
            self._before(self._loop)
        await self._core.serve(on_ready)
        if self._after is not None:
            self._after(self._loop)

    def stop(self, reload: bool = False) -> None:
        self._core.stop(reload)

    def figures(self) -> Figures:
        return self._core.figures()

    turns = 0
    """Turns of the loop that `nudge` has asked for."""

    def nudge(self) -> None:
        """Have the loop turn, and count it. Any thread."""
        try:
            self._loop.call_soon_threadsafe(self._turned)
        except RuntimeError:  # closed: the worker ends
            self._turned()

    def _turned(self) -> None:
        self.turns += 1

    def descriptors(self) -> list[int]:
        return self._core.descriptors()

    def abandon(self) -> None:
        self._core.abandon()
