"""For --reload by polling: tells the main process which files this worker's modules come from."""

from __future__ import annotations

import sys
import time
from _thread import start_new_thread
from collections.abc import Callable

EVERY = 1.0
"""Seconds between two looks for modules that were imported meanwhile."""
_sleep = time.sleep  # gevent may put its own in its place; this thread is a real one


def files() -> set[str]:
    """Return the Python files of the modules that are loaded, without the standard library's."""
    found = set()
    for name, module in list(sys.modules.items()):
        path = getattr(module, '__file__', None)
        foreign = name.partition('.')[0] not in sys.stdlib_module_names
        if foreign and isinstance(path, str) and path.endswith('.py'):
            found.add(path)
    main = getattr(sys.modules.get('__main__'), '__file__', None)
    return found | {main} if isinstance(main, str) else found


def of_traceback(error: BaseException | None) -> set[str]:
    """Return the files in which an exception and its causes were raised: their modules are not loaded."""
    found: set[str] = set()
    seen: set[int] = set()  # a chain may be a circle
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frame = error.__traceback__
        while frame is not None:
            found.add(frame.tb_frame.f_code.co_filename)
            frame = frame.tb_next
        if isinstance(error, SyntaxError) and error.filename:
            found.add(error.filename)
        error = error.__cause__ or error.__context__
    return {name for name in found if name.endswith('.py')}


def follow(send: Callable[[list[str]], None]) -> None:
    """Send the files now, and later those of modules that are imported meanwhile."""
    start_new_thread(_follow, (send, set()))


def _follow(send: Callable[[list[str]], None], sent: set[str]) -> None:
    count = 0
    while True:
        if len(sys.modules) != count:
            count = len(sys.modules)
            new = files() - sent
            if new:
                sent |= new
                send(sorted(new))
        _sleep(EVERY)
