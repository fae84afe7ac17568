"""Threads of the server, which run although a function of `threading.settrace` or `setprofile` raises.

An application may set such a function. Python calls it before the first line of each new thread. Its
exception ends the thread and removes the function from it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger('_granian')


NO_THREAD = (RuntimeError, MemoryError)
"""Raised by the start of a thread where the system has no room for one more."""


def start_thread(run: Callable[[], object], name: str) -> threading.Thread:
    """Start a daemon thread that calls `run`. Raises one of NO_THREAD where there is no room for it."""
    begun = False

    def first() -> None:
        nonlocal begun
        begun = True
        run()

    def begin() -> None:
        del thread._bootstrap  # type: ignore[attr-defined]  # else the thread would be in a cycle
        error = None
        try:
            bootstrap()
        except BaseException as raised:
            if begun:
                raise
            error = raised
        if not begun:
            threading.current_thread().name = name
            logger.error(
                'A function of threading.settrace or threading.setprofile raises: %s goes on without it',
                name, exc_info=error,
            )  # fmt: skip
            run()

    thread = threading.Thread(target=first, name=name, daemon=True)
    bootstrap = thread._bootstrap  # type: ignore[attr-defined]
    thread._bootstrap = begin  # type: ignore[attr-defined]
    try:
        thread.start()
    except BaseException:
        del thread._bootstrap  # type: ignore[attr-defined]
        raise
    return thread
