"""APP: `module`, `module:name`, `module:name(arguments)`, found and imported."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

from .._internal import literal_call
from ..constants import Interfaces
from ..errors import FatalError
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
    expression = expression or 'application'
    name, arguments = _parse(expression)
    try:
        application: Any = importlib.import_module(module)
    except ImportError:
        if not module.endswith('.py'):
            raise
        hint = f'{module.removesuffix(".py").replace("/", ".")}:{expression}'
        raise FatalError(GUNICORN['app_file'].format(hint=hint)) from None
    try:
        for part in name.split('.'):
            application = getattr(application, part)
    except AttributeError:
        raise AppError(f'Failed to find attribute {name!r} in {module!r}.') from None
    if arguments is not None:
        application = _call(application, name, *arguments)
    if application is None:
        raise AppError(f'Failed to find application object: {expression!r}')
    if not callable(application):
        raise AppError('Application object must be callable.')
    return application


def _parse(expression: str) -> tuple[str, tuple[list[Any], dict[str, Any]] | None]:
    """Return the name, and the arguments of a call. Raises AppError for all that is neither."""
    name: str = expression
    arguments: Any = None
    try:
        if expression.endswith(')'):
            name, *arguments = literal_call(expression)
        if all(part.isidentifier() for part in name.split('.')):
            return name, arguments
    except (SyntaxError, ValueError):
        pass
    raise AppError(f'Failed to parse {expression!r} as an attribute name or function call with literals.')


def _call(factory: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    try:
        return factory(*args, **kwargs)
    except TypeError as error:
        trace = sys.exc_info()[2]
        # Raised by the call itself, not inside the factory: the arguments are the mistake.
        if trace is not None and trace.tb_next is None:
            raise AppError(f'{name}: {error}') from None
        raise


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
