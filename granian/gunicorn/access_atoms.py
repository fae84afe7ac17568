"""The atoms of access lines that a logger_class of the user's writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..observe.atoms import basic_user


class Atoms(dict[str, Any]):
    """Atoms by name; a name that is not there is `-`, header names are found in any case."""

    def __missing__(self, key: str) -> Any:
        if key.startswith('{'):
            lowered = key.lower()
            return self.get(lowered, '-') if lowered != key else '-'
        return '-'


def atoms(logger: Any, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any) -> dict[str, Any]:
    """Return gunicorn's atoms from the views of a request and its response."""
    status = resp.status
    status = status.decode() if isinstance(status, bytes) else str(status)
    micros = request_time.days * 86_400_000_000 + request_time.seconds * 1_000_000 + request_time.microseconds
    sent = getattr(resp, 'sent', None)
    found: dict[str, Any] = {
        'h': environ.get('REMOTE_ADDR', '-'),
        'l': '-',
        'u': basic_user(environ.get('HTTP_AUTHORIZATION', '')),
        't': logger.now(),
        'r': f'{environ["REQUEST_METHOD"]} {environ["RAW_URI"]} {environ["SERVER_PROTOCOL"]}',
        's': status.partition(' ')[0],
        'm': environ.get('REQUEST_METHOD'),
        'U': environ.get('PATH_INFO'),
        'q': environ.get('QUERY_STRING'),
        'H': environ.get('SERVER_PROTOCOL'),
        'b': '-' if sent is None else str(sent),
        'B': sent,
        'f': environ.get('HTTP_REFERER', '-'),
        'a': environ.get('HTTP_USER_AGENT', '-'),
        'T': micros // 1_000_000,
        'D': micros,
        'M': micros // 1000,
        'L': f'{micros / 1_000_000:.6f}',
        'p': f'<{os.getpid()}>',
    }
    found.update({f'{{{name.lower()}}}i': value for name, value in req.headers})
    found.update({f'{{{name.lower()}}}o': value for name, value in resp.headers})
    found.update({f'{{{name.lower()}}}e': value for name, value in environ.items()})
    return found
