"""Around each request: pre_request, post_request, and the access() of a logger_class of the user's."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from datetime import timedelta
from http.client import responses
from typing import Any

from ..clocks import monotonic
from ..messages import GUNICORN
from .cfg import Served
from .objects import Request, Response, Worker
from .values import positional

logger = logging.getLogger('_granian')

_READ_ONLY = ('path', 'uri', 'method', 'query')
_LATIN1 = 'latin-1'


class Around:
    """The native hooks around requests, made of gunicorn's. Only workers that need it have one.

    `access(resp, req, environ, timedelta)` is the user's logger_class's.
    """

    def __init__(self, app: Served, access: Callable[..., Any] | None) -> None:
        self._pre = app.cfg.hook('pre_request')
        self._post = app.cfg.hook('post_request')
        self._arity = positional(self._post) if self._post is not None else 0
        self._access = access
        self._numbers = itertools.count(1)
        self._open: dict[int, tuple[Request, float]] = {}
        """By the identity of the request's head, which lives until `after`."""
        self._warned: set[str] = set()

    @property
    def needed(self) -> bool:
        """True if there is something to call."""
        return any((self._pre, self._post, self._access))

    def before(self, worker: Any, head: Any, environ: dict[str, Any] | None) -> None:
        """Make the view of the request and call pre_request. Its exception is answered with 500."""
        number = next(self._numbers)
        view: Worker = worker.view
        view.nr = number
        environ = environ_of(head) if environ is None else environ
        req = Request(environ, number)
        self._open[id(head)] = req, monotonic()
        if self._pre is None:
            return
        given, fixed = list(req.headers), {name: getattr(req, name) for name in _READ_ONLY}
        self._pre(view, req)
        environ['wsgi.url_scheme'] = req.scheme
        if req.headers != given:
            _replace_headers(environ, given, req.headers)
        self._warn_of_changes(req, fixed)

    def _warn_of_changes(self, req: Request, fixed: dict[str, Any]) -> None:
        for name, value in fixed.items():
            if getattr(req, name) != value and name not in self._warned:
                self._warned.add(name)
                logger.warning(GUNICORN['read_only'].format(name=name))

    def after(self, worker: Any, exchange: Any, environ: dict[str, Any] | None) -> None:
        """Call post_request, and access; their exceptions are logged."""
        req, started = self._open.pop(id(exchange.head), (None, 0.0))
        if req is None:
            return
        environ = environ_of(exchange.head) if environ is None else environ
        resp = response_of(exchange)
        if self._access is not None and resp is not None:
            self._access(resp, req, environ, timedelta(seconds=monotonic() - started))
        if self._post is None:
            return
        try:
            self._post(*(worker.view, req, environ, resp)[: self._arity])
        except Exception:
            logger.exception('Exception in post_request hook')


def _replace_headers(environ: dict[str, Any], old: list[tuple[str, str]], new: list[tuple[str, str]]) -> None:
    """Take over the headers that pre_request has left on the request."""
    for name, _ in old:
        environ.pop(_key(name), None)
    values: dict[str, list[str]] = {}
    for name, value in new:
        values.setdefault(_key(name), []).append(value)
    environ.update({key: ','.join(several) for key, several in values.items()})


def _key(name: str) -> str:
    key = name.upper().replace('-', '_')
    return key if key in ('CONTENT_TYPE', 'CONTENT_LENGTH') else f'HTTP_{key}'


def environ_of(head: Any) -> dict[str, Any]:
    """Return an environ for the views of an ASGI request."""
    environ = {
        'REQUEST_METHOD': head.method,
        'RAW_URI': head.target,
        'PATH_INFO': head.path,
        'QUERY_STRING': head.query,
        'SERVER_PROTOCOL': f'HTTP/{head.version}',
    }
    for field, value in head.fields:
        name = field.name if isinstance(field.name, str) else field.name.decode(_LATIN1)
        environ[_key(name)] = value if isinstance(value, str) else value.decode(_LATIN1)
    return environ


def response_of(exchange: Any) -> Response | None:
    """Return the view of a response; None where none was begun."""
    if exchange.status_line is not None:
        response = Response(exchange.status_line, list(exchange.headers or ()))
    elif exchange.status:
        response = Response(f'{exchange.status} {responses.get(exchange.status, "")}'.rstrip(), [])
    else:
        return None
    response.headers_sent = True
    response.sent = exchange.bytes_sent
    return response
