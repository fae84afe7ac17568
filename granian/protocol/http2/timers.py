"""The timers of one HTTP/2 connection: how long it may be quiet, keep-alive PINGs, and when GOAWAY is sent.

No clock is read here: `now` (seconds, monotonic) is an argument. A core calls `settle` after each turn,
sleeps until `deadline`, then asks `overdue` and writes what `act` returns.

Time limits of a connection without a stream:
- for its first request, or the rest of a request head: `head_timeout` from the first byte, however slowly
  the rest arrives;
- for the next request: `keep_alive_timeout`;
- after GOAWAY, for a request that was on its way: the core's grace. It is longer at a reload than at a stop,
  and longest for a connection without a request.
"""

from __future__ import annotations

import math
from typing import Protocol

from ..limits import GRACE, RECENT


class Durations(Protocol):
    """Settings, in seconds; a core's settings have them."""

    @property
    def head_timeout(self) -> float: ...
    @property
    def keep_alive_timeout(self) -> float: ...
    @property
    def write_timeout(self) -> float: ...
    @property
    def http2_keep_alive_interval(self) -> float | None: ...
    @property
    def http2_keep_alive_timeout(self) -> float: ...


class Graces(Protocol):
    """Seconds in which a request may still arrive when the worker stops; a core or its reactor has them."""

    @property
    def grace(self) -> float: ...

    @property
    def first_grace(self) -> float: ...


class Timed(Protocol):
    """The part of `Http2` that is timed."""

    @property
    def idle(self) -> bool: ...

    @property
    def used(self) -> bool: ...

    @property
    def awaiting_pong(self) -> bool: ...

    @property
    def data_sent(self) -> int: ...

    def is_starved(self, stream_id: int) -> bool: ...
    def ping(self) -> bytes: ...
    def shutdown(self) -> bytes: ...


class Timers:
    """One connection's. `busy`, an argument of several methods: a stream is in use."""

    __slots__ = ('_durations', '_graces', '_pong_due', 'head_since', 'http', 'idle_since', 'leaving_since',
                 'next_ping', 'stuck_since')  # fmt: skip

    def __init__(self, http: Timed, durations: Durations, graces: Graces, now: float) -> None:
        self.http = http
        self._durations = durations
        self._graces = graces
        self.head_since: float | None = now
        """Time since which the first request, or the rest of a head, is awaited; None: neither is."""
        self.idle_since: float | None = now
        """Time since which no stream has been in use; None while one is."""
        self.leaving_since: float | None = None
        """Time of the first GOAWAY."""
        self.stuck_since = math.inf
        """Time since which the client has taken nothing of our output; inf: there is none, or it takes it."""
        self.next_ping = now + self._interval
        self._pong_due = math.inf

    @property
    def _interval(self) -> float:
        return self._durations.http2_keep_alive_interval or math.inf

    # ---- what happens

    def settle(self, now: float, busy: bool) -> None:
        """Choose the time limit that holds now. Call it after input, and when a stream has ended."""
        if busy:
            self.head_since = self.idle_since = None
            return
        if self.idle_since is None:
            self.idle_since = now
        if not self.http.idle:
            if self.head_since is None:
                self.head_since = now  # absolute: more bytes of the same head do not move it
        elif self.head_since is not None and self.head_since > self.idle_since:
            self.head_since = None  # that head was refused, or it was another frame

    def leave(self, now: float) -> bytes:
        """Return GOAWAY for a worker that stops: the final one too if no request can be on its way.

        At a reload a request may always be: its client cannot know. Return nothing when called again: the
        client's PONG, or `act`, brings the final one.
        """
        if self.leaving_since is not None:
            return b''
        quiet_since = self.idle_since if self.head_since is None else self.head_since
        quiet = quiet_since is not None and self.http.idle and now - quiet_since >= RECENT
        return self._go_away(now, final=quiet and self._grace <= GRACE)

    @property
    def _grace(self) -> float:
        """Seconds for which a request is awaited after the first GOAWAY."""
        return self._graces.grace if self.http.used else self._graces.first_grace

    def _go_away(self, now: float, final: bool) -> bytes:
        """Return the first GOAWAY; with `final`, or after the first, the second (else a PONG brings it)."""
        out = b'' if self.leaving_since is not None else self.http.shutdown()
        final = final or self.leaving_since is not None
        if self.leaving_since is None:
            self.leaving_since = now
        return out + self.http.shutdown() if final else out

    # ---- what is due

    def deadline(self, busy: bool) -> float:
        """Return the earliest time at which something may be due."""
        if not self.http.awaiting_pong:
            self._pong_due = math.inf
        stuck = self.stuck_since + self._durations.write_timeout
        earliest = min(self.next_ping, self._pong_due, stuck)
        return earliest if busy else min(earliest, self._quiet_until())

    def _quiet_until(self) -> float:
        """Return the time at which a connection without streams is to end."""
        if self.idle_since is None:
            return math.inf
        head_due = math.inf if self.head_since is None else self.head_since + self._durations.head_timeout
        if self.leaving_since is not None:
            return min(head_due, max(self.leaving_since, self.idle_since) + self._grace)
        if self.head_since is not None:
            return head_due
        return self.idle_since + self._durations.keep_alive_timeout

    def overdue(self, now: float) -> bool:
        """Return whether to give the client up: it takes no output, or does not answer a PING."""
        if now >= self.stuck_since + self._durations.write_timeout:
            return True
        return self.http.awaiting_pong and now >= self._pong_due

    def act(self, now: float, busy: bool) -> bytes:
        """Return what is due now: a keep-alive PING, or GOAWAY to a client that was quiet for too long."""
        out = b''
        if now >= self.next_ping:
            if not self.http.awaiting_pong:
                out = self.http.ping()
                self._pong_due = now + self._durations.http2_keep_alive_timeout
            self.next_ping = now + self._interval
        if not busy and now >= self._quiet_until():
            # Of a client whose head is late, no other request is awaited.
            out += self._go_away(now, final=self.head_since is not None)
        return out
