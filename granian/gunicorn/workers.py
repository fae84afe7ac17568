"""Worker classes, by name or by a known base class, and the native worker that each stands for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..messages import GUNICORN
from . import uvicorn_class
from .loader import SettingsError, attribute

_OWN_SERVER = 'it brings a server of its own'
_GUNICORN = 'gunicorn.workers.'

SYNC = ('sync', f'{_GUNICORN}sync.SyncWorker')
THREADS = ('gthread', f'{_GUNICORN}gthread.ThreadWorker')
GEVENT = ('gevent', 'gevent_pywsgi', 'gevent_wsgi', f'{_GUNICORN}ggevent.GeventWorker',
          f'{_GUNICORN}ggevent.GeventPyWSGIWorker')  # fmt: skip
EVENTLET = ('eventlet', f'{_GUNICORN}geventlet.EventletWorker')
GEVENT_WEBSOCKET = ('geventwebsocket.gunicorn.workers.GeventWebSocketWorker',)
ASGI = ('asgi', f'{_GUNICORN}gasgi.ASGIWorker')
_UVICORN_MODULES = ('uvicorn.workers', 'uvicorn_worker', 'uvicorn_worker._workers')
UVICORN = tuple(
    f'{each}.{name}' for each in _UVICORN_MODULES for name in ('UvicornWorker', 'UvicornH11Worker')
)

_FAMILIES = {
    name: family
    for family, names in (
        ('sync', SYNC), ('gthread', THREADS), ('gevent', GEVENT), ('eventlet', EVENTLET),
        ('geventwebsocket', GEVENT_WEBSOCKET), ('asgi', ASGI), ('uvicorn', UVICORN),
    )
    for name in names
}  # fmt: skip

_REFUSED = {
    'tornado': ('say -k asgi', _OWN_SERVER),
    f'{_GUNICORN}gtornado.TornadoWorker': ('say -k asgi', _OWN_SERVER),
    'aiohttp.worker.GunicornWebWorker': ('run the application with aiohttp', _OWN_SERVER),
    'aiohttp.worker.GunicornUVLoopWebWorker': ('run the application with aiohttp', _OWN_SERVER),
    'aiohttp.GunicornWebWorker': ('run the application with aiohttp', _OWN_SERVER),
    'aiohttp.GunicornUVLoopWebWorker': ('run the application with aiohttp', _OWN_SERVER),
    'sanic.worker.GunicornWorker': ('say -k asgi', _OWN_SERVER),
    'meinheld.gmeinheld.MeinheldWorker': ('say -k gthread', _OWN_SERVER),
    'egg:meinheld#gunicorn_worker': ('say -k gthread', _OWN_SERVER),
}


@dataclass
class Kind:
    """The native worker that a worker class stands for."""

    family: str
    name: str
    """The word in the log line `Using worker:`."""
    options: dict[str, Any] = field(default_factory=dict)
    """Native options that CONFIG_KWARGS of uvicorn's classes give."""
    notices: list[str] = field(default_factory=list)
    factory: bool = False
    """APP is a function that returns the application: `factory` of CONFIG_KWARGS."""

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
        return _known(_FAMILIES[name], name)
    if name in _REFUSED:
        raise _refusal(name, *_REFUSED[name])
    return _by_class(_import(name), name)


def _known(family: str, name: str) -> Kind:
    kind = Kind(family, name)
    if family == 'eventlet':
        kind.notices.append(GUNICORN['eventlet'])
    elif family == 'geventwebsocket':
        kind.notices.append(GUNICORN['geventwebsocket'])
    return kind


def _by_class(found: type, name: str) -> Kind:
    for base in inspect.getmro(found):
        known = f'{base.__module__}.{base.__qualname__}'
        if known in _REFUSED:
            raise _refusal(name, *_REFUSED[known])
        if known in _FAMILIES:
            kind = _known(_FAMILIES[known], name)
            methods = _overridden(found, base)
            if methods:
                kind.notices.append(GUNICORN['class_methods'].format(name=name, methods=', '.join(methods)))
            if kind.family == 'uvicorn':
                _take_kwargs(kind, _kwargs(found), _kwargs(base))
            return kind
    raise _refusal(name, 'say -k sync, gthread, gevent or asgi', _OWN_SERVER)


def _kwargs(found: type) -> Mapping[str, Any]:
    return getattr(found, 'CONFIG_KWARGS', None) or {}


def _take_kwargs(kind: Kind, given: Mapping[str, Any], ordinary: Mapping[str, Any]) -> None:
    kind.options, unknown = uvicorn_class.options(given, ordinary)
    kind.factory = bool(given.get('factory'))
    if unknown:
        kind.notices.append(GUNICORN['kwargs'].format(name=kind.name, keys=', '.join(unknown)))


def _overridden(found: type, base: type) -> list[str]:
    own = inspect.getmro(found)[: inspect.getmro(found).index(base)]
    names = {name for each in own for name, value in vars(each).items() if inspect.isroutine(value)}
    return sorted(names)


def _import(name: str) -> type:
    if '.' not in name:
        raise SettingsError(f'there is no worker class {name!r}: say -k sync, gthread, gevent or asgi')
    found = attribute(name, 'worker class', 'say -k uvicorn.workers.UvicornWorker')
    if not inspect.isclass(found):
        raise SettingsError(f'worker class {name!r} is not a class')
    return found


def _refusal(name: str, instead: str, reason: str) -> SettingsError:
    return SettingsError(
        GUNICORN['refuse'].format(name='worker_class', value=name, reason=reason, instead=instead)
    )
