"""Fields with an underscore that a trusted proxy sets, such as SCRIPT_NAME (`--forwarder-headers`).

The grammar gives such a field a private key in environ. Here it becomes a variable, if the peer is
trusted, or is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..protocol.head import FORWARDER_KEY

Environ = dict[str, Any]
EnvironOf = Callable[[Any], 'Environ | None']


def with_forwarder_headers(environ_of: EnvironOf, names: Iterable[str]) -> EnvironOf:
    """Return a function that makes a stream's environ, with these fields of trusted peers; `*`: all."""
    keys = [FORWARDER_KEY + name.upper() for name in names]
    every = FORWARDER_KEY + '*' in keys

    def environ(stream: Any) -> Environ | None:
        env = environ_of(stream)
        if env is None:
            return None
        if not every:
            for key in keys:  # no call, and no generator: every request passes here
                if key in env:
                    break
            else:
                return env
        for key in [key for key in env if key.startswith(FORWARDER_KEY)] if every else keys:
            value = env.pop(key, None)
            if value is not None and _trusted(stream) and not _set(env, key[len(FORWARDER_KEY) :], value):
                return None
        return env

    return environ


def _trusted(stream: Any) -> bool:
    """Return whether the peer is one of --forwarded-allow-ips."""
    peer = stream.memo.get('peer')
    return peer is not None and peer.trusted


def _set(env: Environ, name: str, value: str) -> bool:
    """Set the variable. Return False for a path that is not under SCRIPT_NAME."""
    env[f'HTTP_{name}'] = value
    if name != 'SCRIPT_NAME' or env['SCRIPT_NAME'] == value:
        return True
    prefix, path = value.rstrip('/'), env['PATH_INFO']
    if path != prefix and not path.startswith(prefix + '/'):
        return False
    env['SCRIPT_NAME'], env['PATH_INFO'] = prefix, path[len(prefix) :]
    return True
