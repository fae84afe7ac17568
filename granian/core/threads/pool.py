"""Leader and followers: the threads that take turns at polling, and the watchdog over them.

One thread at a time holds the *baton*: it leads. It gathers ready units of work and runs
them itself, so that while the application is quick there is no switch between threads at
all. Before a unit calls the application, the leader either hands the baton to a follower
(when calls have been slow lately, see also `habits`) or lays it on the table, where it may be taken:

- by the leader itself, when the call returns: the usual case;
- by the watchdog, which gives it to a follower when the call takes too long;
- by another thread that has finished its own call.

`list.append` and `list.pop` are atomic, so the table needs no lock, and whoever pops the
baton leads. This room knows neither sockets nor HTTP: work is anything with `work()`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from time import monotonic, sleep
from typing import Protocol

from .habits import Habits

SLOW_CALL = 0.001
"""Seconds: an application call longer than this makes the pool eager."""
EAGER_PERIOD = 1.0
"""Seconds for which the pool stays eager, counted from the slow call that made it so. Then the
next slow call has to show it anew: while the pool is eager its threads wait for the interpreter
lock, so that every call looks slow, and eagerness would keep itself up. A slow call a second in
the leader's way costs nothing; an average that goes back and forth measured 17 times slower."""
LOOK_EVERY = 0.002
"""Seconds between two looks of the watchdog."""
LATE = 2 * LOOK_EVERY
"""Seconds after which a look is late: then it takes one more look to judge the leader."""
QUIET_LOOKS = 50
"""After so many looks with nothing going on the watchdog sleeps until it is woken."""

STINT = range(64)
"""Units between two polls at most: one that is ready again at once must not keep the others away."""
FAILURE_PAUSE = 0.1
"""Seconds before polling is tried again that has failed."""

NO_THREAD = (RuntimeError, MemoryError)
"""What starting a thread raises where the system has no room for one more."""

_BATON = object()

logger = logging.getLogger('_granian')

try:
    from resource import RUSAGE_THREAD, getrusage
except ImportError:  # not counted for each thread here: any slow call is taken to have waited
    times_waited = count().__next__
else:

    def times_waited() -> int:
        """How often this thread has left the processor of its own accord, to wait for something."""
        return getrusage(RUSAGE_THREAD).ru_nvcsw


class Work(Protocol):
    """A unit of work: run by the thread that holds the baton."""

    def work(self) -> bool:
        """Do what is ready. Returns whether this thread still holds the baton."""
        ...


class Crew(Protocol):
    """Who runs the units of work, as the units see it: a pool of threads, or of greenlets."""

    ready: deque[Work]
    eager: bool

    @property
    def threads(self) -> int: ...
    @property
    def busy(self) -> int: ...
    def share(self) -> bool: ...
    def idle_time(self) -> float: ...
    def enter_call(self) -> None: ...
    def enter_eagerly(self, kind: str) -> bool: ...
    def learn(self, kind: str, duration: float) -> None: ...
    def leave_call(self, duration: float, now: float) -> bool: ...


class MeasuredQueue(deque[Work]):
    """A `ready` that adds up, in seconds, how long its units have waited.

    Which moment goes with which unit does not matter to the sum, so two threads may append at
    once. `waited` is written by whoever leads, one at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0
        self._since: deque[float] = deque()

    def append(self, unit: Work) -> None:
        self._since.append(monotonic())
        super().append(unit)

    def popleft(self) -> Work:
        unit = super().popleft()
        self.waited += monotonic() - self._since.popleft()
        return unit


class _Member:
    """A thread of the pool; `wake` is released to give it the baton."""

    __slots__ = ('idle', 'parked_since', 'wake')

    def __init__(self) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.idle = 0.0
        self.parked_since = 0.0


class Pool:
    """The threads. `gather()` is the reactor's: it polls and appends to `ready`; `on_stall()` is called
    by the watchdog when a call takes long.

    Every method says which thread may call it.
    """

    def __init__(
        self,
        gather: Callable[[], None],
        max_threads: int,
        idle_timeout: float,
        on_stall: Callable[[], None] = lambda: None,
        *,
        parallel: bool = False,
        measured: bool = False,
    ) -> None:
        self.ready: deque[Work] = MeasuredQueue() if measured else deque()
        self.threads = 0
        self.eager = False
        self.polls = 0
        self._gather = gather
        self._on_stall = on_stall
        self._max_threads = max_threads
        self._idle_timeout = idle_timeout
        self._table: list[object] = []
        self._parked: list[_Member] = []
        self._measured = measured
        self._members: list[_Member] = []
        self._idle_before = 0.0
        """Of threads that have ended."""
        self._growing = threading.Lock()
        self._calls = 0
        """How often the baton has been given away, or laid on the table. The leader counts."""
        self._gathering = False
        self._waited = 0
        self._parallel = parallel
        """Threads compute beside each other: there is no interpreter lock."""
        self._eager_until = 0.0
        self._habits = Habits()
        self._trusted = ''
        """The kind of call that the leader is inside, if the pool is eager and trusted it."""
        self._closed = False
        self._watchdog_asleep = False
        self._watchdog_alarm = threading.Lock()
        self._watchdog_alarm.acquire()

    # -- the threads ------------------------------------------------------------------

    def start(self) -> None:
        """Start the first leader. Main thread."""
        self._reserve_thread()
        self._start_thread()

    @property
    def busy(self) -> int:
        """Threads that are neither parked nor leading. Any thread; a moment's value."""
        return max(0, self.threads - len(self._parked) - 1)

    def _reserve_thread(self) -> bool:
        if self.threads >= self._max_threads:
            return False
        with self._growing:
            if self.threads >= self._max_threads or self._closed:
                return False
            self.threads += 1
            return True

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._live, name=f'granian-pool-{self.threads}', daemon=True)
        try:
            thread.start()
        except NO_THREAD:
            with self._growing:
                self.threads -= 1
            raise

    def _live(self) -> None:
        """A pool thread's life: it is born with the baton, and leads whenever it has it."""
        member = _Member()
        park = self._park
        if self._measured:
            park = self._park_measured
            with self._growing:
                self._members.append(member)
        while True:
            self._lead()
            # The baton is somebody else's, or on the table while its owner runs a call.
            if self._take_baton():
                continue
            if not park(member):
                break
        if self._measured:
            with self._growing:
                self._members.remove(member)
                self._idle_before += member.idle

    def _lead(self) -> None:
        """Holds the baton when it begins, not when it returns."""
        ready = self.ready
        gather = self._gather
        while not self._closed:
            for _ in STINT:
                if not ready:
                    break
                calls = self._calls
                try:
                    if not ready.popleft().work():
                        return
                except BaseException:
                    # Nothing should come here; but if the leader ended with it, so would the server.
                    logger.exception('Internal error in a unit of work')
                    if self._calls != calls:
                        return  # the baton has left our hands
            self._gathering = True
            try:
                gather()
            except BaseException:
                logger.exception('Internal error while waiting for connections')
                sleep(FAILURE_PAUSE)
            self._gathering = False
            self._waited = times_waited()
            self.polls += 1
            if self._watchdog_asleep:
                self.wake_watchdog()
        # Closing: pass the baton on, so that every parked thread sees the end in turn.
        self._table.append(_BATON)
        self.release_all()

    def _park(self, member: _Member) -> bool:
        """Wait for the baton. False when the thread should end instead."""
        self._parked.append(member)
        if self._closed:
            member.wake.acquire(False)
            return False
        if member.wake.acquire(timeout=self._idle_timeout):
            return not self._closed
        with self._growing:
            try:
                self._parked.remove(member)
            except ValueError:
                pass  # somebody is giving us the baton at this very moment
            else:
                self.threads -= 1
                return False
        member.wake.acquire()
        return not self._closed

    def _park_measured(self, member: _Member) -> bool:
        member.parked_since = since = monotonic()
        try:
            return self._park(member)
        finally:
            member.parked_since = 0.0
            member.idle += monotonic() - since

    def idle_time(self) -> float:
        """Seconds that the pool's threads have been parked, all of them together. Any thread; 0 where
        that is not measured. The leader, which polls, is not parked."""
        now = monotonic()
        with self._growing:
            idle = self._idle_before
            for member in self._members:
                idle += member.idle
                since = member.parked_since
                if since:
                    idle += max(0.0, now - since)
        return idle

    def _take_baton(self) -> bool:
        try:
            self._table.pop()
        except IndexError:
            return False
        return not self._closed

    def _hand_on(self) -> bool:
        """Give the baton to a parked follower or to a new thread. The leader, or who took it."""
        try:
            self._parked.pop().wake.release()
            return True
        except IndexError:
            pass
        if not self._reserve_thread():
            return False
        try:
            self._start_thread()
        except NO_THREAD:
            return False  # the system gives no more threads: go on with those there are
        return True

    def share(self) -> bool:
        """The leader has about a millisecond's work without the interpreter's lock: may a follower
        that is at hand lead meanwhile? Returns whether this thread still leads."""
        try:
            member = self._parked.pop()
        except IndexError:
            return True
        self._calls += 1
        member.wake.release()
        return False

    # -- around an application call ---------------------------------------------------

    def enter_call(self) -> None:
        """The leader is about to call the application; the pool is not eager."""
        self._calls += 1
        self._table.append(_BATON)

    def enter_eagerly(self, kind: str) -> bool:
        """The leader is about to call the application, and the pool is eager. `kind`: see `habits`;
        returns whether it is trusted to be quick."""
        self._calls += 1
        if self._habits.trusts(kind):
            self._trusted = kind
            self._table.append(_BATON)
            return True
        self._trusted = ''
        if not self._hand_on():
            self._table.append(_BATON)
        return False

    def learn(self, kind: str, duration: float) -> None:
        """How long a call took that was entered eagerly: the application's time alone, since a thread
        of an eager pool waits for the interpreter's lock whenever it has let go of it. Any pool thread."""
        if duration > SLOW_CALL:
            self._habits.note_slow(kind)
        else:
            self._habits.note_quick(kind)

    def leave_call(self, duration: float, now: float) -> bool:
        """The call has returned (any pool thread). Returns whether this thread leads now."""
        if duration > SLOW_CALL and not self.eager and (self._parallel or times_waited() != self._waited):
            # Slow, and not because it was busy or another process had the processor: under the
            # interpreter's lock there would be nothing to win by a second thread then.
            self._turn_eager(now)
        try:
            self._table.pop()
        except IndexError:
            return False
        return True

    def _turn_eager(self, now: float) -> None:
        self._eager_until = now + EAGER_PERIOD
        self.eager = True

    # -- the watchdog -----------------------------------------------------------------

    def watch(self, done: threading.Event) -> None:
        """The watchdog's life, in the main thread, until `done` is set and the watchdog woken.

        A leader that has been inside one call since the last look loses the baton to a
        follower: nobody waits more than two looks behind a call that blocks unexpectedly.
        """
        seen = (-1, -1)
        quiet = 0
        excused = False
        before = monotonic()
        # A bare lock: Event.wait() makes one each time, and holds the interpreter's lock ten times longer.
        alarm = self._watchdog_alarm
        while not done.is_set():
            alarm.acquire(timeout=LOOK_EVERY)
            now = monotonic()
            late = now - before > LATE
            before = now
            if self.eager and now > self._eager_until:
                self.eager = False
                self._trusted = ''
            state = (self._calls, self.polls)
            if state != seen:
                seen = state
                quiet = 0
                excused = False
            elif self._table and late and not excused:
                excused = True  # where we have not had the processor, the leader has not either
            elif self._table:
                self._on_stall()
                self._rescue(now)
                quiet = 0
            else:
                quiet += 1
                if quiet > QUIET_LOOKS and not self.eager:
                    self._sleep(state, done)
                    quiet = 0

    def _rescue(self, now: float) -> None:
        """Take the baton off the table, but only with somebody at hand to give it to."""
        try:
            member: _Member | None = self._parked.pop()
        except IndexError:
            member = None
            if not self._reserve_thread():
                return
        try:
            self._table.pop()
        except IndexError:  # the call has just returned
            if member is None:
                with self._growing:
                    self.threads -= 1
            else:
                self._parked.append(member)
            return
        if self._trusted:
            self._habits.note_slow(self._trusted)  # now, not when it returns: there may be more of its kind
        self._turn_eager(now)
        if member is not None:
            member.wake.release()
        else:
            try:
                self._start_thread()
            except NO_THREAD:
                self._table.append(_BATON)

    def _sleep(self, state: tuple[int, int], done: threading.Event) -> None:
        self._watchdog_asleep = True
        # Whoever leads counts first and looks at the flag second; here it is the other way
        # round: one of the two sees the other. Only while the leader polls: it looks when it has.
        if self._gathering and (self._calls, self.polls) == state and not done.is_set() and not self._closed:
            self._watchdog_alarm.acquire()
        self._watchdog_asleep = False

    def wake_watchdog(self) -> None:
        self._watchdog_asleep = False
        try:
            self._watchdog_alarm.release()
        except RuntimeError:
            pass  # it was not waiting yet, and has seen the count

    # -- the end ----------------------------------------------------------------------

    def close(self) -> None:
        """No more work: parked threads end. Any thread."""
        self._closed = True
        self.release_all()
        self.wake_watchdog()

    def release_all(self) -> None:
        while self._parked:
            try:
                self._parked.pop().wake.release()
            except IndexError:
                return
