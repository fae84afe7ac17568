"""The frames that a server writes: final, and without a mask (RFC 6455 5.2)."""

from __future__ import annotations

import struct

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
"""First bytes of frames that are final."""
COMPRESSED = 0x40
"""The bit RSV1 (RFC 7692)."""

_PACK_2 = struct.Struct('!BBH').pack
_PACK_8 = struct.Struct('!BBQ').pack
SHORT_TEXT, SHORT_BINARY, SHORT_PONG = (
    [bytes((first, length)) for length in range(126)] for first in (TEXT, BINARY, PONG)
)
"""The headers of short frames, by the length of the payload."""


def data_frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return _PACK_2(first, 126, length) + payload
    return _PACK_8(first, 127, length) + payload


def control_frame(first: int, payload: bytes) -> bytes:
    return bytes((first, len(payload))) + payload


def close_payload(code: int, reason: str) -> bytes:
    """Return the payload of a close frame, its reason cut to 123 bytes."""
    text = reason.encode('utf-8', 'replace')
    if len(text) > 123:
        text = text[:123].decode('utf-8', 'ignore').encode()
    return code.to_bytes(2, 'big') + text
