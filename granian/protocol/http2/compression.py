"""HPACK (RFC 7541). A small exchange costs 5 µs; with the hpack library it costs 25.

The static table and the Huffman decoder are the library's, and the tests compare the results with it. The
encoder writes no Huffman codes: they would save a fifth of a response head, and double the time for it. Its
table has an entry for a name with its value, not for a name alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

Field = tuple[bytes, bytes]

DEFAULT_TABLE_SIZE: Final = 4096
_STATIC: Final[tuple[Field, ...]] = ((b'', b''), *HeaderTable.STATIC_TABLE)
"""By index, which counts from one."""
_FIRST_DYNAMIC: Final = len(_STATIC)
_LARGEST: Final = 2**28
"""Largest integer accepted as a length, index or table size (RFC 7541 5.1)."""

_MAX_WORDS: Final = 4096
_MAX_WORD: Final = 64
_words: dict[bytes, bytes] = {}
"""Short Huffman codes decoded before, of all connections: names, and values of names in _PUBLIC."""
_PUBLIC: Final = frozenset(
    (
        b':authority', b':method', b':scheme', b'accept', b'accept-charset', b'accept-encoding',
        b'accept-language', b'cache-control', b'content-type', b'dnt', b'host', b'pragma', b'priority',
        b'sec-ch-ua', b'sec-ch-ua-mobile', b'sec-ch-ua-platform', b'sec-fetch-dest', b'sec-fetch-mode',
        b'sec-fetch-site', b'sec-fetch-user', b'te', b'upgrade-insecure-requests', b'user-agent',
    )
)  # fmt: skip
"""Names whose values are no secrets. A cookie, a token or a path is not kept beyond its connection."""


class CompressionError(Exception):
    """Invalid HPACK, or an unknown table index: the connection's state is lost."""


class ListTooLarge(Exception):
    """A header list beyond the limit, whose decoding was given up."""


def _integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
    """Return an integer whose prefix bits are all ones (RFC 7541 5.1), and where it ends."""
    value, shift = prefix, 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if value > _LARGEST:
            raise CompressionError('an integer is too large')
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 28:
            raise CompressionError('an integer is too long')


def _string(block: bytes, position: int, public: bool) -> tuple[bytes, int]:
    """Return a string literal (RFC 7541 5.2), and where it ends. `public`: it may be kept for others."""
    byte = block[position]
    length = byte & 0x7F
    position += 1
    if length == 0x7F:
        length, position = _integer(block, position, 0x7F)
    end = position + length
    data = block[position:end]
    if len(data) != length:
        raise CompressionError('a string is cut short')
    if byte & 0x80:
        word = _words.get(data) if public else None
        if word is None:
            try:
                word = decode_huffman(data)
            except HPACKError as error:
                raise CompressionError(f'Huffman: {error}') from None
            if public and length <= _MAX_WORD and len(_words) < _MAX_WORDS:
                _words[data] = word
        return word, end
    return data, end


class Decoder:
    """Header blocks into lists. `limit`: bytes of a list, each field counted with 32 more."""

    __slots__ = ('_entries', '_limit', '_size', '_table_size', 'changes')

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: list[Field] = []
        """The newest last."""
        self._size = 0
        self._table_size = DEFAULT_TABLE_SIZE
        self.changes = 0
        """Changes of the dynamic table: while it stays, the same block means the same."""

    def decode(self, block: bytes) -> list[Field]:
        """Decode a block. Raise CompressionError or ListTooLarge: after either the connection must end."""
        try:
            return self._decode(block)
        except IndexError:
            raise CompressionError('the block ends too early, or an index leads nowhere') from None

    def _decode(self, block: bytes) -> list[Field]:
        """Return the fields of a header block (RFC 7541 6).

        Raises CompressionError, and ListTooLarge above the limit (32 bytes are added for each field).
        """
        fields: list[Field] = []
        position, end, total = 0, len(block), 0
        while position < end:
            byte = block[position]
            position += 1
            if byte >= 0x80:  # 6.1 indexed
                index = byte & 0x7F
                if index == 0x7F:
                    index, position = _integer(block, position, 0x7F)
                field = _STATIC[index] if 0 < index < _FIRST_DYNAMIC else self._dynamic(index)
            elif 0x20 <= byte < 0x40:  # 6.3 table size update
                if fields:
                    raise CompressionError('a table size update after a field')
                position = self._resize(block, position, byte)
                continue
            else:  # 6.2 literal
                field, position = self._literal(block, position, byte)
            total += len(field[0]) + len(field[1]) + 32
            if total > self._limit:
                raise ListTooLarge
            fields.append(field)
        return fields

    def _literal(self, block: bytes, position: int, byte: int) -> tuple[Field, int]:
        """Return a literal field (6.2), and where it ends. Its representation has begun with `byte`."""
        prefix = 0x3F if byte >= 0x40 else 0x0F
        index = byte & prefix
        if index == prefix:
            index, position = _integer(block, position, prefix)
        if not index:
            name, position = _string(block, position, True)
        elif index < _FIRST_DYNAMIC:
            name = _STATIC[index][0]
        else:
            name = self._dynamic(index)[0]
        value, position = _string(block, position, name in _PUBLIC)
        field = (name, value)
        if byte >= 0x40:  # 6.2.1: with an entry in the table
            self._size += len(name) + len(value) + 32
            self._entries.append(field)
            self.changes += 1
            if self._size > self._table_size:
                self._evict()
        return field, position

    def _dynamic(self, index: int) -> Field:
        back = index - _FIRST_DYNAMIC + 1
        if back < 1 or back > len(self._entries):
            raise CompressionError('an index leads nowhere')
        return self._entries[-back]

    def _resize(self, block: bytes, position: int, byte: int) -> int:
        """Apply a table size update (6.3), and return where it ends."""
        size = byte & 0x1F
        if size == 0x1F:
            size, position = _integer(block, position, 0x1F)
        if size > DEFAULT_TABLE_SIZE:
            raise CompressionError('a table size update is too large')
        self.changes += 1
        self._table_size = size
        if self._size > size:
            self._evict()
        return position

    def _evict(self) -> None:
        count = 0
        entries = self._entries
        while self._size > self._table_size:
            name, value = entries[count]
            self._size -= len(name) + len(value) + 32
            count += 1
        del entries[:count]


_STATIC_FIELDS: Final = {field: bytes((0x80 | index,)) for index, field in reversed(list(enumerate(_STATIC)))}
_STATIC_NAMES: Final = {name: index for index, (name, _) in reversed(list(enumerate(_STATIC))) if index}
_INDEXED: Final = [bytes((0x80 | index,)) for index in range(0x7F)]

_PASSING: Final = frozenset(
    (b'content-length', b'content-range', b'etag', b'last-modified', b'location', b'age', b'expires')
)
"""Fields whose values seldom repeat: they get no entry in the table."""
_SECRET: Final = frozenset((b'set-cookie', b'authorization', b'www-authenticate'))
"""Fields that are never indexed, here or by a proxy that forwards them (RFC 7541 7.1.3)."""


def _encode_integer(value: int, prefix: int, first: int) -> bytes:
    """Encode an integer (RFC 7541 5.1). `first` has the bits in front of the prefix."""
    if value < prefix:
        return bytes((first | value,))
    out = bytearray((first | prefix,))
    value -= prefix
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_MAX_BLOCKS: Final = 64
_LENGTHS: Final = [_encode_integer(length, 0x7F, 0) for length in range(256)]


def _encode_string(data: bytes) -> bytes:
    length = len(data)
    return (_LENGTHS[length] if length < 256 else _encode_integer(length, 0x7F, 0)) + data


class Encoder:
    """Header lists into blocks."""

    __slots__ = ('_count', '_entries', '_numbers', '_size', '_table_size', '_updates', 'changes', 'known')

    def __init__(self) -> None:
        self._entries: deque[Field] = deque()
        """The oldest first."""
        self._numbers: dict[Field, int] = {}
        """For each entry: the number of entries made before it."""
        self._count = 0
        self._size = 0
        self._table_size = DEFAULT_TABLE_SIZE
        self._updates: list[int] = []
        self.changes = 0
        """Changes of the dynamic table: while it stays, the same list makes the same block."""
        self.known: dict[Any, bytes] = {}
        """Blocks that `remember` was given, until the table changes."""

    def remember(self, key: Any, block: bytes) -> None:
        if len(self.known) >= _MAX_BLOCKS:
            self.known.clear()
        self.known[key] = block

    def _change(self) -> None:
        self.changes += 1
        self.known.clear()

    def set_table_size(self, size: int) -> None:
        """Apply the peer's SETTINGS_HEADER_TABLE_SIZE. More than the default is not used."""
        size = min(size, DEFAULT_TABLE_SIZE)
        if size == self._table_size:
            return
        # The smallest size between two blocks, and the last one (RFC 7541 4.2).
        smallest = min((size, *self._updates))
        self._updates = [smallest, size] if smallest != size else [size]
        self._table_size = size
        self._change()
        self._evict()

    def encode(self, fields: Iterable[Field]) -> bytes:
        parts: list[bytes] = []
        if self._updates:
            parts = [_encode_integer(size, 0x1F, 0x20) for size in self._updates]
            self._updates = []
            self._change()
        static, numbers = _STATIC_FIELDS, self._numbers
        for field in fields:
            code = static.get(field)
            if code is None:
                number = numbers.get(field)
                if number is None:
                    code = self._literal(field)
                else:
                    index = _FIRST_DYNAMIC - 1 + self._count - number
                    code = _INDEXED[index] if index < 0x7F else _encode_integer(index, 0x7F, 0x80)
            parts.append(code)
        return b''.join(parts)

    def _literal(self, field: Field) -> bytes:
        name, value = field
        index = _STATIC_NAMES.get(name, 0)
        if name in _PASSING:
            code = _encode_integer(index, 0x0F, 0x00)
        elif name in _SECRET:
            code = _encode_integer(index, 0x0F, 0x10)
        else:
            code = _encode_integer(index, 0x3F, 0x40)
            self._add(field)
        if not index:
            code += _encode_string(name)
        return code + _encode_string(value)

    def _add(self, field: Field) -> None:
        self._change()
        self._entries.append(field)
        self._numbers[field] = self._count
        self._count += 1
        self._size += len(field[0]) + len(field[1]) + 32
        if self._size > self._table_size:
            self._evict()

    def _evict(self) -> None:
        while self._size > self._table_size:
            field = self._entries.popleft()
            self._size -= len(field[0]) + len(field[1]) + 32
            del self._numbers[field]
