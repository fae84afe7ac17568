"""Reports a greenlet that has blocked the hub, with its stack: a request that never yields stops all
others."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from types import FrameType
from typing import TYPE_CHECKING

from gevent.monkey import get_original

from ...clocks import monotonic
from ...messages import WARNINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pool import GreenletPool

LOOK_EVERY = 0.25
"""Seconds between two checks."""
LOOKS = 4
"""Checks in a row without a turn of the hub (1 s) before a report."""
REPORT_EVERY = 60.0
"""Minimum seconds between two reports."""

# A real thread with a real lock: it watches greenlets.
_start_thread, _get_ident, _allocate_lock = get_original(
    '_thread', ['start_new_thread', 'get_ident', 'allocate_lock']
)
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

logger = logging.getLogger('_granian')


class Watchdog:
    """Watches the thread that makes it. `poke` has the hub take a turn, from any thread."""

    def __init__(self, pool: GreenletPool, poke: Callable[[], None]) -> None:
        self.asleep = False
        self._pool = pool
        self._poke = poke
        self._thread: int = _get_ident()
        self._closed = False
        self._alarm = _allocate_lock()
        self._alarm.acquire()
        _start_thread(self._watch, ())

    def wake(self) -> None:
        """Watch again. The hub, when units are ready."""
        self.asleep = False
        self._ring()

    def close(self) -> None:
        self._closed = True
        self._ring()

    def _ring(self) -> None:
        try:
            self._alarm.release()
        except RuntimeError:
            pass  # the alarm is set already

    def _watch(self) -> None:
        pool = self._pool
        seen = -1
        looks = 0
        next_report = 0.0
        while not self._closed:
            if not pool.busy and pool.turns == seen:
                # The hub counts, then reads `asleep`. We set it, then read the count: one sees the other.
                self.asleep = True
                if pool.turns == seen:
                    self._alarm.acquire()
                self.asleep = False
            self._alarm.acquire(timeout=LOOK_EVERY)
            if pool.turns != seen or not pool.busy:
                seen = pool.turns
                looks = 0
                continue
            looks += 1
            self._poke()
            if looks > LOOKS and monotonic() >= next_report:
                next_report = monotonic() + REPORT_EVERY
                self._report()

    def _report(self) -> None:
        frame = sys._current_frames().get(self._thread)
        logger.warning(WARNINGS['gevent_held'], _stack(frame))


def _stack(frame: FrameType | None) -> str:
    """Format the application's part of a stack, the innermost call last."""
    entries = traceback.extract_stack(frame)
    ours = [n for n, entry in enumerate(entries) if entry.filename.startswith(_PACKAGE)]
    theirs = entries[ours[-1] + 1 :] if ours else []
    return ''.join(traceback.format_list(theirs or entries)).rstrip()
