"""Listening sockets: made once, in the parent; every worker inherits the same ones.

Shared, and not opened again by each worker with SO_REUSEPORT: the end of a worker then never
loses a connection that waits in its own queue.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from .addresses import Address, DescriptorAddress, Listening, TCPAddress, UnixAddress
from .errors import FatalError
from .messages import WARNINGS, refusal

logger = logging.getLogger('_granian')

_HERE_NOT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_PORT_ATTEMPTS = 20
IN_USE_ATTEMPTS = 5
"""Attempts to have an address that another process still has, IN_USE_PAUSE apart: a restart overlaps."""
IN_USE_PAUSE = 1.0
FIRST_PASSED = 3
"""systemd passes descriptors from this number on (sd_listen_fds(3))."""

Place = tuple[socket.AddressFamily, tuple[Any, ...]]
"""Family and address, as the socket module has them."""


class ListenError(FatalError):
    """A listening socket could not be had; the message is one line for the user."""

    def __init__(self, where: object, reason: str, name: str = 'listen', in_use: bool = False) -> None:
        super().__init__(refusal(name, where=where, reason=reason))
        self.where = where
        self.reason = reason
        self.in_use = in_use
        """Another process has the address, which it may give up soon."""


@dataclass(frozen=True)
class SocketFile:
    """The file of a Unix socket that this process has made."""

    path: Path
    identity: tuple[int, int] | None
    owner: int = field(default_factory=os.getpid)

    def remove(self) -> None:
        """Remove the file, if this process made it and no other has replaced it."""
        if os.getpid() == self.owner and _identity(self.path) == self.identity:
            with suppress(OSError):  # the folder may have become read-only
                self.path.unlink()


@dataclass(repr=False, eq=False)
class Endpoint:
    """The listening sockets of a server. `close` is for the process that opened them."""

    sockets: list[socket.socket]
    files: list[SocketFile] = field(default_factory=list)
    """Those to be removed at the end."""

    def urls(self, scheme: str = 'http') -> list[str]:
        """Return the addresses as a user types them: `http://127.0.0.1:8000`, `unix:/run/app.sock`."""
        return [_url(scheme, sock.getsockname()) for sock in self.sockets]

    @cached_property
    def paths(self) -> list[Path]:
        """The files of Unix sockets, inherited ones too. Once asked for, they are known after `close`."""
        names = [sock.getsockname() for sock in self.sockets]
        return [
            Path(os.fsdecode(name)) for name in names if not isinstance(name, tuple) and not _abstract(name)
        ]

    @property
    def closed(self) -> bool:
        """True once the sockets are closed here."""
        return any(sock.fileno() < 0 for sock in self.sockets)

    def own_files(self) -> None:
        """Remove the files of the Unix sockets at the end: the process that made them has left them to us."""
        self.files = [SocketFile(path, _identity(path)) for path in self.paths]

    def close(self) -> None:
        """Close the sockets; remove the files that were made here."""
        for sock in self.sockets:
            sock.close()
        for file in self.files:
            file.remove()


def listen_on(addresses: Sequence[Address], how: Listening) -> Endpoint:
    """Listen on all addresses. With descriptors among them, listen on those alone.

    Raises ListenError when one of them cannot be had; then none is left open.
    """
    descriptors = [address.number for address in addresses if isinstance(address, DescriptorAddress)]
    if descriptors:
        return inherit(descriptors, how.backlog)
    tcp = [address for address in addresses if isinstance(address, TCPAddress)]
    endpoint = Endpoint([])
    try:
        endpoint.sockets += _listen_tcp(tcp, how, several=len(addresses) > 1)
        for address in addresses:
            if isinstance(address, UnixAddress):
                _listen_unix(address, how, endpoint)
    except BaseException:
        endpoint.close()
        raise
    return endpoint


def listen(host: str, port: int, backlog: int = 1024) -> Endpoint:
    """Listen on every address `host` stands for (both families for `localhost`), on one port.

    `port` 0 takes a free one. Raises ListenError.
    """
    return listen_on([TCPAddress(host, port)], Listening(backlog))


def listen_patiently(listen: Callable[[], Endpoint], pause: Callable[[float], object]) -> Endpoint:
    """Call `listen`; where an address is in use, call it again, with a line in the log and a pause."""
    for _ in range(IN_USE_ATTEMPTS - 1):
        try:
            return listen()
        except ListenError as error:
            if not error.in_use:
                raise
            logger.error(WARNINGS['in_use'], error.where)
        pause(IN_USE_PAUSE)
    return listen()


def passed_descriptors() -> list[int]:
    """Return the descriptors that systemd has passed to this process, once: its variables are removed."""
    pid, count = (os.environ.get(name, '') for name in ('LISTEN_PID', 'LISTEN_FDS'))
    if pid != str(os.getpid()) or not (count.isascii() and count.isdigit() and len(count) < 5):
        return []
    for name in ('LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'):
        os.environ.pop(name, None)
    return list(range(FIRST_PASSED, FIRST_PASSED + int(count)))


def inherit(descriptors: Sequence[int], backlog: int) -> Endpoint:
    """Listen on sockets that this process was started with. Raises ListenError."""
    endpoint = Endpoint([])
    try:
        for number in descriptors:
            try:
                sock = socket.socket(fileno=number)
                os.set_inheritable(number, False)
            except OSError as exc:
                reason = 'it is not a socket' if exc.errno == errno.ENOTSOCK else 'it is not open'
                raise ListenError(f'file descriptor {number}', reason) from exc
            if sock.type != socket.SOCK_STREAM:
                raise ListenError(f'file descriptor {number}', 'it is not a stream socket')
            endpoint.sockets += adopt(sock, backlog).sockets
    except BaseException:
        endpoint.close()
        raise
    return endpoint


def adopt(sock: socket.socket, backlog: int = 1024) -> Endpoint:
    """Listen on a socket that is bound, and may listen already. It takes over `sock`.

    The file of a Unix socket is not removed at the end. Raises ListenError.
    """
    try:
        name = sock.getsockname()
        sock.listen(backlog)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise ListenError(f'file descriptor {sock.fileno()}', reason) from exc
    if isinstance(name, tuple):  # TCP; see _bind
        sock = socket.socket(sock.family, sock.type, socket.IPPROTO_TCP, sock.detach())
    sock.setblocking(False)
    return Endpoint([sock])


def _listen_unix(address: UnixAddress, how: Listening, endpoint: Endpoint) -> None:
    """Add the socket of `address` to the endpoint, and its file. Raises ListenError."""
    if not hasattr(socket, 'AF_UNIX'):
        raise ListenError(address.path, 'this system has no Unix sockets')
    abstract = address.path.startswith('\0')
    name = address.path if abstract else os.path.abspath(address.path)
    where = str(address) if abstract else name
    if not abstract:
        _clear_stale(Path(name))
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(name)
        # Before listen(): until then no client can connect, so there is no moment with looser permissions.
        if how.permissions is not None and not abstract:
            os.chmod(name, how.permissions)
        sock.listen(how.backlog)
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        too_long = 'AF_UNIX path too long' in str(exc)
        reason = 'the path is too long for a Unix socket' if too_long else (exc.strerror or str(exc)).lower()
        raise ListenError(where, reason, in_use=exc.errno == errno.EADDRINUSE) from exc
    endpoint.sockets.append(sock)
    if not abstract and not how.reuse_port:
        endpoint.files.append(SocketFile(Path(name), _identity(Path(name))))


def _resolve(address: TCPAddress) -> list[Place]:
    """Return every place that the address stands for. Raises ListenError."""
    host, port, bare = address.host, address.port, address.bare
    name = bare.encode() if bare.isascii() else bare  # as bytes: else Python loads the tables of IDNA
    try:
        found = socket.getaddrinfo(
            name or None, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as exc:
        raise ListenError(address, f'the host {host!r} cannot be resolved') from exc
    except OverflowError as exc:
        raise ListenError(address, f'{port} is not a port (0 to 65535)') from exc
    return list(dict.fromkeys((family, place) for family, _, _, _, place in found))


def _listen_tcp(addresses: Sequence[TCPAddress], how: Listening, several: bool) -> list[socket.socket]:
    """Return a listening socket for each place of each address. Raises ListenError."""
    resolved = [(address, _resolve(address)) for address in addresses]
    ipv4_ports = {place[1] for _, places in resolved for family, place in places if family == socket.AF_INET}
    taken: set[Place] = set()
    sockets: list[socket.socket] = []
    try:
        for address, places in resolved:
            wanted = [place for place in places if place not in taken]
            taken.update(place for place in wanted if address.port)
            # Beside IPv4 on the same port, or the kernel refuses one of the two.
            v6only = len(places) > 1 or (address.port in ipv4_ports and address.port != 0)
            sockets += _listen_at(address, wanted, how, v6only, optional=several)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    if addresses and not sockets:
        raise ListenError(addresses[0], 'this machine does not have that address')
    return sockets


def _listen_at(
    address: TCPAddress, places: Sequence[Place], how: Listening, v6only: bool, optional: bool
) -> list[socket.socket]:
    """Return a socket for each place of one address. `optional`: without IPv6, go on without the address."""
    for attempt in range(_PORT_ATTEMPTS):
        try:
            return _bind_all(places, address.port, how, v6only)
        except OSError as exc:
            # A free port of one family may be taken in the other: then try with another one.
            in_use = exc.errno == errno.EADDRINUSE
            if in_use and address.port == 0 and len(places) > 1 and attempt < _PORT_ATTEMPTS - 1:
                continue
            if optional and _without_ipv6(places, exc):
                logger.warning(WARNINGS['no_ipv6'], address)
                return []
            raise ListenError(address, _reason(exc, address), in_use=in_use) from exc
    raise AssertionError('unreachable')


def _without_ipv6(places: Sequence[Place], exc: OSError) -> bool:
    """Return whether binding failed because this machine has no IPv6."""
    if any(family != socket.AF_INET6 for family, _ in places):
        return False
    anywhere = all(place[0] in ('::', '::1') for _, place in places)
    return exc.errno == errno.EAFNOSUPPORT or (exc.errno == errno.EADDRNOTAVAIL and anywhere)


def _bind_all(places: Sequence[Place], port: int, how: Listening, v6only: bool) -> list[socket.socket]:
    """Return one listening socket for each place. A place that this host does not have is passed over
    while another can be had: `localhost` also means ::1 where IPv6 is switched off."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, place in places:
            if port == 0 and sockets:
                place = (place[0], sockets[0].getsockname()[1], *place[2:])
            try:
                sockets.append(_bind(family, place, how, v6only))
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


def _bind(
    family: socket.AddressFamily, place: tuple[Any, ...], how: Listening, v6only: bool
) -> socket.socket:
    """Return a listening TCP socket on one address. Raises OSError."""
    # IPPROTO_TCP by name: asyncio sets TCP_NODELAY only on sockets whose `proto` says so.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == 'posix':
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if how.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
        # Accepted sockets inherit it on Linux: no system call for each of them.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(place)
        sock.listen(how.backlog)
        # The flag is shared by all copies, and copying a socket that is not marked here would clear it.
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(exc: OSError, address: TCPAddress) -> str:
    if exc.errno == errno.EADDRINUSE:
        return 'the port is in use'
    if exc.errno in _HERE_NOT:
        return 'this machine does not have that address'
    if exc.errno in (errno.EACCES, errno.EPERM):
        return f'no permission to use port {address.port} (ports below 1024 need the right to)'
    if exc.errno == errno.EINVAL and address.bare.lower().startswith('fe80:'):
        return f'a link-local address needs its interface, such as {address.bare}%eth0'
    return (exc.strerror or str(exc)).lower()


def _clear_stale(file: Path) -> None:
    """Remove a socket file that no server answers on. Raises ListenError for any other file there."""
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
            raise ListenError(file, 'a server is using it', in_use=True) from None
        except OSError as exc:
            raise ListenError(file, (exc.strerror or str(exc)).lower()) from exc
        else:
            raise ListenError(file, 'a server is using it', in_use=True)
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


def _abstract(name: str | bytes) -> bool:
    return os.fsencode(name).startswith(b'\0')


def _url(scheme: str, name: Any) -> str:
    if not isinstance(name, tuple):
        return f'unix:{os.fsdecode(name)}'.replace('\0', '@', 1)
    host, port = name[:2]
    return f'{scheme}://[{host}]:{port}' if ':' in host else f'{scheme}://{host}:{port}'
