"""The workers as hooks see them: made before the process, gone after its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from ..worker.hooks import Worker, call_and_log
from .handles import Handle
from .hooks import ProcessHooks, call

Launch = Callable[[Sequence[Worker]], Sequence[Handle]]

logger = logging.getLogger('_granian')


class Roster:
    """Starts workers with `launcher`, and calls the hooks around their lives."""

    def __init__(self, hooks: ProcessHooks) -> None:
        self.launcher: Launch | None = None
        """Starts the processes of workers; may be replaced while the server runs."""
        self.alive: dict[int, Worker] = {}
        """By process id."""
        self._hooks = hooks
        self.serves = False
        """The first worker has become ready."""

    def launch(self, *places: tuple[int, int]) -> Iterator[Handle]:
        """Start a worker for each number and age, and yield their handles.

        All at once, unless hooks run in between: then each is yielded before the next hook, which may fail.
        """
        workers = [Worker(number, age) for number, age in places]
        together = [[worker] for worker in workers] if self._hooks.starts_one_by_one else [workers]
        for group in together:
            yield from self._launch(group)

    def _launch(self, workers: Sequence[Worker]) -> list[Handle]:
        for worker in workers:
            for hook in self._hooks.hooks_before_worker:
                hook(worker)
        assert self.launcher is not None
        handles = list(self.launcher(workers))
        for worker, handle in zip(workers, handles):
            handle.worker = worker
            worker.pid = handle.pid
            if worker.pid is not None:
                self.alive[worker.pid] = worker
        return handles

    def serving(self, handle: Handle) -> None:
        """Note that a worker has become ready."""
        if handle.worker is not None:
            handle.worker.served = True
        if not self.serves:
            self.serves = True
            call(self._hooks.hooks_ready)

    def ended(self, handle: Handle) -> None:
        """Note that a worker's process has ended."""
        worker = handle.worker
        if worker is None or worker.pid is None:
            return
        self.alive.pop(worker.pid, None)
        worker.exit_status = handle.status
        worker.failure = handle.failure
        call_and_log('after_worker', self._hooks.hooks_after_worker, worker)
