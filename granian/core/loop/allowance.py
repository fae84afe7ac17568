"""A bound on what a crowd of clients may begin in one turn of the loop: the others wait in lanes.

The loop calls every connection that has input before it looks for news: a thousand requests that arrive at
one moment would keep all other clients waiting for as long as they take.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...clocks import monotonic

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sized
    from contextvars import Context

    Call = tuple[Callable[..., object], tuple[Any, ...]]

logger = logging.getLogger('_granian')

SHARE: Final = 0.004
"""Seconds of a turn for the connections in the lanes; as many are for those that have input in this turn."""
BEGUN: Final = 64
"""Maximum handlers begun or woken in a share that go on after it. What they do then belongs to the turn, but
not to the share: where turns are long, fewer are begun and woken."""
LEAST_BEGUN: Final = 8
"""The same where turns are long."""
UNWATCHED: Final = 32
"""Calls of connections until the clock is looked at: fewer requests than these make no long turn."""
WATCHED: Final = 8
"""Calls between two looks in a turn that has had more."""
NESTED: Final = 4
"""Questions that one call of a connection asks at most: of the TLS layer, the connection, and its version."""
HELD: Final = 4096
"""Bytes of input in a lane above which a connection is not read on, and up to which they are little."""
NEWEST: Final = 3
"""Number of its newest connections that a lane gives for one of its oldest."""

SET_UP, HELLO, FINISHED, FIRST, LITTLE, REST = range(6)
"""Lanes: of accepted sockets, connections before and after our part of the TLS handshake, those before their
first request, and others that have little input. REST is of all else: more input, what goes on, and the ends
of connections."""


class Reader(Protocol):
    """A connection. Its TLS layer and its tunnel wait in its name: what they pass on must stay in order."""

    lane: int
    """The lane for little input of it."""

    def abort(self) -> None:
        """Close at once."""
        ...

    def read_again(self) -> None:
        """Read from the socket again if there is room: nothing of it waits in a lane any more."""
        ...


class Lane:
    """Connections that have come equally far, in the order in which they began to wait."""

    __slots__ = ('_taken', 'readers', 'spent')

    def __init__(self) -> None:
        self.readers: OrderedDict[Reader, None] = OrderedDict()
        self.spent = 0.0
        """Seconds of the present share that it has had."""
        self._taken = 0

    def take(self) -> Reader:
        """Return one of the newest three times, then one of the oldest: few wait for the whole crowd."""
        self._taken += 1
        return self.readers.popitem(last=self._taken % (NEWEST + 1) != 0)[0]


class Queue(Lane):
    """Connections that go on are always the newest, so here the oldest is next."""

    __slots__ = ()

    def take(self) -> Reader:
        return self.readers.popitem(last=False)[0]


class Allowance:
    """Bounds what the connections of one loop do in a turn. The loop's thread.

    A connection asks before it handles input, its client's leaving, or its own end: it takes one of `left`,
    or calls `admits` when there is none. While connections wait there is none, so each call is looked at.
    """

    __slots__ = (
        '_began', '_begun', '_due', '_lanes', '_line', '_loop', '_most', '_places', '_unbounded', '_until',
        'context', 'left', 'resumed',
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context, begun: Sized) -> None:
        """Make an allowance. `begun` has the requests that are being handled."""
        self.left = UNWATCHED
        self.resumed = 0
        """Handlers that calls have woken so far, or may have."""
        self.context = context
        self._loop = loop
        self._begun = begun
        self._line: dict[Reader, tuple[Lane, list[Call]]] = {}  # those in the lanes, with what to call
        self._lanes = (Lane(), Lane(), Lane(), Lane(), Lane(), Queue())
        self._due = False  # the loop's next turn begins with `_begin`
        self._until = 0.0  # end of the share; 0 when none has been asked for in this turn
        self._began = 0.0  # begin of the turn; 0 when no connection waited then
        self._places = BEGUN  # handlers that may be begun or woken in a share
        self._most = 0  # `_handlers()` when the share's places are taken
        self._unbounded = False

    def admits(self, reader: Reader, call: Callable[..., object], *arguments: Sized) -> bool:
        """Return whether `reader` may go on in this turn. Else `call` is called in a later one."""
        if reader not in self._line and self._goes_on():
            return True
        self.put_off(reader, call, *arguments)
        return False

    def continues(self, reader: Reader, call: Callable[[], object]) -> bool:
        """Return the same where input is held since an earlier turn: it goes on behind those that wait.

        Else pipelined requests would take the share of the connections that have input in this turn.
        """
        if not self._line and self._goes_on():
            return True
        self.put_off(reader, call)
        return False

    def has_time(self) -> bool:
        """Return whether a call that can wait elsewhere may be made in this turn."""
        if self.left:
            self.left -= 1
            return True
        return self._goes_on()

    def note_long(self) -> None:
        """Have the next call look at the clock: this one may have taken as long as many requests."""
        self.left >>= 6  # 0, unless nothing is bounded

    def waiting(self, reader: Reader) -> int:
        """Return how many calls of this reader are put off: later ones must not overtake them."""
        return len(self._line[reader][1]) if reader in self._line else 0

    def holds_much(self, reader: Reader, size: int) -> bool:
        """Return whether to stop reading: `size` bytes that wait now are much, or others wait before them."""
        return size > HELD or self.waiting(reader) > 1

    def put_off(self, reader: Reader, call: Callable[..., object], *arguments: Sized) -> None:
        """Call in a later turn, after what else of this reader waits."""
        if reader not in self._line:
            number = reader.lane
            if number != SET_UP and not (arguments and len(arguments[0]) <= HELD):
                number = REST
            lane = self._lanes[number]
            lane.readers[reader] = None
            self._line[reader] = lane, []
        self._line[reader][1].append((call, arguments))
        self.left = 0
        self._call_begin()

    def forget(self, reader: Reader) -> None:
        """Drop the calls of a reader that is closed."""
        if reader in self._line:
            lane, _ = self._line.pop(reader)
            del lane.readers[reader]

    def unbound(self) -> None:
        """Put nothing off from now on: the worker stops, and each client has one request more at most."""
        self._unbounded = True
        if not self._line:
            self._go_unwatched()

    # -- turns

    def _goes_on(self) -> bool:
        """Return whether the share of connections that have input in this turn lasts."""
        now = monotonic()
        if not self._until:
            self._until, self._most = now + SHARE, self._handlers() + self._places
            self._call_begin()
        elif now >= self._until or self._handlers() >= self._most:
            return False
        self.left = 0 if self._line else WATCHED - 1
        return True

    def _handlers(self) -> int:
        """Return a number that grows by each handler that a call has begun or woken."""
        return len(self._begun) + self.resumed

    def _call_begin(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._begin, context=self.context)

    def _begin(self) -> None:
        """Begin a turn after one that was watched: with those that wait in the lanes."""
        self._due = False
        self._until = 0.0
        now = monotonic()
        if self._began:
            self._pace(now - self._began)
        try:
            if self._line:
                self._resume(now)
        finally:
            if self._line:
                self._began = now
                self.left = 0
                self._call_begin()
            else:
                self._began = 0.0
                self._go_unwatched()

    def _pace(self, duration: float) -> None:
        """Adapt the number of requests begun in a share to the seconds that a turn has taken."""
        if duration > 3 * SHARE:
            self._places = max(LEAST_BEGUN, self._places // 2)
        elif duration < 2 * SHARE:
            self._places = min(BEGUN, self._places + LEAST_BEGUN)

    def _go_unwatched(self) -> None:
        self.left = 1 << 60 if self._unbounded else UNWATCHED

    def _resume(self, now: float) -> None:
        """Make the calls in the lanes, for a share of a turn that began at `now`."""
        until, most = now + SHARE, self._handlers() + self._places
        for lane in self._lanes:
            lane.spent = 0.0
        while (waiting := self._next_lane(most)) is not None:
            reader = waiting.take()
            try:
                self._go_on(reader, self._line.pop(reader)[1])
            except Exception:  # a fault of ours: no further connection would go on
                logger.exception('Internal error on a connection')
                reader.abort()
            before, now = now, monotonic()
            waiting.spent += now - before
            if now >= until and not self._unbounded:
                break

    def _next_lane(self, most: int) -> Lane | None:
        """Return the lane that has had least of the share. Some wake no handler, and need no place."""
        needs_none = self._handlers() >= most and not self._unbounded
        lanes = self._lanes[:FIRST] if needs_none else self._lanes
        return min((lane for lane in lanes if lane.readers), key=lambda lane: lane.spent, default=None)

    def _go_on(self, reader: Reader, calls: list[Call]) -> None:
        """Make the calls of one reader. If one is put off again, the others wait behind it."""
        for number, (call, arguments) in enumerate(calls, 1):
            self.left = NESTED
            call(*arguments)
            if reader in self._line:
                self._line[reader][1].extend(calls[number:])
                return
        reader.read_again()
