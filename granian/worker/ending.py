"""The end of a worker's process, as the interpreter ends a script."""

from __future__ import annotations

import atexit
import sys
import threading


def finish() -> None:
    """Join threads, run exit handlers, those from before a fork too, and flush the standard streams.

    multiprocessing ends its processes without exit handlers of the main process; tracing tools
    (opentelemetry, ddtrace) register theirs before the server forks, and send their last data there.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    flush_streams()


def flush_streams() -> None:
    """Flush standard output and error; a full disk or a reader that has left raises nothing."""
    for name in ('stdout', 'stderr'):
        try:
            getattr(sys, name).flush()
        except (AttributeError, ValueError):  # None, or closed
            pass
        except OSError:
            setattr(sys, name, None)  # or the interpreter tries again, and fails loudly
