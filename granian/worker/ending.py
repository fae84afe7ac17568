"""The end of a worker's process, as the interpreter ends a script."""

from __future__ import annotations

import atexit
import logging
import sys
import threading

from ..messages import WARNINGS

logger = logging.getLogger('_granian')
PATIENCE = 1.0
"""Seconds after which the threads that delay a worker's end are named."""


def finish() -> None:
    """Join threads, run exit handlers, those from before a fork too, and flush the standard streams.

    multiprocessing ends its processes without exit handlers of the main process; tracing tools
    (opentelemetry, ddtrace) register theirs before the server forks, and send their last data there.
    """
    watch = _watch_threads()
    threading._shutdown()  # type: ignore[attr-defined]
    if watch is not None:
        watch.cancel()
    atexit._run_exitfuncs()
    flush_streams()


def _watch_threads() -> threading.Timer | None:
    """Name the application's threads in the log if they still run after PATIENCE."""
    if not _waited_for():
        return None
    watch = threading.Timer(PATIENCE, _name_threads)
    watch.daemon = True
    try:
        watch.start()
    except RuntimeError:  # no thread can be started
        return None
    return watch


def _name_threads() -> None:
    if names := _waited_for():
        logger.warning(WARNINGS['threads_run'].format(names=', '.join(names)))


def _waited_for() -> list[str]:
    """Return the names of the threads that Python joins before it ends: executors' as well, if daemons."""
    ours = threading.current_thread(), threading.main_thread()
    executors = sys.modules.get('concurrent.futures.thread')
    pooled = getattr(executors, '_threads_queues', ())
    return [
        each.name if type(each) is threading.Thread else f'{each.name} ({type(each).__module__})'
        for each in threading.enumerate()
        if each not in ours and (each in pooled or not each.daemon)
    ]


def flush_streams() -> None:
    """Flush standard output and error; a full disk or a reader that has left raises nothing."""
    for name in ('stdout', 'stderr'):
        try:
            getattr(sys, name).flush()
        except (AttributeError, ValueError):  # None, or closed
            pass
        except OSError:
            setattr(sys, name, None)  # or the interpreter tries again, and fails loudly
