"""HPACK against the library, in both directions; RFC 7541's own examples; what is not HPACK."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian.protocol.http2.compression import CompressionError, Decoder, Encoder, ListTooLarge
from tests.support.rows import rows

names = st.one_of(
    st.sampled_from(
        [b':status', b'date', b'server', b'set-cookie', b'content-length', b'etag', b'x-a', b'x-b']
    ),
    st.binary(min_size=1, max_size=20),
)
values = st.one_of(st.sampled_from([b'', b'200', b'granian', b'text/plain']), st.binary(max_size=300))
lists = st.lists(st.tuples(names, values), max_size=8)


@given(st.lists(st.tuples(lists, st.one_of(st.none(), st.integers(0, 6000))), max_size=12))
def test_the_library_reads_what_we_write(blocks):
    ours, theirs = Encoder(), hpack.Decoder(max_header_list_size=10**6)
    for fields, size in blocks:
        if size is not None:
            ours.set_table_size(size)
            theirs.max_allowed_table_size = max(size, theirs.header_table_size)
        assert [tuple(field) for field in theirs.decode(ours.encode(fields), raw=True)] == fields
        assert ours._size == theirs.header_table._current_size <= 4096
        assert len(ours._numbers) == len(ours._entries)


@given(st.lists(st.tuples(lists, st.booleans(), st.one_of(st.none(), st.integers(0, 4096))), max_size=12))
def test_we_read_what_the_library_writes(blocks):
    ours, theirs = Decoder(10**6), hpack.Encoder()
    for fields, huffman, size in blocks:
        if size is not None:
            theirs.header_table_size = size
        assert ours.decode(theirs.encode(fields, huffman=huffman)) == fields
        assert ours._size == theirs.header_table._current_size


@given(st.binary(max_size=60))
def test_noise_is_read_as_the_library_reads_it(block):
    try:
        expected = [tuple(field) for field in hpack.Decoder().decode(block, raw=True)]
    except (hpack.HPACKError, UnicodeDecodeError, IndexError):
        expected = None
    try:
        found = Decoder(65536).decode(block)
    except CompressionError:
        found = None
    # Stricter in one thing: an integer longer than any use of it is refused.
    assert found == expected or found is None


REQUESTS = [
    [(b':method', b'GET'), (b':scheme', b'http'), (b':path', b'/'), (b':authority', b'www.example.com')],
    [(b':method', b'GET'), (b':scheme', b'http'), (b':path', b'/'), (b':authority', b'www.example.com'),
     (b'cache-control', b'no-cache')],
    [(b':method', b'GET'), (b':scheme', b'https'), (b':path', b'/index.html'),
     (b':authority', b'www.example.com'), (b'custom-key', b'custom-value')],
]  # fmt: skip
PLAIN = [
    '828684410f7777772e6578616d706c652e636f6d',
    '828684be58086e6f2d6361636865',
    '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
]
HUFFMAN = [
    '828684418cf1e3c2e5f23a6ba0ab90f4ff',
    '828684be5886a8eb10649cbf',
    '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
]


@rows('blocks', [PLAIN, HUFFMAN])
def test_rfc_7541_appendix_c(blocks):
    decoder = Decoder(65536)
    for block, fields in zip(blocks, REQUESTS):
        assert decoder.decode(bytes.fromhex(block)) == fields
    assert decoder._size == 164


def test_eviction_of_rfc_7541_appendix_c_5():
    decoder = Decoder(65536)
    decoder._table_size = 256
    blocks = [
        '4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768'
        '747470733a2f2f7777772e6578616d706c652e636f6d',
        '4803333037c1c0bf',
    ]
    first, second = (decoder.decode(bytes.fromhex(block)) for block in blocks)
    assert first[0] == (b':status', b'302')
    assert second == [(b':status', b'307'), *first[1:]]
    assert decoder._size == 222


@rows(
    'block',
    [
        b'\x80', b'\xbe', b'\xff\x80\x80\x80\x80\x80\x01', b'\xff', b'\x40', b'\x40\x01', b'\x40\x05ab',
        b'\x7f\x00\x01a',
        b'\x82\x20', b'\x3f\xe2\x1f', b'\x0f\x80\x80\x80\x80\x80\x80\x00', b'\x00\x81',
        b'\x00\x84\xff\xff\xff\xff\x00',
    ],
)  # fmt: skip
def test_what_is_not_hpack(block):
    with pytest.raises(CompressionError):
        Decoder(65536).decode(block)


def test_the_limit_counts_32_for_each_field():
    block = hpack.Encoder().encode([(b'a', b'b')] * 10, huffman=False)
    assert len(Decoder(340).decode(block)) == 10
    with pytest.raises(ListTooLarge):
        Decoder(339).decode(block)


def test_a_field_larger_than_the_table_empties_it():
    decoder, encoder = Decoder(65536), Encoder()
    for fields in ([(b'a', b'b')], [(b'x', b'y' * 5000)], [(b'a', b'b')]):
        assert decoder.decode(encoder.encode(fields)) == fields
    assert decoder._size == encoder._size == 34


def test_what_is_not_kept():
    encoder = Encoder()
    assert encoder.encode([(b'set-cookie', b'a')]) == encoder.encode([(b'set-cookie', b'a')])
    assert encoder.encode([(b'set-cookie', b'a')])[0] & 0xF0 == 0x10, 'never indexed'
    assert encoder.encode([(b'content-length', b'7')])[0] & 0xF0 == 0x00
    first, second = (encoder.encode([(b'server', b'granian')]) for _ in range(2))
    assert len(first) > len(second) == 1


def test_sizes_that_go_down_and_up_again_are_both_said():
    encoder, decoder = Encoder(), hpack.Decoder()
    decoder.decode(encoder.encode([(b'a', b'b')]))
    for size in (100, 0, 3000):
        encoder.set_table_size(size)
    block = encoder.encode([(b'a', b'b')])
    assert block.startswith(b'\x20\x3f')
    assert decoder.decode(block, raw=True) == [(b'a', b'b')]
    encoder.set_table_size(3000)
    assert encoder.encode([(b'a', b'b')]) == b'\xbe'
