"""Signal handlers of the main process and of the workers."""

from __future__ import annotations

import signal
from _signal import getsignal  # type: ignore[import-not-found]  # `signal` has a slower one
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

Handler = Callable[[int, 'FrameType | None'], object]

_NAMES = ('SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU', 'SIGWINCH')
HANDLED = tuple(int(getattr(signal, name)) for name in _NAMES if hasattr(signal, name))
"""What the main process acts on, or says that it does not. A worker acts on SIGTERM alone."""


def nothing(signum: int, frame: FrameType | None) -> None:
    """Ignore the signal. Programs that the application executes would inherit SIG_IGN in its place."""


def set_main_signals(interrupt_handler: Handler, reload_handler: Handler | None = None) -> None:
    """Install handlers in the main thread: SIGINT, SIGTERM (SIGBREAK on Windows) and, given one, SIGHUP."""
    for name in ('SIGINT', 'SIGTERM', 'SIGBREAK'):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), interrupt_handler)
    if reload_handler is not None and hasattr(signal, 'SIGHUP'):
        signal.signal(signal.SIGHUP, reload_handler)


_SIGPIPE = int(getattr(signal, 'SIGPIPE', 0))
_DEFAULT = int(signal.SIG_DFL)


def ignore_broken_pipes() -> None:
    """Have a write fail whose reader has left. With SIGPIPE given back to the system it ends the process.

    Cores call this after each request that ran in the main thread: another cannot set a handler.
    """
    if _SIGPIPE and getsignal(_SIGPIPE) == _DEFAULT:
        with suppress(ValueError):  # a worker that is a thread of the main process
            signal.signal(_SIGPIPE, signal.SIG_IGN)


def signal_name(number: int) -> str:
    """Return the name of a signal, or its number in words."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number}'
