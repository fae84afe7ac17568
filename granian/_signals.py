"""The main process's signals."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, 'FrameType | None'], object]


def set_main_signals(interrupt_handler: Handler, reload_handler: Handler | None = None) -> None:
    """Installs handlers in the main thread: SIGINT, SIGTERM (SIGBREAK on Windows) and, given one, SIGHUP."""
    for name in ('SIGINT', 'SIGTERM', 'SIGBREAK'):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), interrupt_handler)
    if reload_handler is not None and hasattr(signal, 'SIGHUP'):
        signal.signal(signal.SIGHUP, reload_handler)
