"""The user's hooks, and how they are registered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..worker.hooks import RequestHook, WorkerHook, WorkerHooks

Hook = Callable[[], object]
ResizeHook = Callable[[int, 'int | None'], object]
H = TypeVar('H', bound=Hook)
W = TypeVar('W', bound=WorkerHook)
R = TypeVar('R', bound=RequestHook)
N = TypeVar('N', bound=ResizeHook)


class Hooks:
    """Callables of the main process, called in the order in which they were given."""

    def __init__(self) -> None:
        self.hooks_startup: list[Hook] = []
        self.hooks_reload: list[Hook] = []
        self.hooks_shutdown: list[Hook] = []

    def on_startup(self, hook: H) -> H:
        """Call `hook` once, when the sockets listen, before the first worker. Usable as a decorator."""
        self.hooks_startup.append(hook)
        return hook

    def on_reload(self, hook: H) -> H:
        """Call `hook` each time the workers are about to be replaced. Usable as a decorator."""
        self.hooks_reload.append(hook)
        return hook

    def on_shutdown(self, hook: H) -> H:
        """Call `hook` once, after the last worker has ended. Usable as a decorator."""
        self.hooks_shutdown.append(hook)
        return hook


class ProcessHooks(Hooks):
    """Hooks around worker processes, too. All of them work as decorators.

    In the main process an exception of a hook ends the server, but for `after_worker` and `on_reload`, whose
    exceptions are logged. Hooks of a worker need workers that are forked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hooks_starting: list[Hook] = []
        self.hooks_ready: list[Hook] = []
        self.hooks_resize: list[ResizeHook] = []
        self.hooks_before_worker: list[WorkerHook] = []
        self.hooks_after_worker: list[WorkerHook] = []
        self.hooks_worker = WorkerHooks()

    @property
    def starts_one_by_one(self) -> bool:
        """True if hooks run between the starts of workers: they may expect the earlier ones to be there."""
        return bool(self.hooks_before_worker or self.hooks_worker)

    # In the main process

    def on_starting(self, hook: H) -> H:
        """Call `hook()` once, before the sockets are opened; the pid file is there, a preload is done."""
        self.hooks_starting.append(hook)
        return hook

    def on_ready(self, hook: H) -> H:
        """Call `hook()` once, when the first worker serves."""
        self.hooks_ready.append(hook)
        return hook

    def on_resize(self, hook: N) -> N:
        """Call `hook(new, old)` when the number of workers changes; at the start `old` is None."""
        self.hooks_resize.append(hook)
        return hook

    def before_worker(self, hook: W) -> W:
        """Call `hook(worker)` before each worker's process is made."""
        self.hooks_before_worker.append(hook)
        return hook

    def after_worker(self, hook: W) -> W:
        """Call `hook(worker)` after each worker's end."""
        self.hooks_after_worker.append(hook)
        return hook

    # In a worker

    def on_worker_start(self, hook: W) -> W:
        """Call `hook(worker)` first of all in its process, before --user and the application."""
        self.hooks_worker.start.append(hook)
        return hook

    def on_worker_ready(self, hook: W) -> W:
        """Call `hook(worker)` when the application is loaded, before the first connection is accepted."""
        self.hooks_worker.ready.append(hook)
        return hook

    def on_worker_interrupt(self, hook: W) -> W:
        """Call `hook(worker)` when the worker stops without waiting for requests, or a file has changed."""
        self.hooks_worker.interrupt.append(hook)
        return hook

    def on_worker_timeout(self, hook: W) -> W:
        """Call `hook(worker)` when a worker that hangs (--worker-timeout) is about to end."""
        self.hooks_worker.timeout.append(hook)
        return hook

    def on_worker_stop(self, hook: W) -> W:
        """Call `hook(worker)` last of all, before exit handlers run."""
        self.hooks_worker.stop.append(hook)
        return hook

    def on_request(self, hook: R) -> R:
        """Call `hook(worker, head, environ)` before the application, in the request's thread.

        An exception is answered with 500. `environ` is the one that a WSGI application gets, else None.
        """
        self.hooks_worker.request.append(hook)
        return hook

    def on_response(self, hook: R) -> R:
        """Call `hook(worker, exchange, environ)` after the application, also after its failure."""
        self.hooks_worker.response.append(hook)
        return hook


def call(hooks: Sequence[Hook]) -> None:
    """Call each hook."""
    for hook in hooks:
        hook()
