from __future__ import annotations

import functools
import inspect
import logging
import sys
from typing import Any

import pytest

from granian.constants import Interfaces
from granian.errors import ConfigurationError
from granian.worker.detect import _is_async, _takes, detect, hint_for, resolve

ASGI, ASGINL, RSGI, WSGI, AUTO = (
    Interfaces.ASGI,
    Interfaces.ASGINL,
    Interfaces.RSGI,
    Interfaces.WSGI,
    Interfaces.AUTO,
)


async def rsgi(scope, protocol): ...


async def asgi(scope, receive, send): ...


def wsgi(environ, start_response): ...


def asgi2(scope): ...


def three(scope, receive, send): ...


async def anything(*args): ...


async def two_or_three(scope, b, c=None): ...


class WSGIClass:
    def __init__(self, environ, start_response): ...

    def __iter__(self): ...


class Methods:
    async def asgi(self, scope, receive, send): ...

    def wsgi(self, environ, start_response): ...


class AsgiObject:
    async def __call__(self, scope, receive, send): ...


class RsgiByCall:
    async def __call__(self, scope, protocol): ...


class WsgiObject:
    def __call__(self, environ, start_response): ...


class Both(AsgiObject):
    async def __rsgi__(self, scope, protocol): ...


class BothWsgi(WsgiObject):
    async def __rsgi__(self, scope, protocol): ...


class OnlyRsgi:
    async def __rsgi__(self, scope, protocol): ...


async def with_settings(settings, scope, receive, send): ...


KNOWN = [
    (rsgi, RSGI),
    (asgi, ASGI),
    (wsgi, WSGI),
    (WSGIClass, WSGI),
    (Methods().asgi, ASGI),
    (Methods().wsgi, WSGI),
    (AsgiObject(), ASGI),
    (RsgiByCall(), RSGI),
    (WsgiObject(), WSGI),
    (Both(), RSGI),
    (OnlyRsgi(), RSGI),
    (functools.partial(with_settings, {}), ASGI),
    (lambda environ, start_response: [], WSGI),
]
IN_DOUBT = [asgi2, three, anything, two_or_three, max, AsgiObject]


@pytest.mark.proves('--interface')
@pytest.mark.parametrize(('app', 'interface'), KNOWN)
def test_what_is_known(app, interface, caplog):
    caplog.set_level(logging.INFO, '_granian')
    logging.getLogger('_granian').propagate = True
    assert detect(app) == interface
    assert resolve(AUTO, app) == interface
    assert interface.value.upper() in caplog.text
    assert resolve(interface, app) == interface


@pytest.mark.parametrize('app', IN_DOUBT)
def test_in_doubt_auto_is_an_error_and_what_is_asked_for_is_done(app):
    assert detect(app) is None
    with pytest.raises(ConfigurationError, match='cannot tell'):
        resolve(AUTO, app)
    for interface in (ASGI, ASGINL, RSGI, WSGI):
        assert resolve(interface, app) == interface


@pytest.mark.parametrize('app', [asgi, AsgiObject(), wsgi, WsgiObject(), WSGIClass])
def test_the_default_interface_by_mistake(app):
    with pytest.raises(ConfigurationError) as caught:
        resolve(RSGI, app)
    (line,) = str(caught.value).splitlines()
    assert f'--interface {detect(app).value} ' in line


@pytest.mark.parametrize(
    ('asked', 'app'), [(ASGI, wsgi), (ASGI, rsgi), (ASGINL, wsgi), (WSGI, asgi), (WSGI, rsgi)]
)
def test_other_mistakes(asked, app):
    with pytest.raises(ConfigurationError, match=f'--interface {detect(app).value} '):
        resolve(asked, app)


def test_one_that_speaks_two():
    assert resolve(ASGI, Both()) == ASGI
    assert resolve(ASGINL, Both()) == ASGINL
    assert resolve(WSGI, BothWsgi()) == WSGI
    with pytest.raises(ConfigurationError):
        resolve(WSGI, Both())
    with pytest.raises(ConfigurationError):
        resolve(ASGI, OnlyRsgi())


@pytest.mark.parametrize('interface', Interfaces)
def test_what_cannot_be_called(interface):
    with pytest.raises(ConfigurationError, match='cannot be called'):
        resolve(interface, 'app')


def returns_a_coroutine(scope, protocol):
    return rsgi(scope, protocol)


class PlainCall:
    def __call__(self, scope, protocol):
        return rsgi(scope, protocol)


def decorated(app):
    @functools.wraps(app)
    def wrapper(*args, **options):
        return app(*args, **options)

    return wrapper


def asgi_by_coroutine(scope, receive, send):
    return asgi(scope, receive, send)


class Middleware:
    def __init__(self, app):
        self.app = app

    def __call__(self, *args):
        return self.app(*args)


@pytest.mark.parametrize(
    'app',
    [
        returns_a_coroutine,
        functools.partial(returns_a_coroutine),
        functools.partial(lambda settings, scope, protocol: rsgi(scope, protocol), {}),
        PlainCall(),
        decorated(rsgi),
        Middleware(rsgi),
        lambda scope, protocol: rsgi(scope, protocol),
    ],
)
def test_rsgi_that_is_no_coroutine_function_is_believed(app):
    assert resolve(RSGI, app) == RSGI


@pytest.mark.parametrize('asked', [ASGI, ASGINL])
@pytest.mark.parametrize(
    'app', [asgi_by_coroutine, functools.partial(asgi_by_coroutine), decorated(asgi), Middleware(asgi)]
)
def test_asgi_that_is_no_coroutine_function_is_believed(asked, app):
    assert resolve(asked, app) == asked


def test_hint_names_the_interface_that_the_signature_suggests():
    assert hint_for(RSGI, returns_a_coroutine) == 'the application may be WSGI: see --interface wsgi'
    assert hint_for(ASGINL, asgi) == hint_for(ASGI, asgi) == hint_for(RSGI, rsgi) == ''
    assert hint_for(ASGI, three) == ''


def test_frameworks():
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from flask import Flask

    assert detect(Flask('x')) == WSGI
    # Not made by their __init__, which wants settings.
    assert detect(WSGIHandler.__new__(WSGIHandler)) == WSGI
    assert detect(ASGIHandler.__new__(ASGIHandler)) == ASGI


class Proxy:
    """An application by another object, which is not there before the first request."""

    def __getattr__(self, name):
        raise RuntimeError(f'no target yet for {name}')

    def __call__(self, *args):
        raise NotImplementedError


@pytest.mark.parametrize('asked', [WSGI, ASGI, RSGI])
def test_proxy_that_refuses_any_look_is_believed(asked):
    assert detect(Proxy()) is None
    assert resolve(asked, Proxy()) == asked


FUNCTIONS: list[Any] = [
    lambda: 0,
    lambda a: 0,
    lambda a, b: 0,
    lambda a, b=1: 0,
    lambda a, b=1, *, c=2: 0,
    lambda a, b, *, c: 0,
    lambda a, *more: 0,
    lambda *more, c: 0,
    lambda a, /, b, **more: 0,
]


def with_call(function: Any) -> Any:
    return type('Called', (), {'__call__': function})()


def with_wrapped(function: Any) -> Any:
    app = with_call(lambda self, *more: 0)
    app.__wrapped__ = function
    return app


@pytest.mark.parametrize('count', range(5))
@pytest.mark.parametrize('make', [lambda function: function, with_call, with_wrapped])
@pytest.mark.parametrize('function', FUNCTIONS)
def test_quick_look_agrees_with_the_signature(make: Any, function: Any, count: int) -> None:
    app = make(function)
    try:
        inspect.signature(app).bind(*[None] * count)
        expected = True
    except (TypeError, ValueError):  # ValueError: there is no argument for the object itself
        expected = False
    assert _takes(app, count) is expected


class Marked:
    """A plain `__call__` that returns a coroutine, and says so."""

    def __init__(self):
        inspect.markcoroutinefunction(self)

    def __call__(self, scope, receive, send):
        return asgi(scope, receive, send)


@pytest.mark.skipif(sys.version_info < (3, 12), reason='no markcoroutinefunction')
def test_object_marked_as_coroutine_function_is_asgi() -> None:
    assert detect(Marked()) is ASGI


@pytest.mark.parametrize(
    ('app', 'expected'),
    [
        (wsgi, False),
        (asgi, True),
        (with_call(lambda self, a, b: 0), False),
        (AsgiObject(), True),
        (decorated(asgi), False),
    ],
)
def test_coroutine_function_is_known_without_inspect(app: Any, expected: bool) -> None:
    assert _is_async(app) is expected
