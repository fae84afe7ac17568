"""The lifespan of an ASGI application: its startup and shutdown events."""

from __future__ import annotations

import asyncio
from typing import Any

from ..errors import FatalError
from ..messages import WARNINGS, refusal
from .types import Application, Message, logger, misuse

# States of a lifespan.
NEW = 'not begun'
STARTING = 'starting'
RUNNING = 'running'
STOPPING = 'stopping'
OVER = 'over'

LIFESPAN: dict[tuple[str, str], str] = {
    (NEW, 'startup'): STARTING,
    (STARTING, 'lifespan.startup.complete'): RUNNING,
    (STARTING, 'lifespan.startup.failed'): OVER,
    (STARTING, 'ended'): OVER,
    (RUNNING, 'ended'): OVER,
    (RUNNING, 'shutdown'): STOPPING,
    (STOPPING, 'lifespan.shutdown.complete'): OVER,
    (STOPPING, 'lifespan.shutdown.failed'): OVER,
    (STOPPING, 'ended'): OVER,
    (OVER, 'ended'): OVER,
}
"""Transitions: (state, input) → state.

'startup' and 'shutdown' are events of the server, 'ended' is the application's return or exception, the
others are its messages. A message without an entry is a mistake of the application.
"""

PATIENCE = 1.0
"""Seconds that the application has to return after its last message."""

MESSAGES = frozenset(name for _, name in LIFESPAN if name.startswith('lifespan.'))


class LifespanProtocol:
    """Run one application's lifespan on the running loop. Call `startup` once, then `shutdown` once."""

    def __init__(self, app: Application, required: bool = False) -> None:
        """Make a lifespan. `required`: an application without one cannot start."""
        self.state: dict[str, Any] = {}
        """State that the application filled in its lifespan scope, for the scopes of requests."""
        self._app = app
        self._required = required
        self._step = NEW
        self._events: list[str] = []
        self._wakeup: asyncio.Event | None = None
        self._moved: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._started = False
        self._received = False
        self._failure = ''
        self._error: BaseException | None = None

    async def startup(self) -> None:
        """Send `lifespan.startup` and wait for the answer. Raise FatalError if it is a failure.

        An application that returns or raises before it answers has no lifespan; it is served. If it
        raises after it has received the event, its traceback is logged: it has a lifespan, which failed.
        """
        self._wakeup = asyncio.Event()
        self._moved = asyncio.Event()
        self._step = LIFESPAN[self._step, 'startup']
        self._events.append('lifespan.startup')
        self._wakeup.set()
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._until_not(STARTING)
        if self._failure:
            await self._join()
            raise FatalError(refusal('app_failed', reason=self._failure))
        if not self._started:
            await self._join()
            why = '' if self._error is None else f' ({self._error!r})'
            if self._required:
                raise FatalError(refusal('lifespan_missing', why=why))
            logger.debug(WARNINGS['no_lifespan'], why)

    async def shutdown(self) -> None:
        """Send `lifespan.shutdown` and wait until the application has ended. Log its failure."""
        if self._step is not RUNNING:
            await self._join()
            return
        assert self._wakeup is not None
        self._step = LIFESPAN[self._step, 'shutdown']
        self._events.append('lifespan.shutdown')
        self._wakeup.set()
        await self._until_not(STOPPING)
        if self._failure:
            logger.error('ASGI application: shutdown failed: %s', self._failure)
        await self._join()

    async def _until_not(self, step: str) -> None:
        assert self._moved is not None
        while self._step is step:
            self._moved.clear()
            await self._moved.wait()

    async def _join(self) -> None:
        """Wait PATIENCE seconds for the application to return, then cancel it."""
        if self._task is None or self._task.done():
            return
        _, pending = await asyncio.wait([self._task], timeout=PATIENCE)
        if pending:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        scope = {
            'type': 'lifespan',
            'asgi': {'version': '3.0', 'spec_version': '2.0'},
            'state': self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # SystemExit too: the application does not end the worker
            self._error = error
            if (self._received or self._step is not STARTING) and not self._failure:
                logger.error('Exception in the ASGI lifespan of the application', exc_info=error)
        self._move('ended')

    async def _receive(self) -> Message:
        assert self._wakeup is not None
        while not self._events:
            self._wakeup.clear()
            await self._wakeup.wait()
        self._received = True
        return {'type': self._events.pop(0)}

    async def _send(self, message: Message) -> None:
        kind = message['type']
        if (self._step, kind) not in LIFESPAN or kind not in MESSAGES:
            raise misuse(f'{kind} is not possible here: the lifespan is {self._step}')
        if kind.endswith('.failed'):
            self._failure = str(message.get('message') or 'it gives no reason')
        elif self._step is STARTING:
            self._started = True
        self._move(kind)

    def _move(self, event: str) -> None:
        assert self._moved is not None
        self._step = LIFESPAN[self._step, event]
        self._moved.set()
