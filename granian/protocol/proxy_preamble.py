"""The PROXY protocol: the first bytes of a connection, in which a proxy names its client.

Versions 1 (a line of text) and 2 (binary), as HAProxy's proxy-protocol.txt has them. Pure: bytes in,
a preamble out. `UNKNOWN`, `LOCAL`, `UNSPEC` and Unix addresses name no client.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass
from typing import Final

SIGNATURE: Final = b'\r\n\r\n\x00\r\nQUIT\n'
LONGEST: Final = 16 + 65535
"""Bytes of the longest preamble."""
_V1_PREFIX: Final = b'PROXY '
_V1_LONGEST: Final = 107
_V1_LINE: Final = re.compile(
    rb'PROXY (?:UNKNOWN[^\r\n]*|'
    rb'(TCP[46]) ([0-9A-Fa-f.:]{2,45}) ([0-9A-Fa-f.:]{2,45}) ([0-9]{1,5}) ([0-9]{1,5}))'
)
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_NAMELESS: Final = frozenset((0x00, 0x31))
"""UNSPEC, and a stream between Unix sockets."""


class PreambleError(Exception):
    """The bytes begin a preamble that is malformed, or of a version that is not accepted."""


@dataclass(frozen=True)
class Preamble:
    """A whole preamble. Without `protocol` it names no client."""

    length: int
    """Bytes that it takes."""
    protocol: str = ''
    """'TCP4' or 'TCP6'."""
    source: tuple[str, int] = ('', 0)
    destination: tuple[str, int] = ('', 0)


MORE: Final = Preamble(-1)
"""Further bytes decide."""
NONE: Final = Preamble(0)
"""The bytes begin no preamble."""


def read_preamble(data: bytes, versions: frozenset[int]) -> Preamble:
    """Return the preamble that `data` begins with, MORE or NONE. Raises PreambleError."""
    if data.startswith(_V1_PREFIX):
        return _read_v1(data, versions)
    if data.startswith(SIGNATURE):
        return _read_v2(data, versions)
    begun = _V1_PREFIX.startswith(data) or SIGNATURE.startswith(data)
    return MORE if begun else NONE


def _read_v1(data: bytes, versions: frozenset[int]) -> Preamble:
    """Read version 1, a line of at most 107 bytes; MORE while it is incomplete. Raises PreambleError."""
    if 1 not in versions:
        raise PreambleError('version 1 of the PROXY protocol is not accepted')
    end = data.find(b'\r\n', 0, _V1_LONGEST)
    if end < 0:
        if len(data) >= _V1_LONGEST:
            raise PreambleError('malformed PROXY line')
        return MORE
    match = _V1_LINE.fullmatch(data, 0, end)
    if match is None:
        raise PreambleError('malformed PROXY line')
    if match[1] is None:
        return Preamble(end + 2)
    protocol, source, destination, *ports = (group.decode('ascii') for group in match.groups())
    kind = ipaddress.IPv4Address if protocol == 'TCP4' else ipaddress.IPv6Address
    try:
        addresses = [str(kind(address)) for address in (source, destination)]
    except ValueError:
        raise PreambleError('malformed PROXY line') from None
    numbers = [int(port) for port in ports]
    if max(numbers) > 65535:
        raise PreambleError('malformed PROXY line')
    return Preamble(end + 2, protocol, (addresses[0], numbers[0]), (addresses[1], numbers[1]))


def _read_v2(data: bytes, versions: frozenset[int]) -> Preamble:
    """Read version 2, a binary header; MORE while it is incomplete. Raises PreambleError."""
    if 2 not in versions:
        raise PreambleError('version 2 of the PROXY protocol is not accepted')
    if len(data) < 16:
        return MORE
    command, family, size = struct.unpack_from('!BBH', data, 12)
    if command not in (_LOCAL, _PROXY):
        raise PreambleError('malformed PROXY header')
    if len(data) < 16 + size:
        return MORE
    length = 16 + size
    if command == _LOCAL or family in _NAMELESS:
        return Preamble(length)
    if family == _TCP4 and size >= 12:
        source, destination, *ports = struct.unpack_from('!4s4sHH', data, 16)
        return _named(length, 'TCP4', source, destination, ports)
    if family == _TCP6 and size >= 36:
        source, destination, *ports = struct.unpack_from('!16s16sHH', data, 16)
        return _named(length, 'TCP6', source, destination, ports)
    raise PreambleError('malformed PROXY header')


def _named(length: int, protocol: str, source: bytes, destination: bytes, ports: list[int]) -> Preamble:
    first, second = (str(ipaddress.ip_address(packed)) for packed in (source, destination))
    return Preamble(length, protocol, (first, ports[0]), (second, ports[1]))
