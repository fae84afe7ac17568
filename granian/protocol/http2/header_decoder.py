"""Header blocks to header lists; blocks that come again to heads that are known already."""

from __future__ import annotations

from ..head import Head
from ..limits import Limits
from . import frames
from .compression import CompressionError, Decoder, ListTooLarge
from .frames import BrokenConnection
from .head import HeaderList, RepeatedHead

MAX_HEADS, MAX_REMEMBERED = 64, 1024
"""Heads that are kept, and bytes of a block whose head is."""


class HeaderDecoder:
    """One connection's."""

    __slots__ = ('_decoder', 'heads')

    def __init__(self, limits: Limits) -> None:
        # A list somewhat above the limit is decoded whole, so that 431 can be said and the
        # compression state is kept; far above it the connection ends.
        self._decoder = Decoder(2 * limits.max_headers_size)
        self.heads: dict[bytes, Head | None] = {}
        """Heads of blocks that were received before, while the dynamic table does not change."""

    def decode(self, block: bytes) -> HeaderList:
        """Decode a block. Also that of a refused stream: streams share the compression state (4.3)."""
        decoder = self._decoder
        changes = decoder.changes
        try:
            headers = decoder.decode(block)
        except ListTooLarge:
            raise BrokenConnection(frames.ENHANCE_YOUR_CALM, 'the header list is far too large') from None
        except CompressionError as error:
            raise BrokenConnection(frames.COMPRESSION_ERROR, f'HPACK: {error}') from None
        if decoder.changes != changes:
            self.heads.clear()  # the same bytes may mean something else now
        return headers

    def remember(self, block: bytes, head: Head) -> None:
        """Keep the head of a block that has been received twice under an unchanged dynamic table."""
        heads = self.heads
        if block in heads:
            heads[block] = RepeatedHead(head)
        else:
            if len(heads) >= MAX_HEADS:
                heads.clear()
            heads[block] = None
