"""Listening sockets: made once, in the parent; every worker inherits the same ones.

Shared, and not opened again by each worker with SO_REUSEPORT: the end of a worker then never
loses a connection that waits in its own queue.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import FatalError
from .messages import refusal

_HERE_NOT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_PORT_ATTEMPTS = 20


class ListenError(FatalError):
    """A listening socket could not be had; the message is one line for the user."""

    def __init__(self, where: object, reason: str, name: str = 'listen') -> None:
        super().__init__(refusal(name, where=where, reason=reason))
        self.where = where
        self.reason = reason


@dataclass
class Endpoint:
    """What the server listens on. `close` is for the process that opened it."""

    sockets: list[socket.socket]
    path: Path | None = None
    """The Unix socket's file, where it is one."""
    _identity: tuple[int, int] | None = field(default=None, repr=False)
    _owner: int = field(default_factory=os.getpid, repr=False)

    def urls(self, scheme: str = 'http') -> list[str]:
        """As a user would type them: `http://127.0.0.1:8000`, `http://[::1]:8000`, `unix:/run/app.sock`."""
        if self.path is not None:
            return [f'unix:{self.path}']
        return [_url(scheme, sock.getsockname()) for sock in self.sockets]

    def close(self) -> None:
        """Close the sockets; remove the Unix socket's file if it is still the one made here."""
        for sock in self.sockets:
            sock.close()
        if self.path is not None and os.getpid() == self._owner and _identity(self.path) == self._identity:
            self.path.unlink(missing_ok=True)


def listen(host: str, port: int, backlog: int = 1024) -> Endpoint:
    """Listen on every address `host` stands for (both families for `localhost`), on one port.

    `port` 0 takes a free one. Raises ListenError.
    """
    bare = host[1:-1] if host.startswith('[') and host.endswith(']') else host
    where = f'{host}:{port}'
    try:
        found = socket.getaddrinfo(
            bare or None, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as exc:
        raise ListenError(where, f'the host {host!r} cannot be resolved') from exc
    except OverflowError as exc:
        raise ListenError(where, f'{port} is not a port (0 to 65535)') from exc
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    for attempt in range(_PORT_ATTEMPTS):
        try:
            return Endpoint(_bind_all(addresses, port, backlog))
        except OSError as exc:
            # A free port of one family may be taken in the other: then try with another one.
            clash = port == 0 and len(addresses) > 1 and exc.errno == errno.EADDRINUSE
            if clash and attempt < _PORT_ATTEMPTS - 1:
                continue
            raise ListenError(where, _reason(exc, port)) from exc
    raise AssertionError('unreachable')


def listen_unix(
    path: str | os.PathLike[str], permissions: int | None = None, backlog: int = 1024
) -> Endpoint:
    """Listen on a Unix socket. A stale file is replaced, a live server's is not. Raises ListenError."""
    file = Path(path).absolute()
    if not hasattr(socket, 'AF_UNIX'):
        raise ListenError(file, 'this system has no Unix sockets')
    _clear_stale(file)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(file))
        # Before listen(): until then nobody can connect, so there is no moment with looser permissions.
        if permissions is not None:
            os.chmod(file, permissions)
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        too_long = 'AF_UNIX path too long' in str(exc)
        reason = 'the path is too long for a Unix socket' if too_long else (exc.strerror or str(exc)).lower()
        raise ListenError(file, reason) from exc
    return Endpoint([sock], file, _identity(file))


def adopt(sock: socket.socket, backlog: int = 1024) -> Endpoint:
    """Listen on a socket that somebody else has bound, and may listen on already; `sock` gives it up.
    The file of a Unix socket stays theirs. Raises ListenError."""
    try:
        name = sock.getsockname()
        sock.listen(backlog)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise ListenError(f'file descriptor {sock.fileno()}', reason) from exc
    path = None if isinstance(name, tuple) else Path(os.fsdecode(name).replace('\0', '@'))
    if path is None:  # TCP; see _bind
        sock = socket.socket(sock.family, sock.type, socket.IPPROTO_TCP, sock.detach())
    sock.setblocking(False)
    return Endpoint([sock], path)


def _bind_all(
    addresses: Sequence[tuple[socket.AddressFamily, tuple[Any, ...]]], port: int, backlog: int
) -> list[socket.socket]:
    """One listening socket for each address. One that this host does not have is passed over while
    another can be had: `localhost` also means ::1 where IPv6 is switched off."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in addresses:
            if port == 0 and sockets:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sockets.append(_bind(family, address, backlog, alone=len(addresses) == 1))
            except OSError as exc:
                if exc.errno not in _HERE_NOT:
                    raise
                missing = exc
        if not sockets and missing is not None:
            raise missing
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind(family: socket.AddressFamily, address: tuple[Any, ...], backlog: int, alone: bool) -> socket.socket:
    # IPPROTO_TCP by name: asyncio sets TCP_NODELAY only on sockets whose `proto` says so.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == 'posix':
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not alone:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(backlog)
        # The flag is shared by all copies, and copying a socket that is not marked here would clear it.
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(exc: OSError, port: int) -> str:
    if exc.errno == errno.EADDRINUSE:
        return 'the port is in use'
    if exc.errno in _HERE_NOT:
        return 'this machine does not have that address'
    if exc.errno in (errno.EACCES, errno.EPERM):
        return f'no permission to use port {port} (ports below 1024 need the right to)'
    return (exc.strerror or str(exc)).lower()


def _clear_stale(file: Path) -> None:
    """Remove a socket file that no server answers on. Raises ListenError for anything else there."""
    try:
        mode = file.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as exc:
        raise ListenError(file, (exc.strerror or str(exc)).lower()) from exc
    if not stat.S_ISSOCK(mode):
        raise ListenError(file, 'the file exists and is not a socket')
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(file))
        except ConnectionRefusedError:
            pass
        except FileNotFoundError:
            return
        except BlockingIOError:  # a live server whose queue is full
            raise ListenError(file, 'a server is using it') from None
        except OSError as exc:
            raise ListenError(file, (exc.strerror or str(exc)).lower()) from exc
        else:
            raise ListenError(file, 'a server is using it')
    try:
        file.unlink(missing_ok=True)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise ListenError(file, reason, 'listen_stale') from exc


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _url(scheme: str, name: tuple[str, int]) -> str:
    host, port = name[:2]
    return f'{scheme}://[{host}]:{port}' if ':' in host else f'{scheme}://{host}:{port}'
