"""What a peer's floods may cost: budgets that empty by use and fill with time and real work.

Two levels, each a leaky bucket (reference: CVE-2023-44487, CVE-2025-8671, CVE-2019-9511 to 9518):
- *resets*: streams broken off before their response was complete, by the client's
  RST_STREAM or by ours for what the client did wrong; one counter for both directions.
- *noise*: frames that move nothing: PING, SETTINGS, PRIORITY, empty DATA, WINDOW_UPDATE,
  unknown types, frames on streams that are gone. Requests, responses and bytes of DATA, received or
  sent, earn credit, because an honest client's WINDOW_UPDATEs go with them.
"""

from __future__ import annotations

from ..limits import Clock

RESETS, RESETS_PER_SECOND = 100, 10
NOISE, NOISE_PER_SECOND = 1000, 500
CREDIT = 50_000
"""The most that real work can put aside: a window's worth of answers to many DATA frames."""
PAID = 128
"""Bytes of DATA, received or sent, that pay for one frame that carries none: a client may give back each
frame of some size at once, but single bytes pay for nothing."""


def seconds_of_day(date: bytes) -> int:
    """Return the time of day in an HTTP date, `Sun, 06 Nov 1994 08:49:37 GMT`."""
    return int(date[17:19]) * 3600 + int(date[20:22]) * 60 + int(date[23:25])


class Guard:
    """Counts; `exhausted` says which budget is spent, None while neither is."""

    __slots__ = ('_clock', '_date', 'exhausted', 'noise', 'resets')

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._date = clock.date
        self.resets = 0
        self.noise = 0
        self.exhausted: str | None = None

    def reset(self) -> None:
        self.resets += 1
        if self.resets > RESETS:
            self._leak()
            if self.resets > RESETS:
                self.exhausted = 'too many streams reset'

    def frame(self, cost: int = 1) -> None:
        self.noise += cost
        if self.noise > NOISE:
            self._leak()
            if self.noise > NOISE:
                self.exhausted = 'too many frames that carry nothing'

    def work(self) -> None:
        """Count a request, or a piece of a response that the client's windows did not cut."""
        if self.noise > -CREDIT:
            self.noise -= 2

    def moved(self, size: int) -> None:
        """Count bytes of DATA, in either direction."""
        if size >= PAID and self.noise > -CREDIT:
            self.noise -= size // PAID

    def _leak(self) -> None:
        """Give back what time has earned; called only when a budget seems spent. The Date is the clock."""
        date = self._clock.date
        if date == self._date:
            return
        seconds = (seconds_of_day(date) - seconds_of_day(self._date)) % 86400
        self._date = date
        self.resets = max(0, self.resets - seconds * RESETS_PER_SECOND)
        self.noise = min(self.noise, max(0, self.noise - seconds * NOISE_PER_SECOND))
