"""Why a worker could not start, in the words of the log."""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from types import TracebackType

from ..errors import FatalError
from ..messages import refusal
from .ipc import Failure

logger = logging.getLogger('_granian')


class LoadError(FatalError):
    """The application was found, and raised an exception while it was loaded."""

    shows_cause = True


def failure(exc: Exception) -> Failure:
    """Return what the main process logs, once for all workers, about the exception that ended the worker."""
    if not isinstance(exc, FatalError):
        text = ''.join(traceback.format_exception(exc)).rstrip()
        return Failure(refusal('internal', kind=type(exc).__name__, error=exc), text)
    cause = exc.__cause__ if exc.shows_cause else None
    if isinstance(cause, ImportError) and _first_frame(cause) is None:
        cause = None  # no code of the application raised it: the line says all
    return Failure(str(exc), '' if cause is None else trace(cause), exc.status)


def log_cause(exc: FatalError) -> None:
    """Log, once, the traceback of the application's exception that an error of ours stands for."""
    text = failure(exc).traceback
    if text:
        logger.error('%s', text)
    exc.shows_cause = False


def trace(exc: BaseException) -> str:
    """Format a traceback from the first frame that is neither ours nor the import system's."""
    first = _first_frame(exc)
    if first is None and not isinstance(exc, (ImportError, SyntaxError)):
        first = exc.__traceback__  # a mistake of ours
    return ''.join(traceback.format_exception(type(exc), exc, first)).rstrip()


def _first_frame(exc: BaseException) -> TracebackType | None:
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    ours = here + os.sep, '<frozen', contextlib.__file__
    first = exc.__traceback__
    while first is not None:
        name = first.tb_frame.f_code.co_filename
        if not name.startswith(ours) and os.sep + 'importlib' + os.sep not in name:
            break
        first = first.tb_next
    return first
