"""The one place where the main process waits: for signals, for its workers, for the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from .. import log
from ..clocks import monotonic
from ..messages import LINES
from ..pipes import wait
from ..worker import ipc
from .companions import Companion, earliest
from .handles import Handle
from .records import WorkerRecord
from .signals import RELOAD, STOP, SignalInbox
from .supervisor import Supervisor
from .tables import ServerEvent, ServerState, WorkerEvent, WorkerState

if TYPE_CHECKING:
    from .metrics import Exporter

logger = logging.getLogger('_granian')

EVENTS = {
    STOP: ServerEvent.STOP,
    RELOAD: ServerEvent.RELOAD,
    'SIGINT': ServerEvent.INTERRUPT,
    'SIGTERM': ServerEvent.STOP,
    'SIGBREAK': ServerEvent.STOP,
    'SIGHUP': ServerEvent.RELOAD,
    'SIGQUIT': ServerEvent.QUIT,
    'SIGTTIN': ServerEvent.GROW,
    'SIGTTOU': ServerEvent.SHRINK,
}
"""Signals and requests of the Python API, and the supervisor's event for each."""
QUICK_EVENTS = {**EVENTS, 'SIGINT': ServerEvent.QUICK, 'SIGQUIT': ServerEvent.QUICK}
"""As `EVENTS`, for `quick_signals`."""


class MainLoop:
    """Waits on signals, on the workers' pipes and ends, and on the clock, and tells the supervisor.

    `on_serving` is called when a worker has become ready, `on_end` after a worker's end, `on_files` with
    the files of a worker's modules, and the functions of `on_signals` at further signals, unless the
    server stops.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        inbox: SignalInbox,
        companions: Sequence[Companion] = (),
        exporter: Exporter | None = None,
        *,
        quick_signals: bool = False,
        on_serving: Callable[[Handle], object] = lambda handle: None,
        on_end: Callable[[Handle], object] = lambda handle: None,
        on_files: Callable[[list[str]], object] = lambda files: None,
        on_signals: Mapping[str, Callable[[], object]] = MappingProxyType({}),
    ) -> None:
        self.supervisor = supervisor
        self.inbox = inbox
        self.companions = companions
        self.exporter = exporter
        """One of the companions: it gets the workers' figures."""
        self._events = QUICK_EVENTS if quick_signals else EVENTS
        self._on_serving = on_serving
        self._on_end = on_end
        self._on_files = on_files
        self._on_signals = on_signals
        self._logged: ipc.Failure | None = None
        """The failure that was logged last: several workers report the same."""

    def turn(self) -> None:
        """Wait until something happens, and handle all that has happened."""
        supervisor = self.supervisor
        look = min(supervisor.next_look(), earliest(self.companions))
        handles = [cast(Handle, worker.handle) for worker in supervisor.workers]
        sources: list[Any] = [self.inbox.source, *(source for handle in handles for source in handle.sources)]
        for companion in self.companions:
            sources += companion.sources
        # A thread that is left behind reports nothing any more.
        timeout = 0.0 if any(handle.ended() for handle in handles) else max(0.0, look - monotonic())
        ready = set(wait(sources, None if timeout == inf else timeout))
        for worker in list(supervisor.workers):
            handle = cast(Handle, worker.handle)
            # Ask first whether the worker has ended, then read its messages: none can arrive later.
            ended = handle.ended(handle.fired(ready))
            for kind, value in handle.messages():
                self._message(worker, kind, value)
            if ended:
                self._ended(worker, handle)
        # After the messages: a worker has become ready before a client was answered that asks for a reload.
        self._signals()
        for companion in self.companions:
            companion.look(ready, monotonic())
        supervisor.tick(monotonic())

    def _signals(self) -> None:
        for name in self.inbox.take():
            if name in self._events or name == 'SIGUSR1' or name in self._on_signals:
                self._handle(name)

    def _handle(self, name: str) -> None:
        if name.startswith('SIG'):
            logger.info('Handling signal: %s', name[3:].lower())
        if name in self._events:
            self.supervisor.server_event(self._events[name], monotonic())
        elif name == 'SIGUSR1':
            self._reopen()
        elif self.supervisor.state is not ServerState.STOPPING:  # even if both signals came in this turn
            self._on_signals[name]()

    def _reopen(self) -> None:
        log.reopen_log_files()
        for worker in self.supervisor.workers:
            cast(Handle, worker.handle).send(ipc.REOPEN)

    def _message(self, worker: WorkerRecord, kind: str, value: Any) -> None:
        """Handle a message of a worker: see the kinds in `granian.worker.ipc`."""
        handle = cast(Handle, worker.handle)
        if kind == ipc.READY:
            self.supervisor.worker_event(worker, WorkerEvent.READY, monotonic())
            self._on_serving(handle)
        elif kind == ipc.FAILED:
            handle.failure = value
        elif kind == ipc.REPLACE:
            self.supervisor.replace(worker, value, monotonic())
        elif kind == ipc.LEAVING:
            self._signals()  # when all processes are signalled at once, the server stops
            reason, signal_name = value
            self.supervisor.leaves(worker, reason, monotonic(), signal_name)
        elif kind == ipc.BEAT:
            self.supervisor.lives(worker, monotonic())
        elif kind == ipc.FILES:
            self._on_files(value)
        elif kind == ipc.METRICS and self.exporter is not None:
            self.exporter.store.record(worker, value)

    def _ended(self, worker: WorkerRecord, handle: Handle) -> None:
        # Signals first: when a service manager ends all processes of the server at once, the workers'
        # ends are what was asked for.
        self._signals()
        if worker.state in (WorkerState.STARTING, WorkerState.SERVING):
            self._log_unexpected_end(worker, handle)
        self._on_end(handle)
        handle.close()
        self.supervisor.worker_event(worker, WorkerEvent.EXIT, monotonic())

    def _log_unexpected_end(self, worker: WorkerRecord, handle: Handle) -> None:
        """Log why a worker ended unexpectedly: its own words, once for all workers.

        The supervisor logs the words of a newcomer in its own line.
        """
        failure = handle.failure
        if failure is None:
            when = 'unexpectedly' if worker.state is WorkerState.SERVING else 'before it was ready'
            logger.error(LINES['ended'], worker.name, handle.pid, when, handle.how_it_ended)
            return
        self.supervisor.failure_status = failure.status
        if worker is not self.supervisor.newcomer and failure != self._logged:
            logger.error('%s%s', failure.message, failure.trace_lines)
        self._logged = failure
