"""Worker classes, by name or by a known base class, and the native worker that each stands for."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from ..messages import GUNICORN
from . import uvicorn_class
from .imported import CLASSES
from .loader import SettingsError, find_class
from .worker_class import CALLED, own_methods

_GUNICORN = 'gunicorn.workers.'
_NAMES = 'say -k sync, gthread, gevent, asgi or uvicorn.workers.UvicornWorker'

_UVICORN_MODULES = ('uvicorn.workers', 'uvicorn_worker', 'uvicorn_worker._workers')
_FAMILIES = {
    **{name: name for name in CLASSES},
    **{path: name for name, path in CLASSES.items()},
    'gevent_pywsgi': 'gevent',
    'gevent_wsgi': 'gevent',
    f'{_GUNICORN}ggevent.GeventPyWSGIWorker': 'gevent',
    'geventwebsocket.gunicorn.workers.GeventWebSocketWorker': 'geventwebsocket',
    **{f'{each}.UvicornWorker': 'uvicorn' for each in _UVICORN_MODULES},
    **{f'{each}.UvicornH11Worker': 'uvicorn' for each in _UVICORN_MODULES},
}
"""The family of a worker class by its name, short or dotted."""

_INSTEAD = {
    'tornado': 'say -k asgi',
    'gtornado': 'say -k asgi',
    'sanic': 'say -k asgi',
    'aiohttp': 'run the application with aiohttp',
    'meinheld': 'say -k gthread',
}
"""Packages of worker classes that bring a server of their own, and what to do without it."""


@dataclass
class Kind:
    """The native worker that a worker class stands for."""

    family: str
    name: str
    """The word in the log line `Using worker:`."""
    options: dict[str, Any] = field(default_factory=dict)
    """Native options that CONFIG_KWARGS of uvicorn's classes give."""
    notices: list[str] = field(default_factory=list)
    lived: tuple[type, type] | None = None
    """A class that takes part in a worker's life, and gunicorn's from which it derives."""
    factory: bool = False
    """APP is a function that returns the application: `factory` of CONFIG_KWARGS."""

    def __post_init__(self) -> None:
        if self.family in ('eventlet', 'geventwebsocket'):
            self.notices.append(GUNICORN[self.family])

    @property
    def asynchronous(self) -> bool:
        return self.family in ('asgi', 'uvicorn')

    @property
    def greenlets(self) -> bool:
        return self.family in ('gevent', 'eventlet', 'geventwebsocket')


def resolve(given: Any, threads: int) -> Kind:
    """Return the kind of a worker class. Raises SettingsError for one that cannot be had."""
    found = _resolve(given)
    if found.family == 'sync' and threads > 1:
        found.family, found.name = 'gthread', 'gthread' if found.name == 'sync' else found.name
    return found


def _resolve(given: Any) -> Kind:
    if inspect.isclass(given):
        return _by_class(given, given.__name__)
    name = given or 'sync'
    if name.startswith('egg:gunicorn#'):
        name = name.partition('#')[2]
    if name in _FAMILIES:
        return Kind(_FAMILIES[name], name)
    _refuse_own_server(name, name)
    found = find_class(name, 'worker class', _NAMES)
    if not inspect.isclass(found):
        raise SettingsError(f'worker class {name!r} is not a class')
    return _by_class(found, name)


def _by_class(found: type, name: str) -> Kind:
    for base in inspect.getmro(found):
        known = f'{base.__module__}.{base.__qualname__}'
        _refuse_own_server(name, known)
        if known in _FAMILIES:
            kind = Kind(_FAMILIES[known], name)
            methods = own_methods(found, base)
            if kind.family == 'uvicorn':  # its methods need all of uvicorn
                _take_kwargs(kind, found, base)
            elif not {*CALLED}.isdisjoint(methods):
                kind.lived = found, base
                methods = [each for each in methods if each not in CALLED]
            if methods:
                kind.notices.append(GUNICORN['class_methods'].format(name=name, methods=', '.join(methods)))
            return kind
    raise _refusal(name, _NAMES)


def _take_kwargs(kind: Kind, found: type, base: type) -> None:
    given, ordinary = (getattr(each, 'CONFIG_KWARGS', None) or {} for each in (found, base))
    kind.options, unknown = uvicorn_class.options(given, ordinary)
    kind.factory = bool(given.get('factory'))
    if unknown:
        kind.notices.append(GUNICORN['kwargs'].format(name=kind.name, keys=', '.join(unknown)))


def _refuse_own_server(name: str, known: str) -> None:
    """Raise SettingsError if `known`, which is `name` or a base class of it, is of another server."""
    package = known.removeprefix(_GUNICORN).removeprefix('egg:').replace('#', '.').partition('.')[0]
    if package in _INSTEAD:
        raise _refusal(name, _INSTEAD[package])


def _refusal(name: str, instead: str) -> SettingsError:
    reason = 'it brings a server of its own'
    return SettingsError(
        GUNICORN['refuse'].format(name='worker_class', value=name, reason=reason, instead=instead)
    )
