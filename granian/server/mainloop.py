"""The one place where the main process waits: for signals, for its workers, for the clock."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import inf
from multiprocessing.connection import wait
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from .. import log
from ..worker import ipc
from .companions import Companion, earliest
from .handles import Handle
from .signals import SignalInbox
from .supervisor import Member, Reason, Supervisor
from .tables import Happening, Input, Life

if TYPE_CHECKING:
    from .metrics import Exporter

logger = logging.getLogger('_granian')

INPUTS = {
    'SIGINT': Input.STOP,
    'SIGTERM': Input.STOP,
    'SIGBREAK': Input.STOP,
    'SIGHUP': Input.RELOAD,
    'SIGQUIT': Input.QUIT,
    'SIGTTIN': Input.GROW,
    'SIGTTOU': Input.SHRINK,
}
"""Signals that the supervisor is told of."""
_REASONS = {ipc.REQUESTS: Reason.REQUESTS}
UNUSED = ('SIGUSR2', 'SIGWINCH')


class MainLoop:
    """Waits on signals, on the workers' pipes and ends, and on the clock, and tells the supervisor."""

    def __init__(
        self,
        supervisor: Supervisor,
        inbox: SignalInbox,
        companions: Sequence[Companion] = (),
        exporter: Exporter | None = None,
    ) -> None:
        self.supervisor = supervisor
        self.inbox = inbox
        self.companions = companions
        self.exporter = exporter
        """One of the companions, told of the workers' figures."""
        self._said: ipc.Failure | None = None

    def turn(self) -> None:
        """Wait until something happens, and deal with all that has."""
        supervisor = self.supervisor
        look = min(supervisor.next_look(), earliest(self.companions))
        handles = [cast(Handle, member.handle) for member in supervisor.members]
        sources: list[Any] = [self.inbox.source, *(source for handle in handles for source in handle.sources)]
        for companion in self.companions:
            sources += companion.sources
        # A thread that is left behind says nothing any more.
        timeout = 0.0 if any(handle.ended() for handle in handles) else max(0.0, look - monotonic())
        ready = set(wait(sources, None if timeout == inf else timeout))
        self._signals()
        for member in list(supervisor.members):
            handle = cast(Handle, member.handle)
            # What is over first, and what it said after that: it cannot say more.
            over = handle.ended(handle.fired(ready))
            for kind, value in handle.messages():
                self._message(member, kind, value)
            if over:
                self._ended(member, handle)
        for companion in self.companions:
            companion.look(ready, monotonic())
        supervisor.tick(monotonic())

    def _signals(self) -> None:
        for name in self.inbox.take():
            if name in INPUTS:
                self.supervisor.feed(INPUTS[name], monotonic())
            elif name == 'SIGUSR1':
                self._reopen()
            elif name in UNUSED:
                logger.info('%s is not used', name)

    def _reopen(self) -> None:
        log.reopen_log_files()
        for member in self.supervisor.members:
            cast(Handle, member.handle).send(ipc.REOPEN)

    def _message(self, member: Member, kind: str, value: Any) -> None:
        if kind == ipc.READY:
            self.supervisor.happened(member, Happening.READY, monotonic())
        elif kind == ipc.FAILED:
            cast(Handle, member.handle).failure = value
        elif kind == ipc.REPLACE:
            self.supervisor.replace(member, _REASONS[value], monotonic())
        elif kind == ipc.METRICS and self.exporter is not None:
            self.exporter.store.record(member, value)

    def _ended(self, member: Member, handle: Handle) -> None:
        # Signals first: when a service manager ends all processes of the server at once, the workers'
        # ends are what was asked for.
        self._signals()
        if member.life in (Life.STARTING, Life.SERVING):
            self._obituary(member, handle)
        handle.close()
        self.supervisor.happened(member, Happening.EXIT, monotonic())

    def _obituary(self, member: Member, handle: Handle) -> None:
        """Why a worker ended unasked: what it said itself, and that once for all workers."""
        failure = handle.failure
        if failure is None:
            when = 'unexpectedly' if member.life is Life.SERVING else 'before it was ready'
            logger.error('%s (PID %s) ended %s: %s', member.name, handle.pid, when, handle.farewell)
            return
        if failure != self._said or member is self.supervisor.newcomer:
            if failure.traceback:
                logger.error('%s', failure.traceback)
            logger.error('%s', failure.message)
        self._said = failure
