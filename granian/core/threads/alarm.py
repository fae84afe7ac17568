"""Wakes the watchdog. The other threads know nothing else of it.

The leader reads `asleep` before it runs units. This module must not know the pool, nor what the watchdog
checks.
"""

from __future__ import annotations

import threading


class Alarm:
    """The watchdog waits for it between two checks, and without limit while it sleeps."""

    def __init__(self) -> None:
        self.asleep = False
        """The watchdog checks nothing until the alarm rings."""
        # A bare lock: Event.wait() makes one each time, and holds the interpreter's lock 10 times longer.
        lock = threading.Lock()
        lock.acquire()
        self.wait = lock.acquire
        """Wait for a ring, at most `timeout` seconds. The watchdog."""
        self._release = lock.release

    def ring(self) -> None:
        """Have the watchdog check now. Any thread."""
        self.asleep = False
        try:
            self._release()
        except RuntimeError:
            pass  # it did not sleep yet, and has seen the count
