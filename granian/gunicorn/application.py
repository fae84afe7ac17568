"""APP: `module`, `module:name`, `module:name(arguments)`, found and imported."""

from __future__ import annotations

import importlib
import logging
import traceback
from typing import Any

from .._internal import load_target
from ..constants import Interfaces
from ..errors import FatalError, TargetError
from ..messages import GUNICORN
from ..worker.detect import detect
from .values import takes_nothing
from .workers import Kind

logger = logging.getLogger('_granian')


class AppError(FatalError):
    """The application cannot be had from its module: exit status 4."""

    status = 4


def load(text: str) -> Any:
    """Import APP and return the application. Raises FatalError, and what the import raises."""
    module, _, expression = text.partition(':')
    if not module or module.startswith('.'):
        raise FatalError(GUNICORN['no_module'].format(text=text))
    expression = expression.rstrip() or 'application'  # a variable's file may end its lines with CR LF
    try:
        importlib.import_module(module)
        application = load_target(f'{module}:{expression}')
    except TargetError as error:
        raise AppError(str(error)) from None
    except TypeError as error:
        if _is_of_call(error):
            raise AppError(f'{expression}: {error}') from None
        raise
    except ImportError:
        if not module.endswith('.py'):
            raise
        hint = f'{module.removesuffix(".py").replace("/", ".")}:{expression}'
        raise FatalError(GUNICORN['app_file'].format(hint=hint)) from None
    if application is None:
        raise AppError(f'Failed to find application object: {expression!r}')
    if not callable(application):
        raise AppError('Application object must be callable.')
    return application


def _is_of_call(error: TypeError) -> bool:
    """Return whether the call of a factory raised an error, not code inside it: the arguments are wrong."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].f_globals.get('__name__') == load_target.__module__


def made(application: Any, kind: Kind) -> Any:
    """Return the application: with uvicorn's class, call a factory, or anything that takes no arguments."""
    if kind.family != 'uvicorn':
        return application
    if kind.factory:
        return application()
    if takes_nothing(application):
        logger.warning(GUNICORN['factory'])
        return application()
    return application


def check_interface(application: Any, asynchronous: bool) -> None:
    """Raise AppError for an application of another interface, with the class to use."""
    found = detect(application)
    if found is Interfaces.ASGI and not asynchronous:
        raise AppError('this is an ASGI application: say -k asgi, or -k uvicorn.workers.UvicornWorker')
    if found is Interfaces.WSGI and asynchronous:
        raise AppError('this is a WSGI application: say -k sync, gthread or gevent')
