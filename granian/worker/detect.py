"""Which interface an application speaks, by looking at it: for `--interface auto`, and to notice
an application that was started under another interface than its own."""

from __future__ import annotations

import functools
import inspect
import logging
from typing import Any

from ..constants import Interfaces
from ..errors import ConfigurationError
from ..messages import refusal

logger = logging.getLogger('_granian')

_ASGI = (Interfaces.ASGI, Interfaces.ASGINL)
_CALLED_AS = {
    Interfaces.WSGI: 'a plain callable (environ, start_response)',
    Interfaces.ASGI: 'a coroutine function (scope, receive, send)',
    Interfaces.RSGI: 'a coroutine function (scope, protocol)',
}


def resolve(interface: Interfaces, app: Any) -> Interfaces:
    """The interface to serve `app` by: never AUTO.

    Raises ConfigurationError when AUTO finds no answer, when what was asked for is clearly not
    what the application is, and for what cannot be called.
    """
    if not callable(app) and not hasattr(app, '__rsgi__'):
        raise ConfigurationError(refusal('app_not_callable', kind=type(app).__name__))
    found = detect(app)
    if interface == Interfaces.AUTO:
        if found is None:
            raise ConfigurationError(refusal('app_unknown', app=_described(app)))
        logger.info('The application speaks %s (--interface auto)', found.value.upper())
        return found
    if found in (None, interface) or (found in _ASGI and interface in _ASGI) or _speaks(app, interface):
        return interface
    assert found is not None
    name = f'{"a" if found == Interfaces.WSGI else "an"} {found.value.upper()} application'
    raise ConfigurationError(
        refusal(
            'app_other',
            app=_described(app),
            name=name,
            called_as=_CALLED_AS[found],
            found=found.value,
            asked=interface.value,
        )
    )


def detect(app: Any) -> Interfaces | None:
    """RSGI, ASGI or WSGI; None when in doubt."""
    if hasattr(app, '__rsgi__'):
        return Interfaces.RSGI
    two, three = _takes(app, 2), _takes(app, 3)
    if two == three:
        return None
    if _is_async(app):
        return Interfaces.RSGI if two else Interfaces.ASGI
    return Interfaces.WSGI if two else None


def _speaks(app: Any, interface: Interfaces) -> bool:
    """An application with `__rsgi__` can speak another interface by its `__call__` as well."""
    if not hasattr(app, '__rsgi__') or not callable(app):
        return False
    if interface == Interfaces.WSGI:
        return not _is_async(app) and _takes(app, 2)
    return _takes(app, 3)


def _takes(app: Any, count: int) -> bool:
    try:
        inspect.signature(app).bind(*[None] * count)
    except (TypeError, ValueError):  # ValueError: written in C, without a signature
        return False
    return True


def _is_async(app: Any) -> bool:
    while isinstance(app, functools.partial):
        app = app.func
    if inspect.iscoroutinefunction(app):
        return True
    if inspect.isclass(app):
        return False
    return inspect.iscoroutinefunction(getattr(type(app), '__call__', None))  # noqa: B004 (the method is wanted)


def _described(app: Any) -> str:
    name = getattr(app, '__qualname__', None)
    return f"'{name}'" if isinstance(name, str) else f"the application, of type '{type(app).__name__}',"
