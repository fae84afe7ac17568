"""Children that the application forks from a worker: they must not go on as a second worker."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from typing import Any

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


def leave_next(loop: Any) -> None:
    """Have an event loop end this process when it takes control again, and run nothing else that is due.

    That belongs to other requests. No loop has a function for its queue, and uvloop does not show it.
    """
    leaving = loop.call_soon(leave)
    for each in gc.get_objects():
        if type(each) is type(leaving) and each is not leaving and not _is_the_loops(each):
            each.cancel()


def _is_the_loops(handle: Any) -> bool:
    """Return whether uvloop runs itself by this handle."""
    if type(handle).__module__ == 'asyncio.events':
        return False
    try:
        return repr(handle).lower().startswith('<handle loop._')
    except Exception:  # of the application's callback
        return False
