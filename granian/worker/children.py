"""A worker's part in the children that its application forks.

A fork copies everything: signal handlers, the wake-up pipe, the pipe to the main process, listening
sockets, connections, the epoll set. In the child none of it may be used: it would stop the worker,
hold its port, or answer its clients. `os.register_at_fork` detaches it before the child's first step.
"""

from __future__ import annotations

import os
import signal
import sys
from _thread import get_ident
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .. import forked
from .._signals import HANDLED
from ..unpatched import original

if TYPE_CHECKING:
    from ..core.contract import Core

_worker: Descriptors | None = None


class Descriptors:
    """The descriptors of a worker that a child must not use, and the core that has more of them."""

    def __init__(self, fds: Iterable[int], ours: Callable[[object], bool]) -> None:
        """Note the descriptors. `ours` tells whether a signal handler is the worker's own."""
        self.core: Core | None = None
        # The application may have closed one and have a file of its own under that number.
        self._known = {fd: identity for fd in fds if (identity := _identity(fd)) is not None}
        self._ours = ours

    def keep_from_programs(self) -> None:
        """Have programs that the application starts not inherit the descriptors.

        multiprocessing passes them to the worker inheritable: such a program would hold the port.
        """
        for fd in [*self._known, *_helpers()]:
            os.set_inheritable(fd, False)

    def detach(self) -> None:
        """Detach this process, a child of the worker, from the worker."""
        forked.become_child()
        self._reset_signals()
        fds = [fd for fd, identity in self._known.items() if _identity(fd) == identity]
        if self.core is not None:
            self.core.abandon()
            fds += self.core.descriptors()
        null = os.open(os.devnull, os.O_RDWR | getattr(os, 'O_CLOEXEC', 0))
        for fd in fds:
            try:
                # In its place and not closed: the number may not be given to a file of the child.
                os.dup2(null, fd, inheritable=False)
            except OSError:
                pass
        # gevent's own has the hub look at the descriptor: a child that waits for nothing would wait for that.
        original('os', 'close')(null)

    def _reset_signals(self) -> None:
        signal.set_wakeup_fd(-1)
        for signum in HANDLED:
            if self._ours(signal.getsignal(signum)):
                usual = signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL
                signal.signal(signum, usual)


def guard(descriptors: Descriptors) -> None:
    """Detach every child that this process, a worker, forks from now on, and every program it starts."""
    global _worker
    if hasattr(os, 'register_at_fork'):
        descriptors.keep_from_programs()
    if _worker is None and hasattr(os, 'register_at_fork'):
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_detach)
    _worker = descriptors


_masks: dict[int, set[int]] = {}
"""The signal masks of threads that are inside of a fork, by thread."""


def _block() -> None:
    # A signal that reaches the child before it is detached would be handled as the worker's.
    if _worker is not None:
        _masks[get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def _unblock() -> None:
    mask = _masks.pop(get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _detach() -> None:
    global _worker
    if _worker is None:
        return
    worker, _worker = _worker, None  # a child of the child has nothing to detach
    try:
        worker.detach()
    except Exception as exc:
        print(f'granian: a forked child could not be detached: {exc!r}', file=sys.stderr)  # noqa: T201
    _unblock()


def _helpers() -> list[int]:
    """Return the descriptors that keep multiprocessing's own processes alive, while a copy is open."""
    fds = []
    for module, holder, name in (
        ('resource_tracker', '_resource_tracker', '_fd'),
        ('forkserver', '_forkserver', '_forkserver_alive_fd'),
    ):
        loaded = sys.modules.get(f'multiprocessing.{module}')
        fd = getattr(getattr(loaded, holder, None), name, None)
        if fd is not None and _identity(fd) is not None:
            fds.append(fd)
    return fds


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino
