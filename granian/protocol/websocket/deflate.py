"""permessage-deflate (RFC 7692): its negotiation, and inflating in bounded memory.

wsproto's own extension inflates a frame whole, however large it becomes. With ours wsproto leaves a
compressed message as it is: the codec inflates it in slices, once it is complete. So a client must send
a whole message before it can have the memory of what it becomes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wsproto.extensions import Extension
from wsproto.frame_protocol import Opcode, RsvBits

NAME = 'permessage-deflate'

# What we compress with when the client does not ask for less: a window of 4 KiB and small
# hash tables cost 32 KiB a connection where zlib's defaults cost 256, for a few per cent of size.
SERVER_WINDOW_BITS = 12
MEMORY_LEVEL = 5
# Measured on 15 KB of JSON: level 6 is a tenth smaller than 3 and takes two and a half times as long.
COMPRESSION_LEVEL = 3
# Deflate's gain on a message this short is a few bytes, its cost ten times that of sending it.
SMALLEST_COMPRESSED = 64

SLICE = 65536
"""Bytes that are inflated at once: about 0.5 ms. A message of 64 KiB can be 64 MiB."""

# A final block ends a deflate stream; the next bytes begin another. Each costs a copy of those bytes.
_MOST_STREAMS = 16

TAIL = b'\x00\x00\xff\xff'  # RFC 7692 7.2.1: cut off by the sender, put back by the receiver


class MessageTooBig(Exception):
    """A message grew beyond the limit (close code 1009)."""


class InvalidDeflate(Exception):
    """A compressed message does not inflate (close code 1007)."""


@dataclass(frozen=True)
class DeflateParameters:
    """What one connection has agreed on; window sizes as powers of two."""

    server_window_bits: int = SERVER_WINDOW_BITS
    client_window_bits: int = 15
    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    client_window_asked: bool = False
    """The client said that it can be told a window size (RFC 7692 7.1.2.2)."""

    def header(self) -> str:
        """Return the element of the response's Sec-WebSocket-Extensions."""
        parts = [NAME]
        if self.server_no_context_takeover:
            parts.append('server_no_context_takeover')
        if self.client_no_context_takeover:
            parts.append('client_no_context_takeover')
        if self.server_window_bits < 15:
            parts.append(f'server_max_window_bits={self.server_window_bits}')
        if self.client_window_asked and self.client_window_bits < 15:
            parts.append(f'client_max_window_bits={self.client_window_bits}')
        return '; '.join(parts)


def negotiate(extensions: str) -> DeflateParameters | None:
    """Return the first acceptable offer of permessage-deflate in a Sec-WebSocket-Extensions value."""
    for offer in extensions.split(','):
        name, *parameters = (part.strip(' \t') for part in offer.split(';'))
        if name.lower() == NAME and (accepted := _accept(parameters)):
            return accepted
    return None


def _accept(parameters: list[str]) -> DeflateParameters | None:
    """Accept an offer, or return None for an unknown, repeated or invalid parameter (RFC 7692 7.1)."""
    seen: dict[str, str | None] = {}
    for parameter in parameters:
        name, equals, value = parameter.partition('=')
        name = name.rstrip(' \t').lower()
        if name in seen or name not in _PARAMETERS:
            return None
        seen[name] = value.strip(' \t').strip('"') if equals else None
        if not _PARAMETERS[name](seen[name]):
            return None
    server_bits = seen.get('server_max_window_bits')
    client_bits = seen.get('client_max_window_bits')
    return DeflateParameters(
        server_window_bits=min(SERVER_WINDOW_BITS, int(server_bits)) if server_bits else SERVER_WINDOW_BITS,
        client_window_bits=int(client_bits) if client_bits else 15,
        server_no_context_takeover='server_no_context_takeover' in seen,
        client_no_context_takeover='client_no_context_takeover' in seen,
        client_window_asked='client_max_window_bits' in seen,
    )


def _no_value(value: str | None) -> bool:
    return value is None


def _window(value: str | None) -> bool:
    # 8 is lawful too, but zlib cannot compress with it (it silently takes 9).
    return value in {'9', '10', '11', '12', '13', '14', '15'}


_PARAMETERS: dict[str, Callable[[str | None], bool]] = {
    'server_no_context_takeover': _no_value,
    'client_no_context_takeover': _no_value,
    'server_max_window_bits': _window,
    'client_max_window_bits': lambda value: value is None or value == '8' or _window(value),
}


class Deflate(Extension):
    """The two compression contexts of one connection, and the extension that lets wsproto take bit RSV1."""

    name = NAME

    def __init__(self, parameters: DeflateParameters, max_message_size: int) -> None:
        self._parameters = parameters
        self._max = max_message_size
        self._size = 0
        self._streams = 0  # that have ended within the frame
        self._input = b''  # a message
        self._position = 0  # in it: what is before it has been given to zlib
        self._parts: list[bytes] = []
        self._inflater: Any = None
        self._deflater: Any = None

    # outbound

    def compress(self, payload: bytes) -> bytes:
        """Compress one whole message for a frame whose RSV1 bit is set."""
        deflater = self._deflater
        if deflater is None:
            deflater = zlib.compressobj(
                COMPRESSION_LEVEL, zlib.DEFLATED, -self._parameters.server_window_bits, MEMORY_LEVEL
            )
            if not self._parameters.server_no_context_takeover:
                self._deflater = deflater
        data: bytes = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
        return data[:-4]

    # inbound

    def decompress(self, payload: bytes) -> bytes | None:
        """Return the content of a message, None where `go_on` has to inflate the rest.

        Raise MessageTooBig or InvalidDeflate.
        """
        self._size = self._streams = self._position = 0
        self._parts = []
        self._input = payload
        return self.go_on()

    def go_on(self) -> bytes | None:
        """Inflate a further SLICE. Return and raise what `decompress` does."""
        # A piece of the input, since zlib copies what it does not take.
        piece = self._input[self._position : self._position + SLICE]
        content, rest = self._slice(piece)
        self._position += len(piece) - len(rest or b'')
        complete = rest is None and self._position == len(self._input)
        if complete:
            self._input = b''
            content += self._finish()
            if not self._parts:
                return content
        self._parts.append(content)
        if not complete:
            return None
        content, self._parts = b''.join(self._parts), []
        return content

    @property
    def waiting(self) -> int:
        """Bytes of a message that `go_on` has to inflate."""
        return len(self._input)

    def drop_input(self) -> None:
        """Free what has been inflated of a message: no more is read."""
        self._input, self._inflater = b'', None
        self._parts = []

    def _inflate(self, data: bytes) -> bytes:
        """Inflate all of `data`."""
        content, rest = self._slice(data)
        while rest is not None:
            more, rest = self._slice(rest)
            content += more
        return content

    def _slice(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Inflate `data` up to SLICE. Return what that gives, and the rest: None where all is inflated.

        The rest may be b'': zlib has taken the input, and not given all of the output.
        """
        if self._inflater is None:
            if not data:
                return b'', None
            self._inflater = zlib.decompressobj(-max(9, self._parameters.client_window_bits))
        # One byte more than is allowed, so that zlib stops there.
        most = min(SLICE, self._max - self._size + 1)
        try:
            content: bytes = self._inflater.decompress(data, most)
        except zlib.error as error:
            raise InvalidDeflate(str(error)) from None
        self._size += len(content)
        if self._size > self._max:
            raise MessageTooBig
        if self._inflater.eof:  # a block with BFINAL (RFC 7692 7.2.3.4): a new stream begins
            data = self._inflater.unused_data
            self._inflater = None
            self._streams += 1
            if data and self._streams >= _MOST_STREAMS:
                raise InvalidDeflate('too many final blocks')
            return content, data or None
        return content, self._inflater.unconsumed_tail if len(content) == most else None

    def _finish(self) -> bytes:
        rest = self._inflate(TAIL) if self._inflater is not None else b''
        if self._parameters.client_no_context_takeover:
            self._inflater = None
        return rest

    # wsproto's hooks

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool | str:
        return False  # a client's affair

    def frame_inbound_header(
        self, proto: object, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> RsvBits:
        return RsvBits(opcode in (Opcode.TEXT, Opcode.BINARY), False, False)
