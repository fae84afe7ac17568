"""uvicorn's worker class as applications use it: its CONFIG_KWARGS, its paths, and its loggers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from .values import anything, commas

ERROR, ACCESS = 'uvicorn.error', 'uvicorn.access'
FORMAT = '%s - "%s %s HTTP/%s" %d'
"""Message of uvicorn's access lines; filters of applications read its arguments by their place."""


def _seconds(value: float | None) -> int:
    return max(1, round(value)) if value else 0


def _if_false(instead: Any) -> Callable[[Any], Any]:
    return lambda value: None if value else instead


_OPTIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    'loop': ('loop', lambda value: value if value in ('auto', 'asyncio', 'uvloop') else 'auto'),
    'lifespan': ('lifespan', anything),
    'root_path': ('root_path', anything),
    'forwarded_allow_ips': ('forwarded_allow_ips', lambda value: None if value is None else commas(value)),
    'proxy_headers': ('forwarded_allow_ips', _if_false(())),
    'server_header': ('server_header', _if_false('')),
    'headers': ('headers', lambda value: tuple(value) if value else None),
    'ws': ('websockets', lambda value: False if value == 'none' else None),
    'ws_ping_interval': ('ws_ping_interval', _seconds),
    'ws_ping_timeout': ('ws_ping_timeout', _seconds),
    'ws_max_size': ('ws_max_message_size', anything),
    'ws_per_message_deflate': ('ws_per_message_deflate', bool),
    'limit_max_requests': ('workers_max_requests', anything),
    'timeout_keep_alive': ('http1_keep_alive_timeout', lambda value: max(1, round(value))),
    'access_log': ('log_access', lambda value: False if value is False else None),
    'log_level': ('log_level', lambda value: value if isinstance(value, str) else None),
}
"""A key of CONFIG_KWARGS, the native option that it becomes, and how its value does; None: no value."""
_SILENT = ('http', 'log_config', 'date_header', 'interface', 'app', 'factory')


def options(given: Mapping[str, Any], ordinary: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the native options of CONFIG_KWARGS, and the keys without effect.

    `ordinary` are those of the base class.
    """
    values = [(name, convert(given[key])) for key, (name, convert) in _OPTIONS.items() if key in given]
    found = {name: value for name, value in values if value is not None}
    unknown = [key for key in given.keys() - _OPTIONS.keys() if key not in _SILENT]
    return found, sorted(key for key in unknown if ordinary.get(key) != given[key])


def wrap(application: Any, options: Mapping[str, Any]) -> Any:
    """Return an ASGI application with the headers and the root path of CONFIG_KWARGS.

    uvicorn puts the root path before the path of each request: a proxy has taken it away.
    """
    extra = [(_bytes(name).lower(), _bytes(value)) for name, value in options.get('headers', ())]
    root = options.get('root_path', '')
    if not extra and not root:
        return application

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message['type'] == 'http.response.start':
                message = {**message, 'headers': [*message.get('headers', ()), *extra]}
            await send(message)

        if 'path' in scope:
            raw = quote(root).encode() + scope['raw_path']
            scope = {**scope, 'path': root + scope['path'], 'raw_path': raw}
        await application(scope, receive, sending if scope['type'] == 'http' and extra else send)

    return wrapped


def _bytes(text: str | bytes) -> bytes:
    return text.encode('latin-1') if isinstance(text, str) else text


# Loggers


def share() -> None:
    """Give uvicorn's loggers the handlers and levels of gunicorn's, as its worker class does."""
    for name, source in ((ERROR, 'gunicorn.error'), (ACCESS, 'gunicorn.access')):
        logger, given = logging.getLogger(name), logging.getLogger(source)
        logger.handlers = list(given.handlers)
        logger.setLevel(given.level)
        logger.propagate = False


def follow() -> None:
    """Send access lines to uvicorn.access, if the application has changed that logger while it was loaded."""
    uvicorns, ours = logging.getLogger(ACCESS), logging.getLogger('gunicorn.access')
    changed = (
        uvicorns.filters
        or uvicorns.disabled
        or uvicorns.propagate
        or uvicorns.level != ours.level
        or uvicorns.handlers != ours.handlers
    )
    if changed:
        ours.addFilter(ToUvicorn())


class ToUvicorn(logging.Filter):
    """Hands an access line to uvicorn.access in uvicorn's form, and drops it here."""

    def filter(self, record: logging.LogRecord) -> bool:
        logger = logging.getLogger(ACCESS)
        if logger.isEnabledFor(logging.INFO) and isinstance(record.args, Mapping):
            atoms: Mapping[str, Any] = record.args
            method, _, rest = str(atoms['r']).partition(' ')
            target, _, protocol = rest.rpartition(' ')
            args = (f'{atoms["h"]}:0', method, target, protocol.partition('/')[2], int(atoms['s']))
            logger.handle(logging.LogRecord(ACCESS, logging.INFO, __file__, 0, FORMAT, args, None))
        return False
