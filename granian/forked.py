"""Children that the application forks from a worker: they must not go on as a second worker."""

from __future__ import annotations

import os
import sys
import traceback

_child = False


def become_child() -> None:
    """Note that this process is such a child."""
    global _child
    _child = True


def leave_if_child(error: BaseException | None = None) -> None:
    """End this process if it is such a child. `error` is the exception that left the application."""
    if _child:
        leave(error)


def leave(error: BaseException | None = None) -> None:
    """End this process as the end of a script would, but for exit handlers: those are the worker's.

    The status is SystemExit's, 1 after another exception, else 0.
    """
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if status and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)  # noqa: T201 (as the interpreter does)
    elif isinstance(error, Exception):
        status = 1
        traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):  # None, closed, or not writable
            pass
    os._exit(status & 0xFF)
