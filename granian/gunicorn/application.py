"""APP: `module`, `module:name`, `module:name(arguments)`, found and imported."""

from __future__ import annotations

import ast
import importlib
import logging
import sys
from dataclasses import dataclass
from typing import Any

from ..constants import Interfaces
from ..errors import FatalError
from ..messages import GUNICORN
from ..worker.detect import detect
from .values import takes_nothing
from .workers import Kind

logger = logging.getLogger('_granian')


class BootError(FatalError):
    """A worker cannot boot: exit status 3."""

    status = 3
    shows_cause = True


class AppError(BootError):
    """The application cannot be had from its module: exit status 4."""

    status = 4


@dataclass(frozen=True)
class Target:
    """APP, parsed."""

    module: str
    path: tuple[str, ...] = ('application',)
    """The attributes on the way to the application, or to its factory."""
    called: bool = False
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return '.'.join(self.path)


def parse(text: str) -> Target:
    """Return the target. Raises AppError for what is no name and no call of a name with literals."""
    module, colon, expression = text.partition(':')
    if not colon:
        return Target(module)
    try:
        node = ast.parse(expression, mode='eval').body
    except SyntaxError:
        raise _unparsed(expression) from None
    if not isinstance(node, ast.Call):
        return Target(module, _path(node, expression))
    try:
        args = tuple(ast.literal_eval(each) for each in node.args)
        kwargs = tuple((str(each.arg), ast.literal_eval(each.value)) for each in node.keywords if each.arg)
    except ValueError:
        raise AppError(f'Failed to parse arguments as literal values: {expression!r}') from None
    if len(kwargs) != len(node.keywords):
        raise _unparsed(expression)
    return Target(module, _path(node.func, expression), True, args, kwargs)


def _path(node: ast.expr, expression: str) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        return (*_path(node.value, expression), node.attr)
    raise _unparsed(expression)


def _unparsed(expression: str) -> AppError:
    return AppError(f'Failed to parse {expression!r} as an attribute name or function call.')


def load(text: str) -> Any:
    """Import APP and return the application. Raises AppError, BootError, and what the import raises."""
    module, colon, expression = text.partition(':')
    target = parse(text)
    try:
        found = importlib.import_module(module)
    except ImportError:
        if module.endswith('.py'):
            hint = module.rpartition('.')[0].replace('/', '.') + colon + (expression or 'application')
            raise BootError(f'Failed to find application, did you mean {hint!r}?') from None
        raise
    application: Any = found
    for name in target.path:
        try:
            application = getattr(application, name)
        except AttributeError:
            raise AppError(f'Failed to find attribute {target.name!r} in {module!r}.') from None
    if target.called:
        application = _call(application, target)
    if application is None:
        raise AppError(f'Failed to find application object: {expression!r}')
    if not callable(application):
        raise AppError('Application object must be callable.')
    return application


def _call(factory: Any, target: Target) -> Any:
    try:
        return factory(*target.args, **dict(target.kwargs))
    except TypeError as error:
        trace = sys.exc_info()[2]
        # Raised by the call itself, not inside the factory: the arguments are the mistake.
        if trace is not None and trace.tb_next is None:
            raise AppError(f'{target.name}: {error}') from None
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
