"""The thread core: blocking handlers in an adaptive pool of leader and followers."""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

from ..blocking.core import BlockingCore
from ..blocking.scheduling import use_normal_policy
from .pool import Pool
from .watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...stream import Handler
    from ..contract import CoreSettings, Listeners


class ThreadCore(BlockingCore):
    """See `contract.Core`. `handler` runs in up to `settings.threads` threads at a time."""

    pool: Pool

    def __init__(self, listeners: Listeners, settings: CoreSettings, handler: Handler) -> None:
        pool = Pool(
            self.gather,
            settings.threads,
            settings.thread_idle_timeout,
            parallel=not getattr(sys, '_is_gil_enabled', lambda: True)(),
            measured=settings.counters is not None,
            interrupt=self.wake,
        )
        super().__init__(listeners, settings, handler, pool, deque())
        self._done = threading.Event()

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until stopped. The calling thread becomes the watchdog."""
        self.reactor.broken = self.pool.fail
        self.pool.start()
        # Before the first answer: its client may reload the server, which counts the workers that are ready.
        on_ready()
        self.reactor.begin_accepting()
        Watchdog(self.pool, self.flush_deferred).watch(self._done)
        self.pool.close()
        self.reactor.wake()
        if self.pool.failure is not None:
            raise self.pool.failure

    def abandon(self) -> None:
        super().abandon()
        self.pool.transmitter = None  # its thread is the parent's
        use_normal_policy()  # the child is the application's

    def drained(self) -> None:
        self._done.set()
        self.pool.alarm.ring()
