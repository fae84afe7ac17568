"""gunicorn's forms of an address, and how `cfg.address` and the native --bind say it."""

from __future__ import annotations

Address = tuple[str, int] | str | int

DEFAULT_PORT = 8000


def parse(text: str) -> Address:
    """Return (host, port), the path of a Unix socket, or a descriptor. Raises ValueError."""
    if text.startswith('fd://'):
        try:
            return int(text[5:])
        except ValueError:
            raise ValueError(f'{text[5:]!r} is not a valid file descriptor.') from None
    if text.startswith('unix:'):
        path = text[5:]
        return path[2:] if path.startswith('//') else path
    bare = text.removeprefix('tcp://')
    if bare.startswith('['):
        host, bracket, rest = bare[1:].partition(']')
        if not bracket or (rest and not rest.startswith(':')):
            raise ValueError(f'{text!r} is not a valid address.')
        return host.lower(), _port(rest[1:]) if rest else DEFAULT_PORT
    host, colon, port = bare.partition(':')
    if not host and not port:
        return '', DEFAULT_PORT
    return host.lower(), _port(port) if colon else DEFAULT_PORT


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise ValueError(f'{text!r} is not a valid port number.')
    return int(text)


def native(text: str) -> str:
    """Return the address in the form of the native --bind."""
    found = parse(text)
    if isinstance(found, int):
        return f'fd://{found}'
    if isinstance(found, str):
        return f'unix:{found}'
    host, port = found[0] or '0.0.0.0', found[1]
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def as_gunicorn_shows(where: object) -> str:
    """Return an address as gunicorn's log lines show it: `('127.0.0.1', 8000)`, or the path of a socket."""
    host, _, port = str(where).rpartition(':')
    return str((host.strip('[]'), int(port))) if port.isdigit() else str(where)
