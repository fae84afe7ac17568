"""Detection of an application's interface, by its signature.

`--interface auto` guesses. Any other value is believed, unless the application cannot be called that
way at all; what is only a guess appears as a hint when a call has failed.
"""

from __future__ import annotations

import functools
import inspect
import logging
from types import FunctionType
from typing import Any

from ..constants import Interfaces
from ..errors import ConfigurationError
from ..messages import refusal

logger = logging.getLogger('_granian')

_ARGUMENTS = {Interfaces.WSGI: 2, Interfaces.ASGI: 3, Interfaces.ASGINL: 3, Interfaces.RSGI: 2}
_CALLED_AS = {
    Interfaces.WSGI: 'a plain callable (environ, start_response)',
    Interfaces.ASGI: 'a coroutine function (scope, receive, send)',
    Interfaces.RSGI: 'a coroutine function (scope, protocol)',
}

_CHANGES = ('__wrapped__', '__signature__', '_is_coroutine_marker')
"""Attributes by which `inspect` sees an object as something else than its `__call__`."""


def resolve(interface: Interfaces, app: Any) -> Interfaces:
    """Return the interface to serve `app` by: `interface`, or the one that AUTO detects.

    Raise ConfigurationError if AUTO detects none, if `app` cannot be called, or if a call by
    `interface` would certainly fail.
    """
    if not callable(app) and not _has_rsgi(app):
        raise ConfigurationError(refusal('app_not_callable', kind=type(app).__name__))
    if _is_factory(app):
        raise ConfigurationError(refusal('app_factory', app=described(app)))
    found = detect(app)
    if interface == Interfaces.AUTO:
        if found is None:
            raise ConfigurationError(refusal('app_unknown', app=described(app)))
        logger.info('The application speaks %s (--interface auto)', found.value.upper())
        return found
    if found is None or not _certainly_not(interface, app):
        return interface
    name = f'{"a" if found == Interfaces.WSGI else "an"} {found.value.upper()} application'
    raise ConfigurationError(
        refusal(
            'app_other',
            app=described(app),
            name=name,
            called_as=_CALLED_AS[found],
            found=found.value,
            asked=interface.value,
        )
    )


def _is_factory(app: Any) -> bool:
    """Return whether `app` can be called without arguments, and as an application of no interface."""
    return (
        callable(app)
        and not isinstance(app, type)
        and _takes(app, 0)
        and not (_takes(app, 2) or _takes(app, 3) or _has_rsgi(app))
    )


def hint_for(interface: Interfaces, app: Any) -> str:
    """Return what to say when calling `app` by `interface` has failed, '' if the signature fits."""
    found = detect(app)
    if found is None or found == interface or {found, interface} <= {Interfaces.ASGI, Interfaces.ASGINL}:
        return ''
    return f'the application may be {found.value.upper()}: see --interface {found.value}'


def _certainly_not(interface: Interfaces, app: Any) -> bool:
    """Return True if no call by `interface` can succeed, whatever `app` returns."""
    if interface == Interfaces.RSGI and _has_rsgi(app):
        return False
    if not callable(app) or not _takes(app, _ARGUMENTS[interface]):
        return True
    if interface == Interfaces.WSGI:
        return _is_async(app)
    # PEP 3333's own names: an application that uses them is not written for scopes.
    return _parameters(app)[:2] == ['environ', 'start_response']


def detect(app: Any) -> Interfaces | None:
    """Return RSGI, ASGI or WSGI; None if the signature does not tell."""
    if _has_rsgi(app):
        return Interfaces.RSGI
    two, three = _takes(app, 2), _takes(app, 3)
    if two == three:
        return None
    if _is_async(app):
        return Interfaces.RSGI if two else Interfaces.ASGI
    return Interfaces.WSGI if two else None


def _has_rsgi(app: Any) -> bool:
    try:
        return hasattr(app, '__rsgi__')
    except Exception:  # a proxy without a target yet
        return False


def _takes(app: Any, count: int) -> bool:
    function, bound = _plain(app)
    if function is not None:
        code = function.__code__
        count += bound
        least = code.co_argcount - len(function.__defaults__ or ())
        enough = count <= code.co_argcount or bool(code.co_flags & inspect.CO_VARARGS)
        return least <= count and enough and code.co_kwonlyargcount <= len(function.__kwdefaults__ or ())
    try:
        inspect.signature(app).bind(*[None] * count)
    except Exception:  # a callable written in C has no signature; a proxy may refuse any look at it
        return False
    return True


def _plain(app: Any) -> tuple[FunctionType | None, int]:
    """Return the function that a call of `app` runs, and how many arguments it gets before the caller's.

    None where a decorator or a descriptor may change its signature. This spares `inspect`, whose code each
    worker would copy.
    """
    if type(app) is FunctionType:
        return (None, 0) if vars(app) else (app, 0)
    found = next((vars(kind)['__call__'] for kind in type(app).__mro__ if '__call__' in vars(kind)), None)
    if type(found) is not FunctionType or vars(found) or isinstance(app, type):
        return None, 0
    try:
        changed = any(hasattr(app, name) for name in _CHANGES)
    except Exception:  # a proxy may refuse any look at it
        return None, 0
    return (None, 0) if changed else (found, 1)


def _parameters(app: Any) -> list[str]:
    try:
        return list(inspect.signature(app).parameters)
    except Exception:
        return []


def _is_async(app: Any) -> bool:
    while isinstance(app, functools.partial):
        app = app.func
    function, _ = _plain(app)
    if function is not None:
        return bool(function.__code__.co_flags & inspect.CO_COROUTINE)
    if inspect.iscoroutinefunction(app):
        return True
    if inspect.isclass(app):
        return False
    return inspect.iscoroutinefunction(getattr(type(app), '__call__', None))  # noqa: B004 (the method is wanted)


def described(app: Any) -> str:
    name = getattr(app, '__qualname__', None)
    return f"'{name}'" if isinstance(name, str) else f"the application, of type '{type(app).__name__}',"
