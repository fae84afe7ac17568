"""Addresses to listen on, as text: the grammar of `--bind`.

`HOST:PORT`, `HOST` (port 8000), `:PORT` or nothing (all IPv4 addresses), `[IPV6]:PORT`, each with or
without `tcp://`; `unix:PATH` or `unix://PATH`, `unix:\\0NAME` for Linux' abstract sockets; `fd://N` for
a listening socket that this process has inherited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_PORT = 8000
ALL_IPV4 = '0.0.0.0'
_PORT = r'[0-9]{1,5}'  # compiled when used, like all patterns of the start


@dataclass(frozen=True)
class TCPAddress:
    host: str
    port: int

    @property
    def bare(self) -> str:
        """The host without the brackets of an IPv6 address."""
        enclosed = self.host.startswith('[') and self.host.endswith(']')
        return self.host[1:-1] if enclosed else self.host

    def __str__(self) -> str:
        literal = ':' in self.bare and '/' not in self.bare
        return f'[{self.bare}]:{self.port}' if literal else f'{self.host}:{self.port}'


@dataclass(frozen=True)
class UnixAddress:
    path: str
    """Path of the socket file, or a name that begins with NUL: an abstract socket."""

    def __str__(self) -> str:
        return 'unix:' + self.path.replace('\0', '@', 1)


@dataclass(frozen=True)
class DescriptorAddress:
    number: int

    def __str__(self) -> str:
        return f'fd://{self.number}'


@dataclass(frozen=True, repr=False, eq=False)
class Listening:
    """How to listen."""

    backlog: int = 1024
    permissions: int | None = None
    """Mode bits of the Unix socket files; None: as the umask makes them."""
    reuse_port: bool = False
    """Set SO_REUSEPORT, so that another server can listen on the same port. Files of Unix sockets stay."""


Address = TCPAddress | UnixAddress | DescriptorAddress


def parse_address(text: str) -> Address:
    """Return the address that `text` names. Raises ValueError, whose text says what is wrong."""
    text = text.strip()
    if ',' in text and not text.startswith('unix:'):
        raise ValueError(f'{text!r} is not one address: give each its own --bind, or a space between two')
    if text.startswith('unix:'):
        return _unix(text[5:].removeprefix('//'))
    if text.startswith('fd://'):
        return _descriptor(text[5:])
    if text.startswith('tcp://'):
        text = text[6:]
    if '/' in text:
        hint = 'a Unix socket is unix:PATH' if '://' not in text else 'it begins with tcp://, unix: or fd://'
        raise ValueError(f'{text!r} is not an address ({hint})')
    host, port = _host_and_port(text)
    return TCPAddress(host or ALL_IPV4, DEFAULT_PORT if port is None else _port(port))


def _unix(path: str) -> UnixAddress:
    if path.startswith('\\0'):  # as typed on a command line, which cannot hold a NUL
        path = '\0' + path[2:]
    if not path.strip('\0'):
        raise ValueError('unix: needs the path of a socket')
    return UnixAddress(path)


def _descriptor(number: str) -> DescriptorAddress:
    if not re.fullmatch(_PORT, number):
        raise ValueError(f'{number!r} is not the number of a file descriptor')
    return DescriptorAddress(int(number))


def _host_and_port(text: str) -> tuple[str, str | None]:
    if text.startswith('['):
        host, bracket, rest = text[1:].partition(']')
        if not bracket or (rest and not rest.startswith(':')):
            raise ValueError(f'{text!r} is not an address: an IPv6 address is [ADDRESS]:PORT')
        return host, rest[1:] if rest else None
    if text.count(':') > 1:
        import ipaddress  # seldom

        try:
            return str(ipaddress.IPv6Address(text)), None
        except ValueError:
            raise ValueError(f'{text!r} is not an address: an IPv6 address is [ADDRESS]:PORT') from None
    host, colon, port = text.partition(':')
    return host, port if colon else None


def _port(text: str) -> int:
    if not re.fullmatch(_PORT, text) or int(text) > 65535:
        raise ValueError(f'{text!r} is not a valid port number')
    return int(text)
