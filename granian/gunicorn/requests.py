"""pre_request and post_request: the application wrapped, where one of them is set."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from time import monotonic
from typing import Any

from ..messages import GUNICORN
from .cfg import Cfg
from .objects import Request, Response, Worker

logger = logging.getLogger('_granian')

_READ_ONLY = ('path', 'uri', 'method', 'query')
_warned: set[str] = set()


def wrapped(app: Any, cfg: Cfg, worker: Worker, access: Callable[..., Any] | None) -> Any:
    """Return the WSGI application with the hooks around it; itself where there is nothing to call.

    `access(resp, req, environ, timedelta)` is a logger_class's of the user's.
    """
    before, after = cfg.hook('pre_request'), cfg.hook('post_request')
    if before is None and after is None and access is None:
        return app
    numbers = itertools.count(1)
    post = _arity(after)

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        number = next(numbers)
        worker.nr = number
        call = Call(Request(environ, number), environ, start_response)
        try:
            if before is not None:
                _before(before, worker, call.req, environ)
            return Body(app(environ, call.start), call, lambda: _after(worker, call, post, access))
        except BaseException:
            _after(worker, call, post, access)
            raise

    return application


class Call:
    """One request, its response once that is begun."""

    def __init__(self, req: Request, environ: dict[str, Any], start_response: Any) -> None:
        self.req = req
        self.environ = environ
        self.resp: Response | None = None
        self.started = monotonic()
        self._start_response = start_response

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        write = (
            self._start_response(status, headers, exc_info)
            if exc_info
            else self._start_response(status, headers)
        )
        self.resp = Response(status, list(headers))
        return write


class Body:
    """The application's iterable; at its end the hooks are called."""

    def __init__(self, blocks: Any, call: Call, done: Callable[[], None]) -> None:
        self._blocks = blocks
        self._call = call
        self._done = done
        if hasattr(blocks, '__len__'):
            self.__class__ = _SizedBody

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            if self._call.resp is not None and block:
                self._call.resp.headers_sent = True
                self._call.resp.sent += len(block)
            yield block

    def close(self) -> None:
        try:
            close = getattr(self._blocks, 'close', None)
            if close is not None:
                close()
        finally:
            self._done()


class _SizedBody(Body):
    """With a length, from which the server may know the response's."""

    def __len__(self) -> int:
        return len(self._blocks)


def _before(hook: Callable[..., Any], worker: Worker, req: Request, environ: dict[str, Any]) -> None:
    """Call pre_request, and take over what it has changed of scheme and headers."""
    given = list(req.headers)
    fixed = {name: getattr(req, name) for name in _READ_ONLY}
    hook(worker, req)
    environ['wsgi.url_scheme'] = req.scheme
    if req.headers != given:
        for name, _ in given:
            environ.pop(_key(name), None)
        values: dict[str, list[str]] = {}
        for name, value in req.headers:
            values.setdefault(_key(name), []).append(value)
        environ.update({key: ','.join(several) for key, several in values.items()})
    for name, value in fixed.items():
        if getattr(req, name) != value and name not in _warned:
            _warned.add(name)
            logger.warning(GUNICORN['read_only'].format(name=name))


def _key(name: str) -> str:
    key = name.upper().replace('-', '_')
    return key if key in ('CONTENT_TYPE', 'CONTENT_LENGTH') else f'HTTP_{key}'


def _arity(hook: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Return post_request as a function of four arguments, whatever number it takes."""
    if hook is None:
        return None
    from .values import positional

    number = positional(hook)
    return lambda *args: hook(*args[:number])


def _after(
    worker: Worker, call: Call, post: Callable[..., Any] | None, access: Callable[..., Any] | None
) -> None:
    if access is not None and call.resp is not None:
        took = datetime.fromtimestamp(monotonic()) - datetime.fromtimestamp(call.started)
        access(call.resp, call.req, call.environ, took)
    if post is None:
        return
    try:
        post(worker, call.req, call.environ, call.resp)
    except Exception:
        logger.exception('Exception in post_request hook')
