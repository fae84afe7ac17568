"""The user's hooks, as a worker calls them, and the object that stands for a worker in them.

The main process makes one `Worker` for each worker; fork carries it, and the hooks, into the worker's
process. A hook may set attributes on it: later hooks of the same process see them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import FatalError
from ..messages import LINES, refusal
from .ipc import Failure, Reason

logger = logging.getLogger('_granian')

WorkerHook = Callable[['Worker'], object]
RequestHook = Callable[['Worker', Any, 'dict[str, Any] | None'], object]


class Worker:
    """A worker in hooks. Any attribute may be added."""

    def __init__(self, number: int, age: int) -> None:
        self.number = number
        """The number of its place: the first worker's is 1, and its replacement's too."""
        self.age = age
        """1 for the first worker that the server has started, 2 for the second, over all reloads."""
        self.pid: int | None = None
        """The process id; None before the process is there (`before_worker`)."""
        self.exit_status: int | None = None
        """In `after_worker`: as `subprocess.Popen.returncode`, -9 for SIGKILL."""
        self.killed = False
        """In `after_worker`: True if the main process has killed it."""
        self.failure: Failure | None = None
        """In `after_worker`: why the worker could not start."""
        self.served = False
        """True once it has become ready."""
        self._max_requests: int | None = None
        self.around: Callable[[Callable[[], None]], object] = lambda serve: serve()
        """Set in `on_worker_start`: what is called with the rest of the worker's life, and calls it."""
        self._ask: Callable[[Reason], None] | None = None

    def __repr__(self) -> str:
        return f'<Worker {self.pid}>'

    @property
    def name(self) -> str:
        return f'worker-{self.number}'

    @property
    def max_requests(self) -> int | None:
        """Its own --workers-max-requests, without jitter. Set in `before_worker` or `on_worker_start`."""
        return self._max_requests

    @max_requests.setter
    def max_requests(self, value: int | None) -> None:
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f'worker.max_requests must be a whole number from 1, or None, not {value!r}')
        self._max_requests = value

    def replace(self) -> None:
        """Ask the main process for a successor; this worker stops when that one serves. In the worker."""
        if self._ask is not None:
            self._ask(Reason.ASKED)

    def enter(self, ask: Callable[[Reason], None]) -> None:
        """Note that this process is the worker's. `ask` sends the main process a reason to replace it."""
        self.pid = os.getpid()
        self._ask = ask


@dataclass(repr=False, eq=False)
class WorkerHooks:
    """Hooks that run in a worker's process, each list in the order in which its hooks were given."""

    start: list[WorkerHook] = field(default_factory=list)
    ready: list[WorkerHook] = field(default_factory=list)
    interrupt: list[WorkerHook] = field(default_factory=list)
    timeout: list[WorkerHook] = field(default_factory=list)
    stop: list[WorkerHook] = field(default_factory=list)
    request: list[RequestHook] = field(default_factory=list)
    response: list[RequestHook] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.start, self.ready, self.interrupt, self.timeout, self.stop, *self.of_requests))

    @property
    def of_requests(self) -> tuple[list[RequestHook], list[RequestHook]]:
        return self.request, self.response


@dataclass(repr=False, eq=False)
class Hooked:
    """The hooks of a worker together with its object: what the worker's process calls."""

    worker: Worker
    hooks: WorkerHooks

    def start(self) -> None:
        """Call `on_worker_start`. Raises HookError."""
        call_or_fail('on_worker_start', self.hooks.start, self.worker)

    def ready(self) -> None:
        """Call `on_worker_ready`. Raises HookError."""
        call_or_fail('on_worker_ready', self.hooks.ready, self.worker)

    def interrupt(self) -> None:
        """Call `on_worker_interrupt`; log exceptions."""
        call_and_log('on_worker_interrupt', self.hooks.interrupt, self.worker)

    def timeout(self) -> None:
        """Call `on_worker_timeout`; log exceptions."""
        call_and_log('on_worker_timeout', self.hooks.timeout, self.worker)

    def stop(self) -> None:
        """Call `on_worker_stop`; log exceptions."""
        call_and_log('on_worker_stop', self.hooks.stop, self.worker)

    def request(self, head: Any, environ: dict[str, Any] | None) -> None:
        """Call `on_request` before the application. An exception is answered with 500."""
        for hook in self.hooks.request:
            hook(self.worker, head, environ)

    def response(self, exchange: Any, environ: dict[str, Any] | None) -> None:
        """Call `on_response` after the application; log exceptions."""
        for hook in self.hooks.response:
            try:
                hook(self.worker, exchange, environ)
            except Exception:
                logger.exception('An on_response hook failed')


class HookError(FatalError):
    """A hook of a worker raised an exception; the worker ends."""

    shows_cause = True


def call_or_fail(name: str, hooks: Sequence[WorkerHook], worker: Worker) -> None:
    """Call each hook with the worker. Raises HookError, or the hook's own FatalError."""
    for hook in hooks:
        try:
            hook(worker)
        except FatalError:
            raise
        except Exception as exc:
            raise HookError(refusal('hook_failed', name=name, kind=type(exc).__name__, error=exc)) from exc


def call_and_log(name: str, hooks: Sequence[WorkerHook], worker: Worker) -> None:
    """Call each hook with the worker; log its exception."""
    for hook in hooks:
        try:
            hook(worker)
        except Exception:
            logger.exception(LINES['hook_failed'], name)
