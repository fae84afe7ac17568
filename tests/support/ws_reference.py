"""A second oracle for the WebSocket codec, from the RFCs alone: it reads whole frames, one after another.

wsproto is the codec's slow lane as well as its first oracle, so a mistake of wsproto would be in both.
"""

from __future__ import annotations

import zlib

from granian.protocol.websocket.deflate import TAIL
from granian.protocol.websocket.events import Close, Pings
from tests.support.ws_frames import joined, mask


class Violation(Exception):
    """The client breaks a rule; the argument is the close code."""


def reference(data: bytes, compressing: bool) -> list[object]:
    """Return the events of `data`: whole frames, of which only the last may be cut.

    A violation is ('violation', code).
    """
    events: list[object] = []
    message: tuple[int, bool, bytes] | None = None  # opcode, compressed, payload
    inflater = zlib.decompressobj(-15)
    try:
        while (frame := _frame(data, compressing, message is not None)) is not None:
            first, payload, data = frame
            opcode = first & 15
            if opcode == 8:
                events.append(_close(payload))
                break
            if opcode == 9:
                events.append(Pings(bytes((0x8A, len(payload))) + payload))
            if opcode < 3:
                kind, compressed, before = message or (opcode, bool(first & 0x40), b'')
                message = kind, compressed, before + payload
                if first & 0x80:
                    events.append(_message(*message, inflater))
                    message = None
    except Violation as violation:
        events.append(('violation', violation.args[0]))
    return joined(events)


def _frame(data: bytes, compressing: bool, within: bool) -> tuple[int, bytes, bytes] | None:
    """Return the first byte and the payload of the first frame, and the bytes after it (RFC 6455 5.2)."""
    if len(data) < 2:
        return None
    first, length = data[0], data[1] & 127
    opcode = first & 15
    reserved = first & 0x30 or (first & 0x40 and not (compressing and opcode in (1, 2)))
    if opcode not in (0, 1, 2, 8, 9, 10) or reserved or data[1] < 128:
        raise Violation(1002)
    if opcode > 7 and (length > 125 or first < 128):
        raise Violation(1002)
    if opcode < 3 and within is not (opcode == 0):
        raise Violation(1002)
    size = {126: 2, 127: 8}.get(length, 0)
    if size:
        length = int.from_bytes(data[2 : 2 + size], 'big')
        if length < (126 if size == 2 else 65536):
            raise Violation(1002)
    start = 6 + size
    if len(data) < start + length:
        return None
    return first, mask(data[start : start + length], data[start - 4 : start]), data[start + length :]


def _message(opcode: int, compressed: bool, payload: bytes, inflater: zlib._Decompress) -> str | bytes:
    try:
        if compressed:
            payload = inflater.decompress(payload + TAIL)
        return payload.decode() if opcode == 1 else payload
    except (zlib.error, UnicodeDecodeError):
        raise Violation(1007) from None


def _close(payload: bytes) -> Close:
    """Read a close frame (RFC 6455 7.4.2 and IANA's registry of codes)."""
    if not payload:
        return Close(1005, '')
    code = int.from_bytes(payload[:2], 'big')
    registered = {*range(1000, 1015)} - {1004, 1005, 1006}
    if len(payload) < 2 or not (code in registered or 3000 <= code < 5000):
        raise Violation(1002)
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise Violation(1007) from None
