"""Frames as a client sends them, for the tests; no check, so that broken ones can be made."""

from __future__ import annotations

import struct

from granian.protocol.websocket.events import Pings

KEY = b'\x37\xfa\x21\x3d'


def mask(payload: bytes, key: bytes = KEY) -> bytes:
    size = len(payload)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, 'big') ^ int.from_bytes(repeated, 'big')).to_bytes(size, 'big')


def frame(
    opcode: int,
    payload: bytes = b'',
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    key: bytes = KEY,
) -> bytes:
    first = (0x80 if fin else 0) | rsv | opcode
    bit = 0x80 if masked else 0
    length = len(payload)
    if length < 126:
        header = bytes((first, bit | length))
    elif length < 65536:
        header = struct.pack('!BBH', first, bit | 126, length)
    else:
        header = struct.pack('!BBQ', first, bit | 127, length)
    return header + (key + mask(payload, key) if masked else payload)


def text(message: str, **options) -> bytes:
    return frame(1, message.encode(), **options)


def binary(message: bytes, **options) -> bytes:
    return frame(2, message, **options)


def close(code: int | None = 1000, reason: bytes = b'') -> bytes:
    return frame(8, b'' if code is None else struct.pack('!H', code) + reason)


def joined(events: list[object]) -> list[object]:
    """Join the answers to pings that follow each other. Leave out pongs."""
    found: list[object] = []
    for event in events:
        if isinstance(event, Pings) and found and isinstance(found[-1], Pings):
            found[-1] = Pings(found[-1].answers + event.answers)
        elif event != Pings(b''):
            found.append(event)
    return found
