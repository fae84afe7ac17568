"""A blocking core and the event loop beside it."""

from __future__ import annotations

import threading
from typing import Any

from granian.core.beside.core import PairedCore


class QuickCore:
    """A blocking core without connections: it has ended before `stop` returns."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.pair_ended = threading.Event()

    def take_upgrades(self, upgrades: Any) -> None:
        pass

    def run(self, on_ready: Any) -> None:
        self.stopped.wait(5)

    def stop(self, reload: bool) -> None:
        self.stopped.set()
        self.pair_ended.wait(5)


class Loop:
    """A loop's thread that notes how it is stopped."""

    core = None

    def __init__(self) -> None:
        self.stops: list[bool] = []

    def start(self) -> None:
        pass

    def stop(self, reload: bool) -> None:
        self.stops.append(reload)

    def join(self) -> None:
        pass


def test_reload_reaches_the_loop_before_the_other_core_ends() -> None:
    """Send 1012 to the WebSockets, not 1001, whichever thread is faster."""
    blocking, loop = QuickCore(), Loop()
    pair: Any = PairedCore(blocking, loop)  # type: ignore[arg-type]
    stop = threading.Thread(target=pair.stop, args=(True,))
    stop.start()
    pair.run(lambda: None)
    blocking.pair_ended.set()
    stop.join(5)
    assert loop.stops[0] is True
