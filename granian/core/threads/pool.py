"""Leader and followers: the threads that take turns at polling.

The thread that holds the *baton* leads. It gathers ready units of work and runs them itself, so
while the application is quick there is no switch between threads. Before a unit calls the
application, the leader either hands the baton to a follower (when calls have been slow lately,
see `eagerness`) or lays it on the table. It is taken from there

- by the leader itself, when the call returns: the usual case;
- by the watchdog, which gives it to a follower when the call takes too long (see `watchdog`);
- by another thread that has finished its own call.

`list.append` and `list.pop` are atomic, so the table needs no lock: the thread that pops the
baton leads. This module knows who leads and how long a turn is. It must not know when a call is slow or
stuck, nor sockets and HTTP.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from time import sleep

from ...clocks import monotonic
from ...own_threads import NO_THREAD, start_thread
from ..blocking.scheduling import times_waited, use_batch_policy
from ..blocking.transmitter import Transmitter
from ..blocking.work import Backlog, Call, MeasuredQueue, Waiter, Work
from ..system_errors import NOT_A_SOCKET
from .alarm import Alarm
from .eagerness import SLOW_CALL, Eagerness
from .member import IdleTime, Member
from .stand_in import StandIn, StandIns

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


class Pool(Eagerness):
    """The threads. The leader calls `gather()`, which polls and appends to `ready`. `interrupt()` ends it.

    Every method says which thread may call it.
    """

    def __init__(
        self,
        gather: Callable[[], None],
        max_threads: int,
        idle_timeout: float,
        *,
        parallel: bool = False,
        measured: bool = False,
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(parallel)
        self.ready: deque[Work] = MeasuredQueue() if measured else deque()
        self.due: deque[Call] = deque()
        self.backlog = Backlog(self.ready, self)
        self.threads = 0
        self.transmitter: Transmitter | None = Transmitter()
        self.alarm = Alarm()
        self.table: list[object] = []
        """Holds the baton while the leader is inside a call."""
        self.polls = 0
        self.gathering = False
        """The leader polls."""
        self.runner = 0
        """Native id of the thread that runs, or ran last, a unit as the leader."""
        self.failure: BaseException | None = None
        """The error of polling that has ended the pool."""
        self.closed = False
        self._gather = gather
        self._max_threads = max_threads
        self._idle_timeout = idle_timeout
        self._interrupt = interrupt
        self._parked: list[Member] = []
        self._idle_time = IdleTime() if measured else None
        self._growing = threading.Lock()
        self._stint = iter(STINT)
        """The units until the next poll. It passes on with the baton: a new leader begins no turn."""
        self._now = 0.0
        """Time of the last unit, or of the call that it has left."""
        self._turn_ends = 0.0
        self._failures = 0
        """Polls in a row that have failed."""
        self._stand_ins = StandIns(self, TURN)

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
            if self.threads >= self._max_threads or self.closed:
                return False
            self.threads += 1
            return True

    def _start_thread(self) -> None:
        try:
            start_thread(self._live, f'granian-pool-{self.threads}')
        except NO_THREAD:
            with self._growing:
                self.threads -= 1
            raise

    def _live(self) -> None:
        """Live as a thread of the pool. An exception ends the pool: the thread may have had the baton."""
        try:
            self._take_turns()
        except BaseException as error:
            self.fail(error)

    def _take_turns(self) -> None:
        """Lead, park, and lead again: a pool thread's life, which begins with the baton."""
        member = Member()
        if self.threads > 1 and not self._parallel:
            # The threads wake each other all the time. Measured with 10 ms of sleep: 0.85 of the processor
            # time a request; one request in ten sleeping: 0.8 to 0.9. A pool of one thread has no need.
            use_batch_policy()
        park = self._park
        if self._idle_time is not None:
            park = self._park_measured
            self._idle_time.add(member)
        while True:
            self._lead()
            # Another thread has the baton, or it is on the table while a call runs.
            if self.take_baton():
                continue
            if not park(member):
                break
        if self._idle_time is not None:
            self._idle_time.remove(member)

    def _lead(self) -> None:
        """Run units and poll while this thread has the baton. It has none when this returns."""
        ready = self.ready
        me = threading.get_native_id()
        while not self.closed:
            if not ready:
                self.poll()
                continue
            if self.alarm.asleep:  # not before: an idle server's looks at its deadlines would wake it
                self.alarm.ring()
            for _ in self._stint:
                if not ready or self._now > self._turn_ends:
                    break
                calls = self.calls
                self.runner = me
                try:
                    if not ready.popleft().work():
                        return
                except BaseException:
                    # A fault of ours. Without this, it would end the leader, and so the server.
                    logger.exception('Internal error in a unit of work')
                    if self.calls != calls:
                        return  # this thread has no baton any more
                if self.calls == calls:  # it has called no application: a body of tiny chunks takes long
                    self._now = monotonic()
            self.poll()
        # Closing: pass the baton on, so that every parked thread sees the end in turn.
        self.table.append(_BATON)
        self.release_all()

    def poll(self) -> None:
        """Gather ready units. The leader."""
        if self.ready and (self.eager or self._now > self._turn_ends):
            self.backlog.collect()
        self.gathering = True
        try:
            self._gather()
            self._failures = 0
        except BaseException as error:
            self._take_failure(error)
        self.gathering = False
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
        if not self.closed:
            self.failure = error
            self.closed = True
            self.alarm.ring()

    def _park(self, member: Member) -> bool:
        """Wait for the baton. False when the thread should end instead."""
        self._parked.append(member)
        if self.closed:
            member.wake.acquire(False)
            return False
        if self._stand_ins.leading:
            self._interrupt()  # append, then read: the leader sets it, then reads `_parked`
        if member.wake.acquire(timeout=self._idle_timeout):
            return not self.closed
        with self._growing:
            try:
                self._parked.remove(member)
            except ValueError:
                pass  # another thread is giving us the baton right now
            else:
                self.threads -= 1
                return False
        member.wake.acquire()
        return not self.closed

    def _park_measured(self, member: Member) -> bool:
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
        return 0.0 if self._idle_time is None else self._idle_time.total()

    def take_baton(self) -> bool:
        """Take the baton from the table. Return whether it was there and the pool goes on. Any thread."""
        try:
            self.table.pop()
        except IndexError:
            return False
        return not self.closed

    @property
    def can_hand_on(self) -> bool:
        """True while a thread is parked, or another one may be started."""
        return bool(self._parked) or self.threads < self._max_threads

    def hand_on(self) -> bool:
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
        self._now = monotonic()  # the next leader goes on with this turn
        if self._stand_ins.leading:
            return True
        try:
            member = self._parked.pop()
        except IndexError:
            return True
        self.calls += 1
        member.wake.release()
        return False

    # -- handlers that wait for their client ------------------------------------------

    def give_way(self) -> None:
        """Do nothing: the system shares the processor among threads."""

    def rest(self) -> None:
        """Wait 2 ms: deciphering gives the interpreter's lock up and asks for it at each record."""
        sleep(0.002)

    def make_waiter(self) -> Waiter:
        """Return a waiter for `wait`. Any thread."""
        return StandIn(self._interrupt)

    def wait(self, waiter: Waiter, timeout: float) -> bool:
        """Wait until `waiter` is woken. Return False after `timeout` seconds. A handler, which may lead."""
        assert isinstance(waiter, StandIn)
        return self._stand_ins.wait(waiter, timeout)

    def resume_call(self) -> None:
        """Go on with the call of a handler that has led during its wait. That handler."""
        if self.alarm.asleep:
            self.alarm.ring()
        self.runner = threading.get_native_id()
        self.enter_call()

    # -- around an application call ---------------------------------------------------

    def enter_call(self) -> None:
        """Lay the baton on the table before a call. The leader; the pool is not eager."""
        self.calls += 1
        self.table.append(_BATON)

    def enter_timed(self) -> bool:
        """Hand the baton on before a call where the pool is eager.

        Return whether the call is expected to be quick. The leader; calls are timed.
        """
        self.calls += 1
        self._now = monotonic()
        if not self.eager:
            self.table.append(_BATON)
            return True
        self._trusted = ''
        if not self.hand_on():
            self.table.append(_BATON)
        return False

    def leave_call(self, duration: float, now: float, trusted: str = '') -> bool:
        """Take the baton after a call, where it is on the table. Return whether this thread leads now.

        `trusted` is the kind of the call, where it was not timed because the pool trusts it.
        """
        self._now = now
        if duration > SLOW_CALL and (trusted or not self.timed):
            self._suspect(now, trusted)
        try:
            self.table.pop()
        except IndexError:
            return False
        return True

    # -- what the watchdog sees and does ----------------------------------------------

    @property
    def unit_began(self) -> float:
        """Earliest time at which the leader's unit can have begun."""
        return max(self._now, self._turn_ends - TURN)

    def rescue(self, now: float) -> None:
        """Move the baton from the table to a follower, or to a handler that waits. The watchdog."""
        try:
            member: Member | None = self._parked.pop()
        except IndexError:
            member = None
            if not self._reserve_thread():
                self._stand_ins.give_baton()
                return
        try:
            self.table.pop()
        except IndexError:  # the call has just returned
            if member is None:
                with self._growing:
                    self.threads -= 1
            else:
                self._parked.append(member)
            return
        self._note_stuck(now)
        if member is not None:
            member.wake.release()
        else:
            try:
                self._start_thread()
            except NO_THREAD:
                self.table.append(_BATON)

    # -- the end ----------------------------------------------------------------------

    def close(self) -> None:
        """End the parked threads: there is no more work. Any thread."""
        self.closed = True
        self.release_all()
        self.alarm.ring()
        if self.transmitter is not None:
            self.transmitter.close()

    def release_all(self) -> None:
        """Wake all parked threads. Any thread."""
        while self._parked:
            try:
                self._parked.pop().wake.release()
            except IndexError:
                return
