"""Judges the application's calls: whether they are timed, and whether the baton is handed on before them.

Knows durations of calls and how often their threads waited. Must not know threads, the baton or the watchdog:
`Pool` hands the baton on, and the watchdog ends an eager time.
"""

from __future__ import annotations

from ...clocks import monotonic
from ..blocking.scheduling import times_waited
from .habits import Habits

SLOW_CALL = 0.001
"""Seconds: an application call longer than this makes the pool eager."""
EAGER_PERIOD = 1.0
"""Seconds for which the pool stays eager after the slow call that made it so. Slow calls do not extend
it: threads of an eager pool wait for the interpreter's lock, so every call looks slow. One slow call
a second that blocks the leader costs nothing; a moving average measured 17 times slower."""
SUSPECT_PERIOD = 0.05
"""Seconds for which calls are timed after one that looked slow. Where several workers share a core, a
call looks slow whenever another process has had the core in the middle of it: only a further call
whose application waited turns the pool eager."""


class Eagerness:
    """The part of a pool that learns from its calls. Every method says which thread may call it.

    `parallel`: threads compute in parallel, there is no interpreter lock.
    """

    def __init__(self, parallel: bool) -> None:
        self.eager = False
        """Leadership is handed on before calls."""
        self.timed = False
        """Calls are timed: the pool is eager, or a call has looked slow a moment ago."""
        self.calls = 0
        """How often the baton has left the leader's hands. The leader counts."""
        self.disturbed = -1
        """The call that a late watchdog has disturbed. The watchdog may have waited for the interpreter's
        lock until the leader had to give it away. Then the leader's thread has waited because of the
        watchdog, and its call is not judged."""
        self._waited = 0
        """How often the leader's thread had waited when it polled last."""
        self._timed_until = 0.0
        self._habits = Habits()
        self._trusted = ''
        """The kind of call that the leader runs, where the pool is eager and trusted it."""
        self._parallel = parallel

    def trusts(self, kind: str) -> bool:
        """Return whether a call needs no timing: the pool is eager and trusts its kind (see `habits`).

        Then `enter_call` is next. The leader; calls are timed.
        """
        if self.eager and self._habits.trusts(kind):
            self._trusted = kind
            return True
        return False

    def is_slow(self, kind: str) -> bool:
        """Return whether calls of this kind are known to be slow (see `habits`). Any thread."""
        return self._habits.is_slow(kind)

    def is_worth_timing(self, kind: str) -> bool:
        """Return whether a call that `enter_timed` begins is to be timed. Any thread."""
        return not self.eager or self._habits.is_worth_timing(kind)

    def learn(self, kind: str, duration: float, waits: int) -> None:
        """Take the duration of a timed call, and how often its thread waited. Any pool thread.

        Both are the application's alone, without the sending of its response: that releases the
        interpreter's lock, and may have to wait for it.
        """
        if not self.eager:
            if duration > SLOW_CALL and waits and self.disturbed != self.calls:
                self._turn_eager(monotonic())
        elif duration > SLOW_CALL:
            if waits:  # else it computed, or lost the processor: that says nothing of its kind
                self._habits.note_slow(kind)
        else:
            self._habits.note_quick(kind)

    def end_period(self, now: float) -> None:
        """Stop timing calls, and being eager, where the time for that is over. The watchdog."""
        if now > self._timed_until:
            self.timed = self.eager = False
            self._trusted = ''

    def _suspect(self, now: float, trusted: str) -> None:
        """Have the next calls timed, after one that was not, and looked slow. Any pool thread."""
        if self._parallel and not trusted:
            self._turn_eager(now)
        elif times_waited() == self._waited or self.disturbed == self.calls:
            # Its thread has not waited. A call that computed, or lost the processor to another process,
            # would gain nothing from a second thread under the interpreter's lock.
            pass
        elif trusted:
            self._habits.doubt(trusted)
        else:
            self._timed_until = now + SUSPECT_PERIOD
            self.timed = True

    def _note_stuck(self, now: float) -> None:
        """Note that the leader's call takes long, before it returns. The watchdog."""
        if self._trusted:
            self._habits.note_slow(self._trusted)  # now: more calls of its kind may follow before it returns
        self._turn_eager(now)

    def _turn_eager(self, now: float) -> None:
        self._timed_until = now + EAGER_PERIOD
        self.timed = True
        self.eager = True
