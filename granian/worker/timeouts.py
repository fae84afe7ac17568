"""--worker-timeout: a thread of its own finds out whether the worker hangs.

What hanging means depends on the core. One thread: a call of the application takes too long. Several:
all of them are in the same calls for too long, and work is waiting. gevent and asyncio: the hub, or the
loop, does not turn. Time in which a handler waits for its client does not count.

A thread that holds the interpreter lock stops this thread as well. So it sends the main process a sign
of life, and the main process kills a worker whose signs stay away.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import time
import traceback
from _thread import get_ident, start_new_thread
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..clocks import monotonic
from ..messages import WARNINGS

if TYPE_CHECKING:
    from ..stream import Handler, Stream

logger = logging.getLogger('_granian')

_poll = getattr(select, 'poll', None)
_sleep = time.sleep  # gevent may put its own in their place; this thread is a real one
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_CLIENT = os.path.join(_HERE, 'core') + os.sep
"""A thread whose innermost frame is in there waits for its client."""
FAILED = (b'Content-Type', b'text/plain')


class Turning(Protocol):
    """A core that serves from one thread, which goes round in a loop."""

    def nudge(self) -> None:
        """Have the loop turn soon. Any thread."""
        ...

    @property
    def turns(self) -> int: ...


class Call:
    """A call of the application that has not returned. Made for each request, so it does little."""

    __slots__ = ('head', 'since', 'stream')

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.head = stream.head
        """Of this call: the stream is used again."""
        self.since = monotonic()


class Calls:
    """The calls in progress, by thread."""

    latest: ClassVar[Calls | None] = None
    """The calls of this process; None where no monitor watches them."""

    def __init__(self) -> None:
        self.running: dict[int, Call] = {}
        Calls.latest = self

    @classmethod
    def restart(cls) -> None:
        """Count the time of all calls from now: the application says that it makes progress."""
        if cls.latest is not None:
            now = monotonic()
            for call in list(cls.latest.running.values()):
                call.since = now

    def handler(self, handle: Handler) -> Handler:
        """Wrap a handler so that its calls are known here."""
        running = self.running

        def timed(stream: Stream) -> None:
            me = get_ident()
            running[me] = Call(stream)
            try:
                handle(stream)
            finally:
                del running[me]

        return timed

    def overdue(self, now: float, limit: float, look: float) -> dict[int, Call]:
        """Return the calls that have taken longer than `limit`; `look`: seconds since the last time."""
        frames = sys._current_frames()
        found = {}
        for ident, call in list(self.running.items()):
            frame = frames.get(ident)
            if frame is not None and frame.f_code.co_filename.startswith(_CLIENT):
                call.since = min(now, call.since + look)  # it waits for its client
            elif now - call.since > limit:
                found[ident] = call
        return found


class Monitor:
    """Looks after a worker. `beat` tells the main process that the worker lives.

    `replace` asks for a successor; `end` ends this process at once, after telling the main process.
    """

    def __init__(
        self, limit: float, beat: Callable[[], None], replace: Callable[[], None], end: Callable[[], None]
    ) -> None:
        self._limit = limit
        self._look = max(0.02, min(1.0, limit / 4))
        self._beat = beat
        self._replace = replace
        self._end = end
        self._check: Callable[[float], None] = lambda now: None
        self._reported = False
        self._turns = -1
        self._turned = 0.0

    def watch_calls(self, calls: Calls, threads: int, waiting: Callable[[], bool]) -> None:
        """Judge by the calls of the application, at most `threads`; `waiting` tells of work in a queue."""

        def check(now: float) -> None:
            overdue = calls.overdue(now, self._limit, self._look)
            if threads == 1 and overdue:
                self._report(overdue)
                for call in overdue.values():
                    _answer(call.stream)
                self._end()
            elif threads > 1 and len(overdue) >= threads and waiting() and not self._reported:
                self._reported = True
                self._report(overdue)
                self._replace()

        self._check = check

    def watch_turns(self, core: Turning, thread: int) -> None:
        """Judge by whether the core's loop turns; `thread` is the one in which it does."""

        def check(now: float) -> None:
            if core.turns != self._turns:
                self._turns, self._turned = core.turns, now
                core.nudge()
            elif now - self._turned > self._limit:
                self._report({thread: None})
                self._end()

        self._check = check

    def start(self) -> None:
        """Start the thread."""
        self._turned = monotonic()
        start_new_thread(self._live, ())

    def _live(self) -> None:
        while True:
            _sleep(self._look)
            self._beat()
            try:
                self._check(monotonic())
            except Exception:
                logger.exception('Internal error in --worker-timeout')

    def _report(self, calls: Mapping[int, Call | None]) -> None:
        frames = sys._current_frames()
        parts = []
        for ident, call in calls.items():
            request = f'{call.head.method} {call.head.path}' if call is not None else 'the event loop'
            parts.append(f'{request}\n{_stack(frames.get(ident))}')
        logger.critical(WARNINGS['worker_timeout'], os.getpid(), self._limit, '\n'.join(parts))


def readable(fds: Sequence[int]) -> bool:
    """Return whether one of the descriptors is readable now."""
    if _poll is None:
        return bool(select.select(fds, (), (), 0)[0])
    poller = _poll()
    for fd in fds:
        poller.register(fd, 1)
    return bool(poller.poll(0))


def _stack(frame: FrameType | None) -> str:
    return ''.join(traceback.format_stack(frame)).rstrip() if frame is not None else '  (no stack)'


def _answer(stream: Any) -> None:
    """Answer 500 in the place of a call that hangs, if it has sent nothing. The process ends afterwards."""
    if not stream.status:
        try:
            stream.respond(500, [FAILED], b'Internal Server Error\n')
        except Exception as exc:
            logger.debug('No answer to a request that hangs: %s', exc)
