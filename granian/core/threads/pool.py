"""Leader and followers: the threads that take turns at polling, and the watchdog over them.

The thread that holds the *baton* leads. It gathers ready units of work and runs them itself, so
while the application is quick there is no switch between threads. Before a unit calls the
application, the leader either hands the baton to a follower (when calls have been slow lately,
see also `habits`) or lays it on the table. It is taken from there

- by the leader itself, when the call returns: the usual case;
- by the watchdog, which gives it to a follower when the call takes too long;
- by another thread that has finished its own call.

`list.append` and `list.pop` are atomic, so the table needs no lock: the thread that pops the
baton leads. This module knows neither sockets nor HTTP.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic, sleep

from ..blocking.scheduling import (
    COMPUTING,
    is_waiting,
    processor_time,
    times_waited,
    use_batch_policy,
)
from ..blocking.transmitter import NO_THREAD, Transmitter
from ..blocking.work import Backlog, MeasuredQueue, Waiter, Work, prepare_next
from ..heap import TRIM_EVERY, trim
from ..system_errors import NOT_A_SOCKET
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
CHECK_EVERY = 0.002
"""Seconds between two checks of the watchdog, while calls are slow or few."""
CHECK_AT_LEAST = 0.008
"""Maximum seconds between two checks. The time doubles from check to check while calls are quick and many: a
check costs them 25 µs, and 50 where four workers share a core, which took a tenth of it."""
MANY_CALLS = 8
"""Calls since the last check, from which on the next one may come later."""
LATE = CHECK_EVERY
"""Seconds after its time when a check is late: then it takes one more check to judge the leader."""
QUIET_CHECKS = 5
"""Checks without activity (10 to 40 ms) before the watchdog sleeps until it is woken, at a check's cost."""

STINT = range(64)
"""Maximum units between two polls: a unit that is ready again at once must not starve the others."""
TURN = 0.005
"""Seconds after which the leader polls, though units are ready."""
FAILURE_PAUSE = 0.1
"""Seconds before the next poll after one that failed."""
MAX_FAILURES = 10
"""Failed polls in a row (1 s) that end the pool."""

_BATON = object()

logger = logging.getLogger('_granian')


class _PoolThread:
    """A thread of the pool; `wake` is released to give it the baton."""

    __slots__ = ('idle', 'parked_since', 'wake')

    def __init__(self) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.idle = 0.0
        self.parked_since = 0.0


class _StandIn(Waiter):
    """A handler that waits, and that may lead meanwhile: see `Pool.wait`."""

    __slots__ = ('_interrupt', 'leading', 'thread')

    def __init__(self, interrupt: Callable[[], None]) -> None:
        super().__init__(threading.Lock())
        self._interrupt = interrupt
        self.leading = False
        self.thread = 0

    def ring(self) -> None:
        if not self.leading:
            super().ring()
        elif threading.get_ident() != self.thread:
            self._interrupt()


class Pool:
    """The threads. The leader calls `gather()`, which polls and appends to `ready`. The watchdog calls
    `on_stall()` when a call takes long. `interrupt()` ends a poll.

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
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self.ready: deque[Work] = MeasuredQueue() if measured else deque()
        self.due: deque[Work] = deque()
        self.backlog = Backlog(self.ready, self.due)
        self.threads = 0
        self.transmitter: Transmitter | None = Transmitter()
        self.eager = False
        """Leadership is handed on before calls."""
        self.timed = False
        """Calls are timed: the pool is eager, or a call has looked slow a moment ago."""
        self.polls = 0
        self._gather = gather
        self._on_stall = on_stall
        self._max_threads = max_threads
        self._idle_timeout = idle_timeout
        self._table: list[object] = []
        self._parked: list[_PoolThread] = []
        self._measured = measured
        self._members: list[_PoolThread] = []
        self._idle_before = 0.0
        """Idle seconds of threads that have ended."""
        self._growing = threading.Lock()
        self._calls = 0
        """How often the baton has left the leader's hands. The leader counts."""
        self._gathering = False
        self._stint = iter(STINT)
        """The units until the next poll. It passes on with the baton: a new leader begins no turn."""
        self._now = 0.0
        """Time of the last unit, or of the call that it has left."""
        self._turn_ends = 0.0
        self._runner = 0
        """Native id of the thread that runs, or ran last, a unit as the leader."""
        self._failures = 0
        """Polls in a row that have failed."""
        self.failure: BaseException | None = None
        """The error of polling that has ended the pool."""
        self._waited = 0
        """How often the leader's thread had waited when it polled last."""
        self._parallel = parallel
        """True where threads compute in parallel: there is no interpreter lock."""
        self._disturbed = -1
        """The call that a late watchdog has disturbed: it may have waited for the interpreter's lock, until
        the leader had to give it away. Then the leader has waited, and its call says nothing."""
        self._timed_until = 0.0
        self._habits = Habits()
        self._trusted = ''
        """The kind of call that the leader runs, where the pool is eager and trusted it."""
        self._closed = False
        self._interrupt = interrupt
        self._waiters: list[Waiter] = []
        """Handlers that wait for their client. The watchdog may take one out, to give it the baton."""
        self._giving = threading.Lock()
        """Guards `_waiters`."""
        self._standing_in = False
        """A handler that waits leads."""
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
        """Number of threads that are neither parked nor leading. Any thread; may be outdated at once."""
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
        """Lead, park, and lead again: a pool thread's life, which begins with the baton."""
        member = _PoolThread()
        if self.threads > 1 and not self._parallel:
            # The threads wake each other all the time. Measured with 10 ms of sleep: 0.85 of the processor
            # time a request; one request in ten sleeping: 0.8 to 0.9. A pool of one thread has no need.
            use_batch_policy()
        park = self._park
        if self._measured:
            park = self._park_measured
            with self._growing:
                self._members.append(member)
        while True:
            self._lead()
            # Another thread has the baton, or it is on the table while a call runs.
            if self._take_baton():
                continue
            if not park(member):
                break
        if self._measured:
            with self._growing:
                self._members.remove(member)
                self._idle_before += member.idle

    def _lead(self) -> None:
        """Run units and poll while this thread has the baton. It has none when this returns."""
        ready = self.ready
        me = threading.get_native_id()
        while not self._closed:
            if not ready:
                self._poll()
                continue
            if self._watchdog_asleep:  # not before: an idle server's looks at its deadlines would wake it
                self.wake_watchdog()
            for _ in self._stint:
                if not ready or self._now > self._turn_ends:
                    break
                calls = self._calls
                self._runner = me
                try:
                    if not ready.popleft().work():
                        return
                except BaseException:
                    # A fault of ours. Without this, it would end the leader, and so the server.
                    logger.exception('Internal error in a unit of work')
                    if self._calls != calls:
                        return  # this thread has no baton any more
                if self._calls == calls:  # it has called no application: a body of tiny chunks takes long
                    self._now = monotonic()
            self._poll()
        # Closing: pass the baton on, so that every parked thread sees the end in turn.
        self._table.append(_BATON)
        self.release_all()

    def _poll(self) -> None:
        """Gather ready units. The leader."""
        if self.ready and (self.eager or self._now > self._turn_ends):
            self.backlog.collect()
        self._gathering = True
        try:
            self._gather()
            self._failures = 0
        except BaseException as error:
            self._take_failure(error)
        self._gathering = False
        self._waited = times_waited()
        self._stint = iter(STINT)
        self._turn_ends = monotonic() + TURN
        self.polls += 1

    def _take_failure(self, error: BaseException) -> None:
        """Note that polling has failed. What does not pass ends the pool, for the worker to be replaced."""
        self._failures += 1
        if self._failures < MAX_FAILURES and getattr(error, 'errno', None) not in NOT_A_SOCKET:
            logger.error('Internal error while waiting for connections', exc_info=error)
            sleep(FAILURE_PAUSE)
        else:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the pool, for the worker to be replaced. Any thread."""
        if not self._closed:
            self.failure = error
            self._closed = True
            self.wake_watchdog()

    def _park(self, member: _PoolThread) -> bool:
        """Wait for the baton. False when the thread should end instead."""
        self._parked.append(member)
        if self._closed:
            member.wake.acquire(False)
            return False
        if self._standing_in:
            self._interrupt()  # append, then read: the leader sets it, then reads `_parked`
        if member.wake.acquire(timeout=self._idle_timeout):
            return not self._closed
        with self._growing:
            try:
                self._parked.remove(member)
            except ValueError:
                pass  # another thread is giving us the baton right now
            else:
                self.threads -= 1
                return False
        member.wake.acquire()
        return not self._closed

    def _park_measured(self, member: _PoolThread) -> bool:
        member.parked_since = since = monotonic()
        try:
            return self._park(member)
        finally:
            member.parked_since = 0.0
            member.idle += monotonic() - since

    def idle_time(self) -> float:
        """Return the seconds that all threads together have been parked, 0 where that is not measured.

        The leader, which polls, is not parked. Any thread.
        """
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
        """Give the baton to a parked follower or to a new thread. The holder of the baton."""
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

    def pass_lead(self) -> bool:
        """Let a parked follower lead during about a millisecond of work without the interpreter's lock.

        Return whether this thread still leads. The leader.
        """
        if self._standing_in:
            return True
        try:
            member = self._parked.pop()
        except IndexError:
            return True
        self._calls += 1
        member.wake.release()
        return False

    # -- handlers that wait for their client ------------------------------------------

    def give_way(self) -> None:
        """Do nothing: the system shares the processor among threads."""

    def make_waiter(self) -> Waiter:
        """Return a waiter for `wait`. Any thread."""
        return _StandIn(self._interrupt)

    def wait(self, waiter: Waiter, timeout: float) -> bool:
        """Wait until `waiter` is woken. Return False after `timeout` seconds. A handler.

        The client's bytes have to be read meanwhile. While no thread leads, and none is free to,
        this one leads: it polls, reads and writes, and leaves calls of the application to others.
        """
        assert isinstance(waiter, _StandIn)
        until = monotonic() + timeout
        while not waiter.woken:
            # Enter the list, then look at the table. The watchdog sees the baton there, or us in the list.
            with self._giving:
                self._waiters.append(waiter)
            leads = self._take_baton()
            if not leads:
                waiter.lock.acquire(timeout=max(0.0, until - monotonic()))
            with self._giving:
                try:
                    self._waiters.remove(waiter)
                except ValueError:
                    leads = True  # the watchdog has given us the baton
            if leads:
                self._stand_in(waiter, until)
            if monotonic() >= until:
                return waiter.woken
        return True

    def _stand_in(self, waiter: _StandIn, until: float) -> None:
        """Lead until `waiter` is woken, or another thread can lead. It has no baton when this returns."""
        if self._hand_on():
            return
        waiter.thread = threading.get_ident()
        waiter.leading = self._standing_in = True
        handed_on = False
        while not (handed_on or waiter.woken or self._closed) and monotonic() < until:
            self._prepare()
            if self._parked or self.threads < self._max_threads:
                self._restore()
                handed_on = self._hand_on()
            if not (handed_on or waiter.woken):
                self._poll()
        waiter.leading = self._standing_in = False
        if not handed_on:
            if self._watchdog_asleep:
                self.wake_watchdog()
            self._restore()
            self._runner = threading.get_native_id()
            self.enter_call()

    def _prepare(self) -> None:
        """Do the part of the ready units that calls no application."""
        ready = self.ready
        for _ in range(min(len(ready), len(STINT))):  # one may be ready again at once
            if not ready:
                return
            prepare_next(self)

    def _restore(self) -> None:
        """Put the units whose call is due back in front of the others."""
        self.ready.extendleft(reversed(self.due))
        self.due.clear()

    # -- around an application call ---------------------------------------------------

    def enter_call(self) -> None:
        """Lay the baton on the table before a call. The leader; the pool is not eager."""
        self._calls += 1
        self._table.append(_BATON)

    def trusts(self, kind: str) -> bool:
        """Return whether a call needs no timing: the pool is eager and trusts its kind (see `habits`).

        Then `enter_call` is next. The leader; calls are timed.
        """
        if self.eager and self._habits.trusts(kind):
            self._trusted = kind
            return True
        return False

    def is_worth_timing(self, kind: str) -> bool:
        """Return whether a call that `enter_timed` begins is to be timed. Any thread."""
        return not self.eager or self._habits.is_worth_timing(kind)

    def enter_timed(self) -> bool:
        """Hand the baton on before a call where the pool is eager.

        Return whether the call is expected to be quick. The leader; calls are timed.
        """
        self._calls += 1
        self._now = monotonic()
        if not self.eager:
            self._table.append(_BATON)
            return True
        self._trusted = ''
        if not self._hand_on():
            self._table.append(_BATON)
        return False

    def learn(self, kind: str, duration: float, waits: int) -> None:
        """Take the duration of a timed call, and how often its thread waited. Any pool thread.

        Both are the application's alone, without the sending of its response: that releases the
        interpreter's lock, and may have to wait for it.
        """
        if not self.eager:
            if duration > SLOW_CALL and waits and self._disturbed != self._calls:
                self._turn_eager(monotonic())
        elif duration > SLOW_CALL:
            if waits:  # else it computed, or lost the processor: that says nothing of its kind
                self._habits.note_slow(kind)
        else:
            self._habits.note_quick(kind)

    def leave_call(self, duration: float, now: float, trusted: str = '') -> bool:
        """Take the baton after a call, where it is on the table. Return whether this thread leads now.

        `trusted` is the kind of the call, where it was not timed because the pool trusts it.
        """
        self._now = now
        if duration > SLOW_CALL and (trusted or not self.timed):
            self._suspect(now, trusted)
        try:
            self._table.pop()
        except IndexError:
            return False
        return True

    def _suspect(self, now: float, trusted: str) -> None:
        """Have the next calls timed, after one that was not, and looked slow."""
        if self._parallel and not trusted:
            self._turn_eager(now)
        elif times_waited() == self._waited or self._disturbed == self._calls:
            # Its thread has not waited. A call that computed, or lost the processor to another process,
            # would gain nothing from a second thread under the interpreter's lock.
            pass
        elif trusted:
            self._habits.doubt(trusted)
        else:
            self._timed_until = now + SUSPECT_PERIOD
            self.timed = True

    def _turn_eager(self, now: float) -> None:
        self._timed_until = now + EAGER_PERIOD
        self.timed = True
        self.eager = True

    # -- the watchdog -----------------------------------------------------------------

    def watch(self, done: threading.Event) -> None:
        """Act as the watchdog, in the main thread, until `done` is set and the watchdog is woken.

        A leader that has been inside one call since the last check loses the baton to a follower: a
        call that blocks unexpectedly delays others by two checks at most. A leader that is ready to
        run is excused until it has computed for a check: it may only have no processor.
        """
        seen = (-1, -1)
        usual = pause = CHECK_EVERY
        quiet = 0
        ran: int | None = None
        before = monotonic()
        trim_at = before + TRIM_EVERY
        # A bare lock: Event.wait() makes one each time, and holds the interpreter's lock 10 times longer.
        alarm = self._watchdog_alarm
        while not (done.is_set() or self.failure):
            alarm.acquire(timeout=pause)
            now = monotonic()
            late = now - before > pause + LATE
            before = now
            if self.timed and now > self._timed_until:
                self.timed = self.eager = False
                self._trusted = ''
            if now > trim_at:
                trim_at = now + TRIM_EVERY if trim() else inf
            state = (self._calls, self.polls)
            if late and self._table:
                self._disturbed = self._calls
            usual = self._next_pause(usual, state[0] - seen[0])
            pause = CHECK_EVERY if self._call_is_long(now) else usual
            if state != seen:
                seen = state
                quiet = 0
                ran = None
            elif self._table and late and ran is None:
                ran = processor_time(self._runner)  # this thread had no processor, so perhaps the leader too
            elif self._table and not is_waiting(self._runner) and not self._computed(ran):
                ran = processor_time(self._runner) if ran is None else ran
                quiet = 0
            elif self._table:
                self._on_stall()
                self._rescue(now)
                quiet = 0
            else:
                quiet += 1
                if quiet > QUIET_CHECKS and not self.timed:
                    self._sleep(state, done)
                    quiet, usual, before = 0, CHECK_EVERY, monotonic()

    def _next_pause(self, usual: float, calls: int) -> float:
        """Return the usual time to the next check, after `calls` since the last. The watchdog."""
        if self.timed or 0 < calls < MANY_CALLS:
            return CHECK_EVERY
        return min(2 * usual, CHECK_AT_LEAST) if calls else usual  # none: it may have had no processor

    def _call_is_long(self, now: float) -> bool:
        """Return whether the leader's unit may be stuck in a call: then the next check is soon."""
        return bool(self._table) and now - max(self._now, self._turn_ends - TURN) > CHECK_EVERY

    def _computed(self, before: int | None) -> bool:
        """Return whether the leader has computed for a while since its processor time was `before`."""
        return before is not None and processor_time(self._runner) - before > COMPUTING

    def _rescue(self, now: float) -> None:
        """Move the baton from the table to a follower, where there is one."""
        try:
            member: _PoolThread | None = self._parked.pop()
        except IndexError:
            member = None
            if not self._reserve_thread():
                self._rescue_by_waiter()
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
            self._habits.note_slow(self._trusted)  # now: more calls of its kind may follow before it returns
        self._turn_eager(now)
        if member is not None:
            member.wake.release()
        else:
            try:
                self._start_thread()
            except NO_THREAD:
                self._table.append(_BATON)

    def _rescue_by_waiter(self) -> None:
        """Move the baton from the table to a handler that waits for its client, where there is one."""
        with self._giving:
            if self._waiters and self._take_baton():
                self._waiters.pop().ring()

    def _sleep(self, state: tuple[int, int], done: threading.Event) -> None:
        self._watchdog_asleep = True
        # The leader counts, then reads `_watchdog_asleep`. We set it, then read the counts: one of the
        # two sees the other. Sleep only while the leader polls: it reads the flag before the next unit.
        if self._gathering and (self._calls, self.polls) == state and not done.is_set() and not self._closed:
            self._watchdog_alarm.acquire()
        self._watchdog_asleep = False

    def wake_watchdog(self) -> None:
        """Have the watchdog check now. Any thread."""
        self._watchdog_asleep = False
        try:
            self._watchdog_alarm.release()
        except RuntimeError:
            pass  # it did not sleep yet, and has seen the count

    # -- the end ----------------------------------------------------------------------

    def close(self) -> None:
        """End the parked threads: there is no more work. Any thread."""
        self._closed = True
        self.release_all()
        self.wake_watchdog()
        if self.transmitter is not None:
            self.transmitter.close()

    def release_all(self) -> None:
        """Wake all parked threads. Any thread."""
        while self._parked:
            try:
                self._parked.pop().wake.release()
            except IndexError:
                return
